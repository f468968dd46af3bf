-- lex: Lua's tokens with their places, from text that may be cut off or broken
-- anywhere: what can't be read ends the list or is a token of its own. Pure: keeps
-- nothing, compiles nothing.
local lex = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local
	nil not or repeat return then true until while]]):gmatch "%a+" do
	KEYWORDS[word] = true
end
lex.keywords = KEYWORDS

-- The end of a quoted string that begins at `at`; whole: its quote is there.
local function quoted(text, at)
	local quote, n = text:sub(at, at), at + 1
	while n <= #text do
		local c = text:sub(n, n)
		if c == "\\" then
			local from, to = text:find("^z%s*", n + 1)
			n = from and to + 1 or n + 2
		elseif c == quote then
			return n, true
		elseif c == "\n" then
			return n - 1, false
		else
			n = n + 1
		end
	end
	return #text, false
end

-- The end of a long bracket that begins at `at`, or nil when none does.
local function long(text, at)
	local level = text:match("^%[(=*)%[", at)
	if not level then return nil end
	local _, to = text:find("]" .. level .. "]", at, true)
	return to or #text, to ~= nil
end

local SIGNS = { "...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", ".." }

local function sign(text, at)
	for _, s in ipairs(SIGNS) do
		if text:sub(at, at + #s - 1) == s then return at + #s - 1 end
	end
	return at
end

local function number(text, at)
	local _, to = text:find("^0[xX][%x.]*", at)
	if to then
		local _, exponent = text:find("^[pP][+-]?%d*", to + 1)
		return exponent or to
	end
	_, to = text:find("^%.?%d[%d.]*", at)
	if not to then return nil end
	local _, exponent = text:find("^[eE][+-]?%d*", to + 1)
	return exponent or to
end

local function token_at(text, at)
	local c = text:sub(at, at)
	if c == '"' or c == "'" then
		local to, whole = quoted(text, at)
		return "string", to, whole
	end
	local to, whole = long(text, at)
	if to then return "string", to, whole end
	to = number(text, at)
	if to then return "number", to, true end
	local _, last = text:find("^[%a_][%w_]*", at)
	if last then
		return KEYWORDS[text:sub(at, last)] and "keyword" or "name", last, true
	end
	return "sign", sign(text, at), true
end

-- Past a comment that begins at `at`; nil when none does.
local function comment(text, at)
	if text:sub(at, at + 1) ~= "--" then return nil end
	local to, whole = long(text, at + 2)
	if to then return to, whole end
	return (text:find("\n", at, true) or #text + 1) - 1, true
end

---@class repl.token
---@field kind "name"|"keyword"|"string"|"number"|"sign"|"comment"
---@field text string
---@field from integer
---@field to integer
---@field whole boolean false: the text ends within it

---The tokens of a text.
---@param text string
---@param comments? boolean they too
---@return repl.token[]
function lex.tokens(text, comments)
	local out, at = {}, 1
	while true do
		at = text:find("%S", at)
		if not at then return out end
		local kind = "comment"
		local to, whole = comment(text, at)
		if not to then kind, to, whole = token_at(text, at) end
		if kind ~= "comment" or comments then
			out[#out + 1] = { kind = kind, text = text:sub(at, to), from = at,
				to = to, whole = whole }
		end
		at = to + 1
	end
end

return lex
