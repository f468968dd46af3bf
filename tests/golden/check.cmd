opsh check golden/fill
cat >fields.lua <<'LUA'
return {
  name = "golden/bad",
  sumary = "a typing mistake",
  needs = { cache = "redsi" },
  params = {
    n = { type = "integr" },
    m = { type = "integer", default = "x", min = 5 },
  },
  run = function(t, p) end,
}
LUA
opsh check fields.lua
echo "exit $?"
cat >bad.lua <<'LUA'
return {
  name = "golden/bad",
  summary = "names that are not there",
  needs = { cache = "redis" },
  run = function(t, p)
    prnt(p.n)
    local r = t.cache:set("a", 1)
    if r == nil then return end
    require "os"
  end,
}
LUA
opsh check bad.lua
echo "exit $?"
opsh run bad.lua
echo "exit $?"
echo 'x = = 1' >syntax.lua
opsh check syntax.lua
printf 'return { targets = {\n  cache = { kind = "redis", ulr = "redis://h" },\n} }\n' >targets.lua
opsh check targets.lua
opsh --targets targets.lua targets
opsh --output jsonl check bad.lua
opsh check golden/fill bad.lua
