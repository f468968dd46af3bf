-- Specs of opsh.log, with a clock of our own. Owns the stand-ins, which it
-- takes back after each case, and the level. Writes nothing to the real
-- stderr.
local term = require "opsh.c.term"
local log = require "opsh.log"

local written
local real = { clock = term.clock, ours = term.ours, style = term.style }

-- The lines that f logs, without the time in front.
local function logged(f)
  local fakes = {
    clock = function() return 5, 1700000000.25 end,
    style = function(_, text) return text end,
    ours = function(fd, text)
      eq(fd, 2)
      written[#written + 1] = text
    end,
  }
  written = {}
  for k, v in pairs(fakes) do term[k] = v end
  local done, err = pcall(f)
  for k, v in pairs(real) do term[k] = v end
  log.level "info"
  if not done then error(err, 0) end
  for i, line in ipairs(written) do
    local at, rest = line:match "^(%S+) (.*)\n$"
    eq(at, "2023-11-14T22:13:20.250Z")
    written[i] = rest
  end
  return written
end

describe("log", function()
  it("writes time, level and message", function()
    eq(logged(function()
      log.info("removed %d keys from %s", 12, "cache")
      log.warn "slow"
      log.error("failed: %s", nil)
    end), {
      "info  removed 12 keys from cache",
      "warn  slow",
      "error failed: nil",
    })
  end)

  it("takes text without arguments as it is", function()
    eq(logged(function() log.info "100% done %s" end),
      { "info  100% done %s" })
  end)

  it("takes fields last, in order of their names", function()
    eq(logged(function()
      log.info("flushed", { target = "cache", count = 3, ok = true })
      log.info("%d keys", 3, { note = "two words", empty = "", q = 'a"b' })
      log.info("x", { gone = term.null })
    end), {
      "info  flushed count=3 ok=true target=cache",
      'info  3 keys empty="" note="two words" q="a\\"b"',
      "info  x gone=null",
    })
  end)

  it("prints a table that a %s asks for", function()
    local v = setmetatable({}, { __tostring = function() return "me" end })
    eq(logged(function() log.info("it is %s", v) end), { "info  it is me" })
  end)

  it("filters by level", function()
    local function all()
      log.debug "d"
      log.info "i"
      log.warn "w"
      log.error "e"
    end
    eq(#logged(all), 3)
    eq(#logged(function() log.level "debug"; all() end), 4)
    eq(#logged(function() log.level "error"; all() end), 1)
    eq(#logged(function() log.level "off"; all() end), 0)
    raises("unknown log level 'loud'", function() log.level "loud" end)
  end)

  it("keeps an event on one line", function()
    eq(logged(function()
      log.info("a\nb\27[31m", { k = "x\ny", ["z\n"] = 1 })
    end), { 'info  a\\nb\\x1b[31m k="x\\ny" z\\n=1' })
  end)

  it("says where the format is wrong", function()
    raises("bad argument", function() log.error("%d", "x") end)
    raises("must be a string", function() log.error({}) end)
  end)
end)
