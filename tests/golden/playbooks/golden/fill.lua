-- golden/fill: what the golden tests plan, run and describe. Has a field of each
-- sort, so that doc and check have something to show. Must not be of use to
-- anybody else.
return {
  name     = "golden/fill",
  summary  = "Fill a cache with numbers",
  description = [[
    Writes `count` keys under a prefix, each with a TTL.
    Nothing else is touched.
  ]],
  severity = "P3",
  owner    = "tests",
  tags     = { "golden", "redis" },
  runbook  = "none",
  timeout  = 60,

  needs = { cache = { kind = "redis", help = "what is filled" } },

  params = {
    count  = { type = "integer", default = 2, min = 1, max = 10,
      help = "how many keys" },
    prefix = { type = "string", required = true, help = "before the number",
      example = "n:" },
    ttl    = { type = "duration", default = "10m", help = "of each key" },
    how    = { type = "enum", choices = { "set", "getset" }, default = "set",
      help = "by which command" },
  },

  example = "opsh run golden/fill prefix=n: count=3",

  checks = {
    { "the prefix has a colon", function(_, p)
      return p.prefix:find(":", 1, true) ~= nil, "it has none"
    end },
  },

  run = function(t, p)
    step("fill", function()
      for n = 1, p.count do
        t.cache:set(p.prefix .. n, n, "EX", math.tointeger(p.ttl))
      end
    end)
    return step("count", function()
      return t.cache:count { match = p.prefix .. "*" }
    end)
  end,

  verify = function(t, p)
    return t.cache:exists(p.prefix .. 1) == 1, "the first key is not there"
  end,
}
