-- words: lists of names in messages, and "did you mean". Used wherever a name
-- that was typed is looked up in a list of known ones. Owns nothing; must not
-- decide whether a name is right.
local near = require "opsh.near"

local words = { nearest = near.nearest, suggest = near.suggest }

---"1 write", "2 writes".
---@param n integer
---@param noun string
---@return string
function words.count(n, noun)
	return ("%d %s%s"):format(n, noun, n == 1 and "" or "s")
end

---Sorted names of a map (its string keys), of a list, or of both.
---@param t table
---@return string[]
function words.sorted(t)
	local names, seen = {}, {}
	for k, v in pairs(t) do
		local name = type(k) == "string" and k or v
		if type(name) == "string" and not seen[name] then
			seen[name] = true
			names[#names + 1] = name
		end
	end
	table.sort(names)
	return names
end

---"a, b, c", sorted; "none" when empty.
---@param t table
---@return string
function words.list(t)
	local names = words.sorted(t)
	return #names > 0 and table.concat(names, ", ") or "none"
end

---The suggestion when there is one, else all known names.
---@param word string
---@param names table
---@return string
function words.hint(word, names)
	local best = words.suggest(word, names)
	return best ~= "" and best or (" (known: %s)"):format(words.list(names))
end

---The beginning of a long text, cut between characters, with "..." when cut.
---@param text string?
---@param max integer bytes
---@return string?
function words.shorten(text, max)
	if not text or #text <= max then
		return text
	end
	local cut = max
	while cut > 1 and text:byte(cut + 1) & 0xc0 == 0x80 do
		cut = cut - 1
	end
	return text:sub(1, cut) .. "..."
end

return words
