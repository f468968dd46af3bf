-- caret: where in an entry an error is: the line that its message names, and the
-- column of the token or the name in it. Pure: compiles pieces of the text, runs
-- nothing.
local lex = require "repl.lex"

local caret = {}

local BEFORE <const>, ALL <const> = 50, 76

-- The line's text, and the offset of its first byte in the whole.
local function line_of(text, number)
	local at = 1
	for _ = 2, number do
		at = text:find("\n", at, true)
		if not at then return nil end
		at = at + 1
	end
	return text:match("[^\n]*", at), at
end

-- May the text go on here? Then what follows is what the parser stumbled over.
local function may_go_on(text)
	local expression = text:gsub("^%s*=", "")
	local run, why = load("return " .. expression, "=x", "t", {})
	if run or why:find "near <eof>$" then return true end
	run, why = load(text, "=x", "t", {})
	return run ~= nil or why:find "near <eof>$" ~= nil
end

-- The first of the places of a token in its line that the text before is fine to.
local function column_of_token(text, line, token, from)
	if token == "<eof>" then return #line + 1 end
	local at, only = 0, nil
	while true do
		at = line:find(token, at + 1, true)
		if not at then return only end
		only = only or at
		if may_go_on(text:sub(1, from + at - 2)) and not may_go_on(
			text:sub(1, from + at - 2 + #token)) then
			return at
		end
	end
end

-- A name is looked for as a token: not within another, nor in a string.
local function column_of_name(line, name, sep)
	local found
	local tokens = lex.tokens(line)
	for n, token in ipairs(tokens) do
		local before = tokens[n - 1]
		if token.kind == "name" and token.text == name and (not sep
			or before and (before.text == "." or before.text == ":")) then
			if found then return nil end	-- two: which one is not known
			found = token.from
		end
	end
	return found
end

-- "(global 'x')", "(method 'x')" at the end of a message of Lua.
local function column_of_value(line, message)
	local kind, name = message:match "%((%l+) '([^']*)'%)"
	if not kind then return nil end
	return column_of_name(line, name, kind == "field" or kind == "method")
end

-- The call that an error object names: cache:lpush for LPUSH.
local function column_of_call(line, op)
	if type(op) ~= "string" then return nil end
	local name = op:match "^[%a_][%w_]*"
	return name and column_of_name(line, name:lower(), true)
end

---Where an error is in the text of its entry. `line` is the number of the line,
---`column` a byte of it, nil when it isn't known.
---@param text string of the entry
---@param number integer line, as the message says
---@param message string without the place
---@param op? string the call of an error object
---@return {line: integer, text: string, column?: integer, from: integer}? place
function caret.find(text, number, message, op)
	local line, from = line_of(text, number)
	if not line then return nil end
	local token = message:match "near '(.*)'$" or message:match "near (<eof>)$"
	local column
	if token then
		local byte = tonumber(token:match "^<\\(%d+)>$")
		if byte then token = string.char(byte) end
		column = column_of_token(text, line, token, from)
	else
		column = column_of_value(line, message) or column_of_call(line, op)
	end
	return { line = number, text = line, column = column, from = from }
end

---The line, cut round the column, and the caret below it, as columns of a screen.
---@param place table of find
---@param width fun(text: string): integer
---@return string line, string? caret
function caret.draw(place, width)
	local text, at = place.text:gsub("\t", " "), place.column
	if not at then
		return #text > ALL and text:sub(1, ALL) .. "…" or text
	end
	local head, tail = text:sub(1, at - 1), text:sub(at)
	local n = utf8.len(head)
	if n and n > BEFORE then
		head = "…" .. head:sub(utf8.offset(head, -BEFORE))
	end
	local rest = ALL - math.min(n or BEFORE, BEFORE)
	n = utf8.len(tail)
	if n and n > rest then
		tail = tail:sub(1, utf8.offset(tail, rest + 1) - 1) .. "…"
	end
	return head .. tail, (" "):rep(width(head)) .. "^"
end

return caret
