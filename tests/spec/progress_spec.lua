-- Specs of opsh.progress, with a clock and a terminal of our own. Owns the
-- stand-ins, which it takes back after each case. Writes nothing to the real
-- terminal.
local term = require "opsh.c.term"
local progress = require "opsh.progress"

local now, status, written, draws
local real = {
  clock = term.clock, is_tty = term.is_tty, status = term.status,
  write = term.write,
}

-- Runs f with a terminal, or none, that only notes what it is told.
local function on(tty, f)
  local fakes = {
    clock = function() return now, 1700000000 + now end,
    is_tty = function() return tty end,
    status = function(line)
      status, draws = line, draws + 1
    end,
    write = function(fd, text)
      eq(fd, 2)
      written[#written + 1] = text
    end,
  }
  now, status, written, draws = 100, nil, {}, 0
  for k, v in pairs(fakes) do term[k] = v end
  local done, err = pcall(f)
  for k, v in pairs(real) do term[k] = v end
  if not done then error(err, 0) end
end

describe("progress on a terminal", function()
  it("shows done, total, rate and the time left", function()
    on(true, function()
      local p <close> = progress.new { label = "unlink", total = 100000 }
      eq(status, "unlink: 0/100,000  0%")
      now = now + 1
      p:add(2000)
      eq(status, "unlink: 2,000/100,000  2%  2,000/s  ETA 49s")
      now = now + 1
      p:set(4000)
      eq(status, "unlink: 4,000/100,000  4%  2,000/s  ETA 48s")
    end)
  end)

  it("draws ten times a second at most", function()
    on(true, function()
      local p <close> = progress.new { label = "x", total = 10000 }
      local before = draws
      for _ = 1, 10000 do
        now = now + 0.0001
        p:add()
      end
      ok(draws - before <= 10, draws)
      ok(draws - before >= 8, draws)
    end)
  end)

  it("follows a rate that changes", function()
    on(true, function()
      local p <close> = progress.new { total = 1e6 }
      for _ = 1, 50 do now = now + 1; p:add(1000) end
      for _ = 1, 50 do now = now + 1; p:add(10) end
      ok(status:find("10/s", 1, true), status)
    end)
  end)

  it("has no percentage without a total", function()
    on(true, function()
      local p <close> = progress.new { label = "scan" }
      now = now + 2
      p:add(10)
      eq(status, "scan: 10  5.0/s")
    end)
  end)

  it("shows several at once", function()
    on(true, function()
      local a <close> = progress.new { label = "a", total = 1 }
      local b <close> = progress.new { label = "b", total = 2 }
      eq(status, "a: 0/1  0% | b: 0/2  0%")
      a:close()
      eq(status, "b: 0/2  0%")
      b:close()
      eq(status, nil)
    end)
  end)

  it("takes its line away and leaves the totals", function()
    on(true, function()
      do
        local p <close> = progress.new { label = "unlink", total = 3 }
        now = now + 2
        p:add(3)
      end
      eq(status, nil)
      eq(written, { "unlink: 3/3 in 2.0s, 1.5/s\n" })
    end)
  end)

  it("goes when the work fails", function()
    on(true, function()
      pcall(function()
        local p <close> = progress.new { label = "x", total = 3 }
        p:add()
        error "no"
      end)
      eq(status, nil)
      eq(#written, 1)
    end)
  end)
end)

describe("progress elsewhere", function()
  it("says a line every ten seconds at most, and one at the end", function()
    on(false, function()
      local p = progress.new { label = "x", total = 300 }
      for _ = 1, 300 do
        now = now + 0.1
        p:add()
      end
      p:close()
      ok(#written == 3 or #written == 4, #written)
      ok(written[1]:find("^x: %d+/300  33%%  10/s  ETA 20s\n$"), written[1])
      eq(written[#written], "x: 300/300 in 30s, 10/s\n")
      eq(draws, 0)
    end)
  end)

  it("closes once", function()
    on(false, function()
      local p = progress.new {}
      p:close()
      p:close()
      p:add(1)
      eq(#written, 1)
    end)
  end)

  it("can't be used to forge lines", function()
    on(false, function()
      progress.new { label = "a\nb\27[2J" }:close()
      eq(written, { "a\\nb\\x1b[2J: 0 in 0.0s\n" })
    end)
  end)
end)

describe("progress.new", function()
  it("refuses what it doesn't know", function()
    raises("unknown option 'totl'", function() progress.new { totl = 1 } end)
    raises("'total' must be a number", function()
      progress.new { total = "x" }
    end)
    raises("0 or more", function() progress.new { total = -1 } end)
    raises("expected", function() progress.new() end)
    on(false, function()
      local p <close> = progress.new {}
      raises("finite number", function() p:add(0 / 0) end)
      raises("finite number", function() p:set "3" end)
    end)
  end)
end)
