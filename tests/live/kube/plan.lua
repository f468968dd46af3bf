-- plan.lua: every write that a cluster knows, with an expected result each, for
-- the proof that a plan does none of them. Needs the services of fleet.yaml. Must
-- only be planned, never run.
for _, verb in ipairs { "scale", "stop", "exec", "drain", "delete" } do
  guard(cluster, { verb = verb, count = 1, sample = { "saga" } })
end
step("all writes", function()
  local none = { expect = {} }
  cluster:restart("saga", none)
  cluster:scale("saga", 3, none)
  cluster:scale("saga", 0, none)
  cluster:stop("saga", none)
  cluster:set_image("saga", "localhost/web:2", none)
  cluster:set_env("saga", { NEW = "1" }, none)
  cluster:set_limits("saga", { memory = "64Mi" }, none)
  cluster:undo("saga", none)
  cluster:annotate("saga", { a = "b" }, none)
  cluster:exec("saga", { "touch", "/tmp/x" }, none)
  cluster:cordon("node", none)
  cluster:uncordon("node", none)
  cluster:drain("node", none)
  cluster:delete("deployment/saga", none)
  cluster:apply({ apiVersion = "v1", kind = "ConfigMap",
    metadata = { name = "planned" }, data = { a = "b" } }, none)
  cluster:secret_apply("planned", { a = "b" }, none)
  print(#cluster:status("saga") > 0 and "read" or "nothing")
end)
