-- value: what one value is called in a table's cell: NULL, nothing, bytes, a text
-- that could be taken for one of them, a table within a table. Returns text that
-- is neither masked nor escaped, but for bytes; writes nothing.
local term = require "opsh.c.term"

local M = {}

local ELLIPSIS <const> = "…"
local NESTED_ITEMS <const> = 20
local NESTED_DEPTH <const> = 3
local BYTES_SHOWN <const> = 32

local render

---1234567 as 1,234,567: an integer, or its digits. What is none stays as it is.
---@param n integer|string
---@return string
function M.grouped(n)
  local sign, digits = tostring(n):match "^(%-?)(%d+)$"
  if not digits then return tostring(n) end
  digits = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return sign .. digits
end

---The keys: numbers first, each kind in its order.
---@param t table
---@return any[]
function M.sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    local ta, tb = math.type(a), math.type(b)
    if ta and tb then return a < b end
    if (ta == nil) ~= (tb == nil) then return ta ~= nil end
    return tostring(a) < tostring(b)
  end)
  return keys
end

---Has it the elements 1 to n and nothing else?
---@param t table
---@return boolean
function M.is_list(t)
  local n = #t
  if n == 0 then return next(t) == nil end
  for k in pairs(t) do
    if math.type(k) ~= "integer" or k < 1 or k > n then return false end
  end
  return true
end

---Does it say itself what it prints as?
---@param v any
---@return boolean
function M.has_tostring(v)
  local mt = debug.getmetatable(v)
  return type(mt) == "table" and mt.__tostring ~= nil
end

local function render_nested(t, depth, seen)
  if M.has_tostring(t) then return M.text_of(t) end
  if seen[t] or depth > NESTED_DEPTH then return "{…}" end
  seen[t] = true
  local parts, list = {}, M.is_list(t)
  for i, k in ipairs(M.sorted_keys(t)) do
    if i > NESTED_ITEMS then
      parts[#parts + 1] = ELLIPSIS
      break
    end
    local text = render(t[k], depth + 1, seen)
    if not list then text = M.text_of(k) .. "=" .. text end
    parts[#parts + 1] = text
  end
  seen[t] = nil
  return "{" .. table.concat(parts, ", ") .. "}"
end

local WORDS <const> = {
  NULL = true, ["nil"] = true, ["true"] = true, ["false"] = true,
}

---Is a string by itself taken for something else: for a NULL, for nothing, for
---the spaces of a layout?
---@param s string
---@return boolean
function M.ambiguous(s)
  return s == "" or WORDS[s] or s:find "^%s" ~= nil or s:find "%s$" ~= nil
    or s:find '^".*"$' ~= nil
end

---Bytes that are no text: a NUL among the first, or much that isn't UTF-8.
---@param s string
---@return boolean
function M.is_binary(s)
  local head = s:sub(1, 512)
  if head:find("\0", 1, true) then return true end
  if utf8.len(head) then return false end
  local bad, pos = 0, 1
  while pos <= #head do
    local _, at = utf8.len(head, pos)
    if not at or #s > #head and at > #head - 3 then break end -- it was cut
    bad, pos = bad + 1, at + 1
  end
  return bad * 10 > #head * 3
end

-- As Postgres writes bytes, with their number: a cut would hide it.
local function bytes_of(s)
  local text = "\\x" .. s:sub(1, BYTES_SHOWN):gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end)
  if #s > BYTES_SHOWN then text = text .. ELLIPSIS end
  return ("%s (%d byte%s)"):format(text, #s, #s == 1 and "" or "s")
end

-- Among others, what could be taken for two of them is in quotes as well.
local function string_of(s, depth)
  if M.is_binary(s) then
    local shown = term.mask(s)
    return shown == s and bytes_of(s) or shown
  end
  if M.ambiguous(s) or depth > 0 and (s:find '[,={}"]' or tonumber(s)) then
    return '"' .. s .. '"'
  end
  return s
end

---What a value with a __tostring prints as; a word when that fails.
---@param v any
---@return string
function M.text_of(v)
  if not M.has_tostring(v) then
    return type(v) == "table" and "{…}" or tostring(v)
  end
  local done, text = pcall(tostring, v)
  return done and text or ("<%s that can't be printed>"):format(type(v))
end

function render(v, depth, seen)
  local kind = type(v)
  if v == nil then return depth > 0 and "nil" or "" end
  if v == term.null then return "NULL" end
  if kind == "string" then return string_of(v, depth) end
  if kind == "number" or kind == "boolean" then return tostring(v) end
  if kind == "table" then return render_nested(v, depth, seen) end
  if M.has_tostring(v) then return M.text_of(v) end
  return kind -- an address would differ from run to run
end

---An object of C that stands for a table says so by its metamethods; one that
---doesn't (a secret) is a value. What a plan doesn't know yet has them all, and
---raises.
---@param v any
---@param name string of a metamethod
---@return boolean
function M.has_meta(v, name)
  local mt = type(v) == "userdata" and debug.getmetatable(v)
  return type(mt) == "table" and mt[name] ~= nil
    and mt.__name ~= "opsh.unknown"
end

---Does it stand for names and values: a table, or an object of C?
---@param v any
---@return boolean
function M.is_map(v)
  if type(v) == "table" then return not M.has_tostring(v) end
  return M.has_meta(v, "__pairs")
end

---The text of a value, on one line but for its own newlines; "" for nil.
---@param v any
---@return string
function M.render(v) return render(v, 0, {}) end

return M
