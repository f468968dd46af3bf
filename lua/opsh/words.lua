-- words: a call of a target as one string, as it is typed at a prompt:
-- `orchestrator "logs api tail=20"`, `events "lag payments"`. Owns how such a string is
-- taken apart and which words there are; must not call anything by itself.
local err = require "opsh.c.err"
local near = require "opsh.near"

local M = {}

local function value_of(text)
	if text == "true" or text == "false" then return text == "true" end
	return math.tointeger(tonumber(text)) or tonumber(text) or text
end

---The words and the options of a line: numbers, true and false are what they are,
---quotes keep blanks: `orders max=10 key='a b'` is { "orders" }, { max = 10, key =
---"a b" }. Raises kind usage for a quote that is not closed.
---@param text string
---@return any[] words
---@return table<string, any> options
function M.split(text)
	local args, opts, at = {}, {}, 1
	while true do
		at = text:find("%S", at)
		if not at then return args, opts end
		local name, start = text:match("^([%a_][%w_]*)=()", at)
		local from = start or at
		local quote = text:match("^(['\"])", from)
		local word, after
		if quote then
			word, after = text:match("^" .. quote .. "([^" .. quote .. "]*)"
				.. quote .. "()", from)
			if not word then
				error(err.new { kind = "usage", message = ("unfinished quote in "
					.. "'%s'"):format(text) }, 0)
			end
		else
			word, after = text:match("^(%S*)()", from)
			word = value_of(word)
		end
		if name then opts[name] = word else args[#args + 1] = word end
		at = after
	end
end

---Raises kind usage: there is no such word, but these.
---@param word string
---@param methods table<string, any> names that begin with `__` are none
function M.unknown(word, methods)
	local known = {}
	for name in pairs(methods) do
		if not name:find "^__" then known[#known + 1] = name end
	end
	table.sort(known)
	error(err.new { kind = "usage", message = ("unknown word '%s'%s")
		:format(word, near.suggest(word, known)),
		hint = "one of: " .. table.concat(known, ", ") }, 0)
end

return M
