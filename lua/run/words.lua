-- words: lists of names in messages, and "did you mean". Used wherever a name
-- that was typed is looked up in a list of known ones. Owns nothing; must not
-- decide whether a name is right.
local words = {}

-- Longer words are not compared: the cost is the product of the lengths.
local MAX_LEN = 64

---Damerau-Levenshtein distance (neighbours swapped count as one).
---@param a string
---@param b string
---@return integer
function words.distance(a, b)
	local before, last = {}, {}
	for j = 0, #b do
		last[j] = j
	end
	for i = 1, #a do
		local row = { [0] = i }
		for j = 1, #b do
			local same = a:byte(i) == b:byte(j)
			local d = math.min(last[j] + 1, row[j - 1] + 1,
				last[j - 1] + (same and 0 or 1))
			if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1)
			   and a:byte(i - 1) == b:byte(j) then
				d = math.min(d, before[j - 2] + 1)
			end
			row[j] = d
		end
		before, last = last, row
	end
	return last[#b]
end

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

---The known name that is nearest to `word`, or nil when none is near.
---@param word string
---@param names table a map or a list
---@return string?
function words.nearest(word, names)
	local best, best_d
	if #word > MAX_LEN then
		return nil
	end
	for _, name in ipairs(words.sorted(names)) do
		if #name <= MAX_LEN then
			local d = words.distance(word:lower(), name:lower())
			if not best_d or d < best_d then
				best, best_d = name, d
			end
		end
	end
	-- A third of the letters may differ: beyond it a guess only confuses.
	if best and best_d <= math.max(1, math.min(#word, #best) // 3) then
		return best
	end
	return nil
end

---" (did you mean 'x'?)", or "" when nothing is near.
---@param word string
---@param names table
---@return string
function words.suggest(word, names)
	local best = words.nearest(word, names)
	return best and (" (did you mean '%s'?)"):format(best) or ""
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
