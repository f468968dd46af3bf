-- pretty: values within values, one below the other: as JSON when they are JSON, else
-- as Lua writes tables. Takes a value or the text of JSON, whose order and numbers
-- stay; gives lines, masked, escaped and styled, so many at most. Writes nothing.
local term = require "opsh.c.term"
local value = require "opsh.table.value"

local pretty = {}

local DEPTH <const> = 12
local NODES <const> = 20000	-- of one value: beyond it nobody reads
local INLINE <const> = 76
local ELLIPSIS <const> = "…"

-- A node is {text =, style =} for a scalar, or {open =, close =, keys = true,
-- [n] = node}, each with its key's text.

local JSON = { colon = ": ", open = "{", close = "}", list = "[", list_end = "]" }
local LUA = { colon = " = ", open = "{", close = "}", list = "{", list_end = "}" }

-- --- a value's nodes -----------------------------------------------------------

-- Quoted by the rules of JSON; bytes that are no UTF-8 are left to the escaper.
local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r",
	["\t"] = "\\t", ["\b"] = "\\b", ["\f"] = "\\f" }

local function quote(s)
	return '"' .. s:gsub('[%c"\\]', function(c)
		return ESCAPES[c] or ("\\u%04x"):format(c:byte())
	end) .. '"'
end

-- Can all of it be JSON? Cycles and what is too deep can't.
local function is_json(v, depth, seen, budget)
	local kind = type(v)
	if kind == "number" then return v == v and v ~= 1 / 0 and v ~= -1 / 0 end
	if kind == "string" or kind == "boolean" or v == term.null then return true end
	if kind ~= "table" or value.has_tostring(v) or seen[v] or depth > DEPTH then
		return false
	end
	seen[v] = true
	local list = value.is_list(v)
	for k, item in pairs(v) do
		budget[1] = budget[1] - 1
		if budget[1] < 0 then break end
		if not list and type(k) ~= "string"
			or not is_json(item, depth + 1, seen, budget) then
			return false
		end
	end
	seen[v] = nil
	return true
end

local function place_of(f)
	local info = debug.getinfo(f, "S")
	if info.what == "C" then return "function (of C)" end
	return ("function (%s:%d)"):format(info.short_src:gsub("^%[string (.*)%]$",
		"%1"), info.linedefined)
end

---A word for what is neither text, number nor a table of data.
---@param v any
---@return string
function pretty.word(v)
	if v == nil then return "nil" end
	if v == term.null then return "NULL" end
	if value.has_tostring(v) then return value.text_of(v) end
	local kind = type(v)
	if kind == "function" then return place_of(v) end
	if kind == "thread" then return ("coroutine (%s)"):format(coroutine.status(v)) end
	if kind == "userdata" or kind == "table" then
		local meta = debug.getmetatable(v)
		local name = type(meta) == "table" and rawget(meta, "__name")
		return type(name) == "string" and ("<%s>"):format(name) or kind
	end
	return tostring(v)
end

local function scalar(v, as)
	local kind = type(v)
	if kind == "string" then
		if value.is_binary(v) then return { text = value.render(v) } end
		return { text = quote(term.mask(v)) }
	end
	if v == term.null then
		return { text = as == JSON and "null" or "NULL", style = "muted" }
	end
	if kind == "number" or kind == "boolean" then return { text = tostring(v) } end
	return { text = pretty.word(v), style = "muted" }
end

local function key_text(k, as)
	if as == JSON then return quote(term.mask(k)) end
	if type(k) == "string" then
		if k:find "^[%a_][%w_]*$" then return k end
		return "[" .. quote(term.mask(k)) .. "]"
	end
	return "[" .. pretty.word(k) .. "]"
end

local node_of

