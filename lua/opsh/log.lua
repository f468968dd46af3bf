-- log: one line an event, on stderr: UTC time, level, message, fields. Which
-- levels show is $OPSH_LOG (debug, info, warn, error, off). Masked and escaped
-- before it is laid out; an event can't forge another's line.
local term = require "opsh.c.term"

local M = {}

local LEVELS <const> = { debug = 1, info = 2, warn = 3, error = 4, off = 5 }
local STYLES <const> = {
  debug = "muted", info = "ok", warn = "warn", error = "error",
}
local NAMES <const> = "debug, info, warn, error, off"

local level = LEVELS.info

-- Sets what shows from now on.
---@param name "debug"|"info"|"warn"|"error"|"off"
function M.level(name)
  if not LEVELS[name] then
    error(("unknown log level '%s' (known: %s)")
      :format(tostring(name), NAMES), 2)
  end
  level = LEVELS[name]
end

local function stamp()
  local _, now = term.clock()
  local whole = math.floor(now)
  return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", whole),
    math.floor((now - whole) * 1000))
end

-- How many arguments a format takes.
local function specifiers(fmt)
  local n = 0
  for spec in fmt:gmatch "%%(.?)" do
    if spec ~= "%" then n = n + 1 end
  end
  return n
end

-- Is it a table of fields rather than something to print?
local function is_fields(v)
  if type(v) ~= "table" then return false end
  local mt = debug.getmetatable(v)
  return not (type(mt) == "table" and mt.__tostring)
end

local function message(fmt, ...)
  local n, fields = select("#", ...), nil
  if type(fmt) ~= "string" then
    error(("log format must be a string, not a %s"):format(type(fmt)), 3)
  end
  if n > 0 then
    local last = select(n, ...)
    if n ~= specifiers(fmt) and is_fields(last) then
      fields, n = last, n - 1
    end
  end
  if n == 0 then
    -- no arguments: the text as it is, "100%" included
    if fields or select("#", ...) == 0 then return fmt, fields end
  end
  local args = { ... }
  for i = 1, n do
    -- %d and the like judge numbers; all else prints as print would
    local kind = type(args[i])
    if kind ~= "number" and kind ~= "string" then args[i] = tostring(args[i]) end
  end
  local ok, text = pcall(string.format, fmt, table.unpack(args, 1, n))
  if not ok then error(text, 3) end
  return text, fields
end

-- key=value, the value quoted when it could be read as more than one word.
local function field(k, v)
  local text = term.mask(v == term.null and "null" or tostring(v))
  if text == "" or text:find '[%s"=%c]' then
    text = '"' .. text:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"'
  end
  return tostring(k) .. "=" .. text
end

local function field_names(fields)
  local names = {}
  for k in pairs(fields) do names[#names + 1] = k end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

local function emit(name, fmt, ...)
  if LEVELS[name] < level then return end
  local text, fields = message(fmt, ...)
  local parts = { (term.cell(text)) }
  for _, k in ipairs(fields and field_names(fields) or {}) do
    parts[#parts + 1] = (term.cell(field(k, fields[k])))
  end
  local pad = (" "):rep(5 - #name)
  term.ours(2, ("%s %s%s %s\n"):format(stamp(),
    term.style(STYLES[name], name, 2), pad, table.concat(parts, " ")))
end

-- Writes an event of this level.
--
-- Example: log.info("removed %d keys", n, { target = "cache" })
---@param fmt string as string.format takes it; without arguments as it is
---@param ... any its arguments, then, if there is one more, a table of fields
function M.debug(fmt, ...) emit("debug", fmt, ...) end

-- As log.debug, level info.
---@param fmt string
---@param ... any
function M.info(fmt, ...) emit("info", fmt, ...) end

-- As log.debug, level warn.
---@param fmt string
---@param ... any
function M.warn(fmt, ...) emit("warn", fmt, ...) end

-- As log.debug, level error.
---@param fmt string
---@param ... any
function M.error(fmt, ...) emit("error", fmt, ...) end

local wanted = os.getenv "OPSH_LOG"
if wanted and wanted ~= "" then
  if LEVELS[wanted] then
    level = LEVELS[wanted]
  else
    emit("warn", "OPSH_LOG is '%s': not one of %s", wanted, NAMES)
  end
end

return M
