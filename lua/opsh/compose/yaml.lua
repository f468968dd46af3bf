-- compose.yaml: reads what `docker-compose config` of version 1 prints, which
-- has no other form: block maps and lists, plain and quoted scalars, anchors, as
-- PyYAML writes them. Anything else is an error of kind protocol with its line:
-- this is no reader for YAML that people write. Pure; owns nothing.
local err = require "opsh.c.err"
local null = require("opsh.json").null

local M = {}

local MAX_DEPTH <const> = 60

local Reader = {}
Reader.__index = Reader

local function fail(self, why)
	error(err.new { kind = "protocol", message = ("cannot read the "
		.. "configuration that docker-compose gave: line %d: %s"):format(
		math.min(self.at, #self.lines), why) }, 0)
end

-- --- scalars -------------------------------------------------------------------

local ESCAPES = { ["0"] = "\0", a = "\a", b = "\b", t = "\t", n = "\n",
	v = "\v", f = "\f", r = "\r", e = "\27", [" "] = " ", ['"'] = '"',
	["/"] = "/", ["\\"] = "\\", N = "\u{85}", _ = "\u{A0}", L = "\u{2028}",
	P = "\u{2029}" }
local HEX = { x = 2, u = 4, U = 8 }

-- Lines of a quoted scalar: one line end is a space, more are all but one of
-- them.
local function fold(text)
	if not text:find("\n", 1, true) then return text end
	return (text:gsub("[ \t]*(\n[\n \t]*)", function(gap)
		local _, n = gap:gsub("\n", "")
		return n == 1 and " " or ("\n"):rep(n - 1)
	end))
end

local function unescape(self, text)
	local out, at = {}, 1
	while true do
		local a = text:find("\\", at, true)
		out[#out + 1] = fold(text:sub(at, (a or 0) - 1))
		if not a then return table.concat(out) end
		local c = text:sub(a + 1, a + 1)
		if HEX[c] then
			local digits = text:sub(a + 2, a + 1 + HEX[c])
			local code = digits:match "^%x+$" and #digits == HEX[c]
				and tonumber(digits, 16)
			if not code or code > 0x10FFFF then fail(self, "bad escape") end
			out[#out + 1] = utf8.char(code)
			at = a + 2 + HEX[c]
		elseif c == "\n" then
			at = text:find("[^%s]", a + 2) or #text + 1
		elseif ESCAPES[c] then
			out[#out + 1] = ESCAPES[c]
			at = a + 2
		else
			fail(self, "bad escape")
		end
	end
end

-- The end of a quoted text that begins at `from`; nil: not on these lines yet.
local function closing(text, from, quote)
	local at = from + 1
	while true do
		local a = text:find(quote == '"' and '["\\]' or "'", at)
		if not a then return nil end
		if text:byte(a) == 92 then
			at = a + 2
		elseif quote == "'" and text:sub(a + 1, a + 1) == "'" then
			at = a + 2
		else
			return a
		end
	end
end

-- A quoted scalar at the start of text; more lines are taken as it needs them.
-- Gives the value and what stands behind it.
local function quoted(self, text)
	local quote = text:sub(1, 1)
	local parts, stop = text, closing(text, 1, quote)
	while not stop do
		self.at = self.at + 1
		local line = self.lines[self.at]
		if not line then fail(self, "a quote is not closed") end
		parts = parts .. "\n" .. line
		stop = closing(parts, 1, quote)
	end
	local inner, rest = parts:sub(2, stop - 1), parts:sub(stop + 1)
	if quote == "'" then return fold((inner:gsub("''", "'"))), rest end
	return unescape(self, inner), rest
end

local WORDS = { ["null"] = null, ["~"] = null, [""] = null, ["true"] = true,
	["false"] = false }

local function plain(text)
	local word = WORDS[text]
	if word ~= nil then return word end
	if text:find "^[-+]?[1-9]%d*$" or text == "0" then
		return math.tointeger(tonumber(text)) or text
	end
	if text:find "^[-+]?%d+%.%d*[eE]?[-+]?%d*$" then
		return tonumber(text) or text
	end
	return text
end

local function indent_of(line)
	return #line:match "^ *"
end

-- A plain scalar, with the lines that go on with it: deeper than `indent`.
local function plain_lines(self, text, indent)
	if text:find "^[|>!%%@`,%[%]{}?#&*]" then
		fail(self, ("'%s' is not of the form expected"):format(text:sub(1, 20)))
	end
	local more = { text }
	while true do
		local line = self.lines[self.at + 1]
		if not line or not line:find "%S" or indent_of(line) <= indent then
			break
		end
		self.at = self.at + 1
		more[#more + 1] = line:match "^ *(.-) *$"
		if line:find ":%s" or line:find ":$" then fail(self, "indented too far") end
	end
	if #more == 1 then return plain(text) end
	return table.concat(more, " ")
end

-- --- blocks --------------------------------------------------------------------

local block

-- The next line that is not blank becomes the one at work.
local function skip(self)
	while self.lines[self.at] and not self.lines[self.at]:find "%S" do
		self.at = self.at + 1
	end
	return self.lines[self.at]
end

-- The value behind "key:" or "-": on this line, or the block below. `indent`:
-- of the line that it belongs to; `flat`: a list below may stand as deep as it.
local function value(self, text, indent, flat, depth)
	local anchor, rest = text:match "^&(%S+) *(.*)$"
	if anchor then text = rest end
	local v
	if text == "" then
		self.at = self.at + 1
		local line = skip(self)
		local deep = line and indent_of(line) or -1
		if line and (deep > indent or flat and deep == indent
		   and line:find "^ *%- ?") then
			v = block(self, deep, depth + 1)
		else
			v = null
		end
	elseif text:sub(1, 1) == "*" then
		v = self.anchors[text:sub(2)]
		if v == nil then fail(self, "unknown alias") end
		self.at = self.at + 1
	elseif text == "{}" or text == "[]" then
		v = {}
		self.at = self.at + 1
	elseif text:find "^['\"]" then
		v, rest = quoted(self, text)
		if rest:find "%S" then fail(self, "text behind a quote") end
		self.at = self.at + 1
	else
		v = plain_lines(self, text, indent)
		self.at = self.at + 1
	end
	if anchor then self.anchors[anchor] = v end
	return v
end

-- The key at the start of text and what stands behind its ':'; nil: there is
-- none.
local function key_of(self, text)
	if text:find "^['\"]" then
		local before = self.at
		local k, rest = quoted(self, text)
		if self.at == before and rest:find "^:%s" or rest == ":" then
			return k, rest:match "^: *(.*)$"
		end
		self.at = before
		return nil
	end
	local k, rest = text:match "^([^%s:][^:]*): +(.*)$"
	if not k then k = text:match "^(.+):$"; rest = "" end
	-- a ':' that no space follows is part of the key
	if not k then k, rest = text:match "^([^%s].-): +(.*)$" end
	if k and k:find "^[?|>!%%@`,%[%]{}#&*]" then fail(self, "odd key") end
	return k, rest
end

local function map(self, indent, depth)
	local out = {}
	while true do
		local line = skip(self)
		if not line or indent_of(line) < indent then return out end
		if indent_of(line) > indent then fail(self, "indented too far") end
		local text = line:sub(indent + 1):gsub(" +$", "")
		local k, rest = key_of(self, text)
		if not k then fail(self, "a key expected") end
		if out[k] ~= nil then fail(self, "a key twice") end
		out[k] = value(self, rest, indent, true, depth)
	end
end

local function list(self, indent, depth)
	local out = {}
	while true do
		local line = skip(self)
		if not line or indent_of(line) < indent then return out end
		local rest = indent_of(line) == indent and line:match "^ *%- *(.-) *$"
		if not rest or not line:find "^ *%-[ ]" and not line:find "^ *%-$" then
			if indent_of(line) > indent then fail(self, "indented too far") end
			return out
		end
		local inner = #line:match "^ *%- *"
		local nested = rest:find "^%- " or rest == "-"
		if not nested and not rest:find "^['\"&*]" then
			nested = key_of(self, rest) ~= nil
		elseif rest:find "^['\"]" then
			nested = key_of(self, rest) ~= nil
		end
		if nested then
			-- "- key: value": a block whose first line begins here
			self.lines[self.at] = (" "):rep(inner) .. rest
			out[#out + 1] = block(self, inner, depth + 1)
		else
			out[#out + 1] = value(self, rest, indent, false, depth)
		end
	end
end

function block(self, indent, depth)
	if depth > MAX_DEPTH then fail(self, "nested too deep") end
	local line = self.lines[self.at]
	if line:find "^ *%- " or line:find "^ *%-$" then
		return list(self, indent, depth)
	end
	return map(self, indent, depth)
end

---The map that the text stands for; null is opsh.json's null. Raises kind
---protocol for what is not of this form.
---@param text string
---@return table
function M.read(text)
	local self = setmetatable({ lines = {}, at = 1, anchors = {} }, Reader)
	for line in (text .. "\n"):gmatch "([^\n]*)\n" do
		if line:find("\t", 1, true) and line:find "^ *\t" then
			self.at = #self.lines + 1
			fail(self, "a tab")
		end
		self.lines[#self.lines + 1] = (line:gsub("\r$", ""))
	end
	if not skip(self) then return {} end
	local out = map(self, 0, 0)
	if skip(self) then fail(self, "text behind the end") end
	return out
end

return M