local function table_node(t, as, depth, seen, budget)
	if seen[t] then return { text = "(itself)", style = "muted" } end
	if depth > DEPTH then return { text = "{…}", style = "muted" } end
	seen[t] = true
	local list = value.is_list(t) and (next(t) ~= nil or getmetatable(t) ~= nil)
	local node = { open = list and as.list or as.open,
		close = list and as.list_end or as.close }
	for n, k in ipairs(list and {} or value.sorted_keys(t)) do
		if budget[1] < 0 then break end
		node[n] = node_of(t[k], as, depth + 1, seen, budget)
		node[n].key = key_text(k, as)
	end
	for n = 1, list and #t or 0 do
		if budget[1] < 0 then break end
		node[n] = node_of(t[n], as, depth + 1, seen, budget)
	end
	if budget[1] < 0 then
		node[#node + 1] = { text = ELLIPSIS, style = "muted" }
	end
	seen[t] = nil
	return node
end

function node_of(v, as, depth, seen, budget)
	budget[1] = budget[1] - 1
	if type(v) == "userdata" and value.has_meta(v, "__tojson")
		and value.has_meta(v, "__pairs") then
		v = debug.getmetatable(v).__tojson(v)
	end
	if type(v) == "table" and not value.has_tostring(v) then
		return table_node(v, as, depth, seen, budget)
	end
	return scalar(v, as)
end

-- --- the nodes of a text of JSON -------------------------------------------------

local function text_end(s, at)
	while true do
		at = s:find('["\\]', at + 1)
		if not at then return #s end
		if s:byte(at) == 34 then return at end
		at = at + 1
	end
end

-- The text was found to be JSON before: no sign of it is judged here.
local function read_json(s)
	local stack, top, key = {}, { open = "", close = "" }, nil
	local at, n = s:find "%S", 0
	while at and n < NODES do
		local c, to = s:sub(at, at), at
		n = n + 1
		if c == "{" or c == "[" then
			local node = { open = c, close = c == "{" and "}" or "]", key = key }
			top[#top + 1], stack[#stack + 1] = node, top
			top, key = node, nil
		elseif c == "}" or c == "]" then
			top = table.remove(stack)
		elseif c == '"' then
			to = text_end(s, at)
			local text, colon = s:sub(at, to), s:match("^%s*:()", to + 1)
			if colon and top.open == "{" and not key then
				key, to = text, colon - 1
			else
				top[#top + 1], key = { text = text, key = key }, nil
			end
		elseif c ~= "," then
			to = s:find("[,%]}%s]", at) or #s + 1
			to = to - 1
			local text = s:sub(at, to)
			top[#top + 1] = { text = text, key = key,
				style = text == "null" and "muted" or nil }
			key = nil
		end
		at = s:find("%S", to + 1)
	end
	if at then
		top[#top + 1] = { text = ELLIPSIS, style = "muted" }
	end
	return (stack[1] or top)[1]
end

-- --- lines -----------------------------------------------------------------------

local function shown(text, style)
	text = term.escape(term.mask(text))
	return style and term.style(style, text) or text
end

-- A list or a table of scalars on one line, when it fits; its plain text decides.
local function inline(node, as, room)
	local width = #node.open + #node.close + (node[1] and node[1].key and 2 or 0)
	for n, item in ipairs(node) do
		if item.open and #item > 0 then return nil end
		width = width + #(item.text or "{}") + (n > 1 and 2 or 0)
			+ (item.key and #item.key + #as.colon or 0)
		if width > room then return nil end
	end
	local parts = {}
	for n, item in ipairs(node) do
		parts[n] = (item.key and shown(item.key, "bold") .. as.colon or "")
			.. (item.text and shown(item.text, item.style)
				or item.open .. item.close)
	end
	local pad = #parts > 0 and node[1].key and " " or ""
	return node.open .. pad .. table.concat(parts, ", ") .. pad .. node.close
end

-- A text too long for its line: its beginning and how much it is.
local function cut(text, room)
	local part, width = term.cell(text, room)
	if width < room or part == text or #text <= room then return part end
	return ("%s (%d bytes)"):format(term.cell(text, math.max(8, room - 16)), #text)
end

local function add(lines, node, as, indent, tail, width)
	local head = (" "):rep(indent)
		.. (node.key and shown(node.key, "bold") .. as.colon or "")
	local used = indent + (node.key and #node.key + #as.colon or 0) + 1
	local room = math.max(20, (width or 1000000) - used)
	if node.text then
		local text = cut(term.mask(node.text), room)
		if node.style then text = term.style(node.style, text) end
		lines[#lines + 1] = head .. text .. tail
		return
	end
	local line = (indent > 0 or #node == 0)
		and inline(node, as, math.min(room, INLINE))
	if line then
		lines[#lines + 1] = head .. line .. tail
		return
	end
	lines[#lines + 1] = head .. node.open
	for n, item in ipairs(node) do
		add(lines, item, as, indent + 2, n < #node and "," or "", width)
	end
	lines[#lines + 1] = (" "):rep(indent) .. node.close .. tail
end

---The lines of a value.
---@param v any
---@param width integer|false columns of the screen
---@return string[] lines for term.ours
function pretty.lines(v, width)
	local as = is_json(v, 1, {}, { NODES }) and JSON or LUA
	local lines = {}
	add(lines, node_of(v, as, 1, {}, { NODES }), as, 0, "", width)
	return lines
end

---The lines of a text of JSON; nil when it is none.
---@param text string
---@param width integer|false
---@return string[]? lines for term.ours
function pretty.json(text, width)
	if not text:find "^%s*[{[]" then return nil end
	local json = require "opsh.c.json"
	if not pcall(json.decode, text) then return nil end
	local lines = {}
	add(lines, read_json(text), JSON, 0, "", width)
	return lines
end

---Does it hold tables within it, so that a line for each would hide them?
---@param v any
---@return boolean
function pretty.is_nested(v)
	if type(v) ~= "table" or value.has_tostring(v) then return false end
	for _, item in pairs(v) do
		if type(item) == "table" and not value.has_tostring(item)
			and next(item) ~= nil then
			return true
		end
	end
	return false
end

return pretty
