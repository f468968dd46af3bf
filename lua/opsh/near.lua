-- near: which of the names that there are one that is not there may have meant. Used
-- wherever a name is typed: options, topics, services, playbooks. Owns nothing; must
-- not decide whether a name is right.
local M = {}

-- Longer words are not compared: the cost is the product of the lengths.
local MAX_LEN = 64

-- Damerau-Levenshtein distance (neighbours swapped count as one).
local function distance(a, b)
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

---The name that is nearest to `word`, or nil when none is near.
---@param word string
---@param names table a list, or a map by name
---@return string?
function M.nearest(word, names)
	local best, best_d
	if #word > MAX_LEN then return nil end
	for key, value in pairs(names) do
		local name = type(key) == "string" and key or value
		if type(name) == "string" and #name <= MAX_LEN then
			local d = distance(word:lower(), name:lower())
			if not best_d or d < best_d or d == best_d and name < best then
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
---@param names table a list, or a map by name
---@return string
function M.suggest(word, names)
	local best = M.nearest(word, names)
	return best and (" (did you mean '%s'?)"):format(best) or ""
end

---The names that there are; of many those that are nearest, however far.
---@param word string
---@param names string[]
---@return string " (there are: a, b)", " (near it: a, b, c)", " (there are none)"
function M.list(word, names)
	if #names == 0 then return " (there are none)" end
	if #names <= 5 then
		return (" (there are: %s)"):format(table.concat(names, ", "))
	end
	local list, far = table.move(names, 1, #names, 1, {}), {}
	for _, name in ipairs(list) do
		far[name] = distance(word:sub(1, MAX_LEN), name:sub(1, MAX_LEN))
	end
	table.sort(list, function(a, b)
		if far[a] ~= far[b] then return far[a] < far[b] end
		return a < b
	end)
	return (" (near it: %s)"):format(table.concat(list, ", ", 1, 3))
end

return M
