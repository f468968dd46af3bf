-- progress: how far long work is (done, rate, time left), on stderr. On a
-- terminal one line for all of them, drawn at most ten times a second;
-- elsewhere a plain line now and then. Must not wait, nor write to stdout.
local term = require "opsh.c.term"

local M = {}

local DRAW_EVERY <const> = 0.1 -- seconds, on a terminal
local SAY_EVERY <const> = 10 -- seconds, elsewhere
local MEMORY <const> = 5 -- seconds that the shown rate looks back
local OPTIONS <const> = { label = "string", total = "number" }

local active = {} -- open ones on a terminal, in the order they began
local drawn_at = -math.huge

---@class opsh.progress
local Progress = {}
Progress.__index = Progress
Progress.__name = "opsh.progress"

-- 1234567 -> "1,234,567"
local function grouped(n)
  return require("opsh.table.value").grouped(("%.0f"):format(n))
end

-- 3725 -> "1h02m"
local function span(seconds)
  local s = math.floor(seconds + 0.5)
  if s < 60 then return ("%ds"):format(s) end
  if s < 3600 then return ("%dm%02ds"):format(s // 60, s % 60) end
  if s < 360000 then return ("%dh%02dm"):format(s // 3600, s % 3600 // 60) end
  return "days"
end

local function rate_text(rate)
  if rate >= 10 then return grouped(rate) .. "/s" end
  return ("%.1f/s"):format(rate)
end

-- The rate of late: what the last seconds tell counts most.
function Progress:_sample(now)
  local dt = now - self._at
  if dt <= 0 then return end
  local inst = (self.done - self._done_at) / dt
  if self._rate then
    local weight = 1 - math.exp(-dt / MEMORY)
    self._rate = self._rate + weight * (inst - self._rate)
  else
    self._rate = inst
  end
  self._at, self._done_at = now, self.done
end

function Progress:_line()
  local parts = {}
  if self.total then
    parts[1] = grouped(self.done) .. "/" .. grouped(self.total)
    if self.total > 0 then
      parts[2] = ("%d%%"):format(self.done * 100 // self.total)
    end
  else
    parts[1] = grouped(self.done)
  end
  local rate = self._rate
  if rate and rate > 0 then
    parts[#parts + 1] = rate_text(rate)
    if self.total and self.done < self.total then
      parts[#parts + 1] = "ETA " .. span((self.total - self.done) / rate)
    end
  end
  return ("%s: %s"):format(self.label, table.concat(parts, "  "))
end

local function draw()
  local lines = {}
  for i, p in ipairs(active) do
    if i > 3 then
      lines[i] = ("%d more"):format(#active - 3)
      break
    end
    lines[i] = p:_line()
  end
  term.status(#lines > 0 and table.concat(lines, " | ") or nil)
end

-- Does it have the status line?
function M._active() return #active > 0 end

local function forget(progress)
  for i = 1, #active do
    if active[i] == progress then
      table.remove(active, i)
      break
    end
  end
end

local function say(text)
  term.write(2, term.cell(text) .. "\n")
end

function Progress:_show()
  local now = term.clock()
  if term.is_tty(2) then
    if now - drawn_at < DRAW_EVERY then return end
    drawn_at = now
    self:_sample(now)
    draw()
  elseif now - self._said_at >= SAY_EVERY then
    self._said_at = now
    self:_sample(now)
    say(self:_line())
  end
end

local function check_count(n, name)
  if type(n) ~= "number" or n ~= n or n == math.huge or n == -math.huge then
    error(("%s must be a finite number, not %s"):format(name, tostring(n)), 3)
  end
end

-- More work was done.
---@param n? number how much (default: 1)
---@return opsh.progress self
function Progress:add(n)
  if n == nil then n = 1 end
  check_count(n, "what to add")
  self.done = self.done + n
  if not self._closed then self:_show() end
  return self
end

-- So much is done by now.
---@param n number
---@return opsh.progress self
function Progress:set(n)
  check_count(n, "what is done")
  self.done = n
  if not self._closed then self:_show() end
  return self
end

-- Ends it: the line goes, the totals stay on stderr. Idempotent; also by
-- `local p <close> = progress.new(...)`.
function Progress:close()
  if self._closed then return end
  self._closed = true
  forget(self)
  if term.is_tty(2) then draw() end
  local took = term.clock() - self._began
  local of = self.total and "/" .. grouped(self.total) or ""
  local rate = took > 0 and self.done > 0 and
    (", " .. rate_text(self.done / took)) or ""
  say(("%s: %s%s in %s%s"):format(self.label, grouped(self.done), of,
    took < 10 and ("%.1fs"):format(took) or span(took), rate))
end

function Progress:__close() self:close() end

function Progress:__tostring() return self:_line() end

-- Begins one.
--
-- Example:
--   local p <close> = progress.new { label = "unlink", total = #keys }
--   for _, key in ipairs(keys) do cache:unlink(key); p:add() end
---@param opts {label?: string, total?: number} total: what will be done, when
---  it is known: without it there is no percentage and no time left
---@return opsh.progress
function M.new(opts)
  if type(opts) ~= "table" then
    error("progress.new {label = , total = } expected", 2)
  end
  for k, v in pairs(opts) do
    local want = OPTIONS[k]
    if not want then
      error(("unknown option '%s' (known: label, total)")
        :format(tostring(k)), 2)
    end
    if type(v) ~= want then
      error(("option '%s' must be a %s, not a %s"):format(k, want, type(v)), 2)
    end
  end
  if opts.total and not (opts.total >= 0 and opts.total < math.huge) then
    error("option 'total' must be 0 or more", 2)
  end
  local now = term.clock()
  local self = setmetatable({
    label = opts.label or "progress", total = opts.total, done = 0,
    _began = now, _at = now, _done_at = 0, _said_at = now,
    _rate = false, _closed = false, -- there, so that close needs no memory
  }, Progress)
  if not term.is_tty(2) then return self end
  drawn_at = now
  active[#active + 1] = self
  local ok, err = pcall(draw)
  if not ok then -- nobody will have it to close
    forget(self)
    error(err, 0)
  end
  return self
end

return M
