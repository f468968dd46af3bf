-- chart: numbers as a picture of text: bars over time, how values spread, one line
-- of them. Pure: takes lists or rows, returns text; writes nothing. In letters of
-- ASCII where the terminal or the locale has no others.
local sys = require "opsh.c.sys"
local term = require "opsh.c.term"
local value = require "opsh.table.value"

---Called, it is chart.chart.
---@class opsh.chart
local M = {}

local HEIGHT <const> = 8
local MIN_WIDTH <const> = 16
local COLUMNS_EACH <const> = 4		-- of a chart, one value takes at most so many
local BUCKETS <const> = 10
local WORDS <const> = 20		-- texts that are counted and shown

local UNICODE = { levels = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" },
	parts = { "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" },
	side = "│", tick = "┤", corner = "└", base = "─", to = " … ", dot = " · " }
local ASCII = { levels = { ".", ":", "#" }, parts = { "-", "#" },
	side = "|", tick = "+", corner = "+", base = "-", to = " .. ", dot = ", " }

-- --- options -----------------------------------------------------------------

local KNOWN = {
	chart = { x = "any", y = "any", height = "count", width = "count",
		title = "string", ascii = "boolean" },
	histogram = { y = "any", buckets = "count", width = "count",
		title = "string", ascii = "boolean" },
	sparkline = { y = "any", width = "count", ascii = "boolean" },
}

local function is_count(v) return math.type(v) == "integer" and v > 0 end

local function check(name, values, opts)
	local known = KNOWN[name]
	local kind = type(values)
	if kind ~= "table" and kind ~= "userdata" then
		error(("a list of numbers or of rows expected, not a %s"):format(kind), 3)
	end
	for k, v in pairs(opts) do
		local wanted = known[k]
		if not wanted then
			local names = {}
			for n in pairs(known) do names[#names + 1] = n end
			table.sort(names)
			error(("unknown option '%s' (known: %s)"):format(tostring(k),
				table.concat(names, ", ")), 3)
		elseif wanted == "count" and not is_count(v) then
			error(("option '%s' must be an integer above 0"):format(k), 3)
		elseif wanted ~= "any" and wanted ~= "count" and type(v) ~= wanted then
			error(("option '%s' must be a %s"):format(k, wanted), 3)
		end
	end
end

-- Only a locale of UTF-8 says that the terminal shows more than ASCII.
local function letters(opts)
	local ascii = opts.ascii
	if ascii == nil then
		local locale = ""
		for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
			local v = sys.getenv(name) or ""
			if locale == "" then locale = v end
		end
		ascii = sys.getenv "TERM" == "dumb"
			or not locale:lower():find "utf%-?8"
	end
	return ascii and ASCII or UNICODE
end

-- --- values ------------------------------------------------------------------

local function number(v)
	local n = type(v) == "number" and v or type(v) == "string" and tonumber(v)
	return n or 0 / 0
end

local function is_row(v)
	return (type(v) == "table" or type(v) == "userdata") and v ~= term.null
end

-- The one field of numbers, when nobody says which.
local function only_number(row)
	local found
	for k, v in pairs(row) do
		if type(v) == "number" then
			if found ~= nil then
				error("the rows have several fields of numbers: say which, "
					.. "with y = NAME", 4)
			end
			found = k
		end
	end
	if found == nil then
		error("the rows have no field of numbers: say which field, with "
			.. "y = NAME", 4)
	end
	return found
end

-- Two lists: what is drawn, as it came, and where it stands (nil without x).
local function read(values, opts)
	local ys, xs, n = {}, opts.x ~= nil and {} or nil, #values
	local key = opts.y
	if n > 0 and is_row(values[1]) and key == nil then
		key = only_number(values[1])
	end
	for i = 1, n do
		local v = values[i]
		if is_row(v) then
			if xs then xs[i] = v[opts.x] end
			v = v[key]
		end
		ys[i] = v == nil and term.null or v
	end
	return ys, xs
end

local function numbers(list)
	local out = {}
	for i, v in ipairs(list) do out[i] = number(v) end
	return out
end

local function is_finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

-- count, min, max, mean of what is finite; how many are not.
local function summary(list)
	local s = { n = 0, sum = 0.0, missing = 0, infinite = 0 }
	for _, v in ipairs(list) do
		if is_finite(v) then
			s.n, s.sum, s.last = s.n + 1, s.sum + v, v
			if not s.min or v < s.min then s.min = v end
			if not s.max or v > s.max then s.max = v end
		elseif v ~= v then
			s.missing = s.missing + 1
		else
			s.infinite = s.infinite + 1
		end
	end
	s.mean = s.n > 0 and s.sum / s.n or nil
	return s
end

-- 1,204 0.25 1.5e+20
local function short(v)
	if v == math.floor(v) and math.abs(v) < 1e15 then
		return value.grouped(("%.0f"):format(v))
	end
	if math.abs(v) >= 1000 and math.abs(v) < 1e15 then
		return value.grouped(("%.0f"):format(v))
	end
	return ("%.4g"):format(v)
end

local function count(n, noun)
	return ("%s %s%s"):format(value.grouped(n), noun, n == 1 and "" or "s")
end

-- What isn't drawn is said.
local function add_rest(parts, s)
	if s.missing > 0 then
		parts[#parts + 1] = ("%s without a number"):format(short(s.missing))
	end
	if s.infinite > 0 then
		parts[#parts + 1] = ("%s infinite"):format(short(s.infinite))
	end
	return parts
end

local function text_of(lines)
	for i, line in ipairs(lines) do lines[i] = line:gsub(" +$", "") end
	return table.concat(lines, "\n")
end

local function titled(opts)
	return opts.title and { (term.cell(opts.title)) } or {}
end

-- At most `width` of them: each the greatest of its share, so that no peak is
-- lost. The second result: how many make one.
local function squeeze(list, width)
	local n = #list
	if n <= width then return list, 1 end
	local each, out = -(-n // width), {}
	for from = 1, n, each do
		local best = 0 / 0
		for i = from, math.min(n, from + each - 1) do
			if best ~= best or list[i] > best then best = list[i] end
		end
		out[#out + 1] = best
	end
	return out, each
end

-- --- bars over time ----------------------------------------------------------

-- From zero, unless all is so far from it that nothing could be told apart.
local function range(s)
	local low, high = s.min, s.max
	if low > 0 and low < high * 0.75 or low == high and low > 0 then low = 0 end
	if high < 0 and high > low * 0.75 or low == high and high < 0 then high = 0 end
	if low == high then high = low + 1 end
	return low, high
end

-- How much of each column is filled, in rows; nil: nothing is known.
local function heights(list, low, high, height)
	local out = {}
	for i, v in ipairs(list) do
		if v == v then
			local share = v == math.huge and 1 or v == -math.huge and 0
				or (v - low) / (high - low)
			out[i] = share * height
		else
			out[i] = false
		end
	end
	return out
end

-- The letter of a column in the row whose foot is `from`.
local function letter(tall, from, set)
	if not tall then return " " end
	local n = #set.levels
	local part = math.floor((tall - from) * n + 0.5)
	if from == 0 and part < 1 then part = 1 end	-- a value is there
	return part < 1 and " " or set.levels[math.min(part, n)]
end

local function label(x)
	if type(x) == "number" and x > 1e9 and x < 4e9 then
		return os.date("!%H:%M:%S", math.floor(x))
	end
	if type(x) == "number" then return short(x) end
	return x == nil and "" or (term.cell(tostring(x), 20))
end

local function x_axis(xs, n, margin, width)
	local first, last = label(xs[1]), label(xs[n])
	local gap = math.max(2, width - term.width(first) - term.width(last))
	if n == 1 then last = "" end
	return (" "):rep(margin) .. first .. (" "):rep(gap) .. last
end

local function draw(lines, tall, each, axis)
	local set, height = axis.set, axis.height
	for row = height - 1, 0, -1 do
		local name = axis.names[row] or ""
		local parts = { (" "):rep(axis.margin - term.width(name)), name, " ",
			axis.names[row] and set.tick or set.side }
		for _, t in ipairs(tall) do
			parts[#parts + 1] = letter(t, row, set):rep(each)
		end
		lines[#lines + 1] = table.concat(parts)
	end
	lines[#lines + 1] = (" "):rep(axis.margin + 1) .. set.corner
		.. set.base:rep(#tall * each)
end

---Bars from left to right, one a value, with the scale at the left; more values
---than columns: each column is the greatest of its share. What is no number is a
---gap. Times (seconds since 1970) below it are UTC.
---
---    print(require("opsh.chart").chart({ 3, 7, 5 }, { height = 4 }))
---@param values number[]|table[]|userdata a list of numbers, or rows with `y`
---@param opts? {x?: any, y?: any, height?: integer, width?: integer, title?: string, ascii?: boolean}
---  x: the field that stands below; y: the field that is drawn (default: the only
---  one of numbers); height: rows (8); width: columns of all (the terminal's);
---  ascii: no other letters (default: as TERM and the locale say)
---@return string text without a newline at its end
function M.chart(values, opts)
	opts = opts or {}
	check("chart", values, opts)
	local ys, xs = read(values, opts)
	local list = numbers(ys)
	local s, set, lines = summary(list), letters(opts), titled(opts)
	if s.n == 0 then
		lines[#lines + 1] = "(" .. table.concat(add_rest({ "no values to draw" },
			s), set.dot) .. ")"
		return text_of(lines)
	end
	local low, high = range(s)
	local height = opts.height or HEIGHT
	local axis = { set = set, height = height, names = {
		[0] = short(low), [height - 1] = short(high) } }
	if height >= 5 then
		axis.names[height // 2] = short(low + (high - low) * (height // 2)
			/ (height - 1))
	end
	axis.margin = 0
	for _, name in pairs(axis.names) do
		axis.margin = math.max(axis.margin, #name)
	end
	local room = math.max(MIN_WIDTH, (opts.width or term.columns())
		- axis.margin - 2)
	local drawn, share = squeeze(list, room)
	local each = math.max(1, math.min(COLUMNS_EACH, room // #drawn))
	draw(lines, heights(drawn, low, high, height), each, axis)
	if xs then
		lines[#lines + 1] = x_axis(xs, #list, axis.margin + 2,
			#drawn * each)
	end
	local parts = { "min " .. short(s.min), "mean " .. short(s.mean),
		"max " .. short(s.max), "last " .. short(s.last),
		count(s.n, "value") }
	if share > 1 then
		parts[#parts + 1] = ("a column is the greatest of %d"):format(share)
	end
	lines[#lines + 1] = table.concat(add_rest(parts, s), set.dot)
	return text_of(lines)
end

-- --- how values spread -------------------------------------------------------

-- 1, 2 or 5 times a power of ten, not below `step`.
local function nice(step)
	local power = 10.0 ^ math.floor(math.log(step, 10))
	for _, n in ipairs { 1, 2, 5, 10 } do
		if n * power >= step * 0.999999 then return n * power end
	end
	return step
end

-- The edges of the buckets: round ones, or as many as were asked for.
local function edges(s, buckets)
	if s.min == s.max then return { s.min, s.max } end
	local low, step, n = s.min, (s.max - s.min) / (buckets or BUCKETS), buckets
	if not n then
		step = nice(step)
		low = math.floor(s.min / step) * step
		n = math.floor((s.max - low) / step) + 1
	end
	local out = {}
	for i = 0, n do out[i + 1] = low + i * step end
	return out
end

local function fill(list, at)
	local counts, low, n = {}, at[1], #at - 1
	local step = (at[#at] - low) / n
	for i = 1, n do counts[i] = 0 end
	for _, v in ipairs(list) do
		if is_finite(v) then
			local i = step == 0 and 1 or math.floor((v - low) / step) + 1
			i = math.max(1, math.min(n, i))
			counts[i] = counts[i] + 1
		end
	end
	return counts
end

local function bar(share, width, set)
	local n = #set.parts
	local eighths = math.floor(share * width * n + 0.5)
	if share > 0 and eighths == 0 then eighths = 1 end
	local part = eighths % n
	return set.parts[n]:rep(eighths // n) .. (part > 0 and set.parts[part] or "")
end

-- Lines of name, bar, count.
local function bars(lines, names, counts, width, set)
	local wide, most, digits = 0, 1, 0
	for i, name in ipairs(names) do
		wide = math.max(wide, term.width(name))
		most = math.max(most, counts[i])
		digits = math.max(digits, #short(counts[i]))
	end
	local room = math.max(8, width - wide - digits - 4)
	for i, name in ipairs(names) do
		local text = bar(counts[i] / most, room, set)
		lines[#lines + 1] = name .. (" "):rep(wide - term.width(name)) .. "  "
			.. text .. (" "):rep(room - utf8.len(text)) .. "  "
			.. (" "):rep(digits - #short(counts[i])) .. short(counts[i])
	end
end

local function quantile(sorted, q)
	return sorted[math.max(1, math.ceil(q * #sorted))]
end

local function numeric_histogram(list, s, opts, set, lines)
	local at = edges(s, opts.buckets)
	local left, right, wide = {}, {}, 0
	for i = 1, #at - 1 do
		left[i], right[i] = short(at[i]), short(at[i + 1])
		wide = math.max(wide, #left[i])
	end
	local names = {}
	for i = 1, #left do
		names[i] = (" "):rep(wide - #left[i]) .. left[i] .. (s.min == s.max
			and "" or set.to .. right[i])
	end
	bars(lines, names, fill(list, at), opts.width or term.columns(), set)
	local sorted = {}
	for _, v in ipairs(list) do
		if is_finite(v) then sorted[#sorted + 1] = v end
	end
	table.sort(sorted)
	local parts = { count(s.n, "value"), "min " .. short(s.min) }
	for _, q in ipairs { 50, 90, 99 } do
		parts[#parts + 1] = ("p%d %s"):format(q, short(quantile(sorted, q / 100)))
	end
	parts[#parts + 1] = "max " .. short(s.max)
	lines[#lines + 1] = table.concat(add_rest(parts, s), set.dot)
end

-- Texts are counted: the most frequent first.
local function counted(ys, opts, set, lines)
	local seen, order = {}, {}
	for _, v in ipairs(ys) do
		local name = v == term.null and "NULL" or tostring(v)
		if not seen[name] then
			seen[name] = 0
			order[#order + 1] = name
		end
		seen[name] = seen[name] + 1
	end
	table.sort(order, function(a, b)
		if seen[a] ~= seen[b] then return seen[a] > seen[b] end
		return a < b
	end)
	local names, counts, rest = {}, {}, 0
	for i, name in ipairs(order) do
		if i <= WORDS then
			names[i], counts[i] = term.cell(name, 30), seen[name]
		else
			rest = rest + seen[name]
		end
	end
	bars(lines, names, counts, opts.width or term.columns(), set)
	local parts = { count(#ys, "value"), ("%s different"):format(short(#order)) }
	if rest > 0 then
		parts[#parts + 1] = ("%s not shown"):format(count(rest, "value"))
	end
	lines[#lines + 1] = table.concat(parts, set.dot)
end

---How often values occur: a line a range, from its first number up to below its
---second, with a bar and the count. Texts are counted one by one instead.
---
---    print(require("opsh.chart").histogram { 12, 14, 15, 40 })
---@param values any[]|table[]|userdata numbers or texts, or rows with `y`
---@param opts? {y?: any, buckets?: integer, width?: integer, title?: string, ascii?: boolean}
---  buckets: so many, all alike (default: about 10, at round numbers); the others as
---  for chart
---@return string text without a newline at its end
function M.histogram(values, opts)
	opts = opts or {}
	check("histogram", values, opts)
	local ys = read(values, opts)
	local list = numbers(ys)
	local s, set, lines = summary(list), letters(opts), titled(opts)
	if s.n > 0 then
		numeric_histogram(list, s, opts, set, lines)
	elseif s.infinite == 0 and #ys > 0 and (type(ys[1]) == "string"
		or type(ys[1]) == "boolean") then
		counted(ys, opts, set, lines)
	else
		lines[#lines + 1] = "(" .. table.concat(add_rest({ "no values to count" },
			s), set.dot) .. ")"
	end
	return text_of(lines)
end

-- --- one line ------------------------------------------------------------------

---Values as one line of small bars, from the least to the greatest of them.
---
---    print(require("opsh.chart").sparkline { 1, 5, 2, 8 })
---@param values number[]|table[]|userdata a list of numbers, or rows with `y`
---@param opts? {y?: any, width?: integer, ascii?: boolean} width: at most so many
---  columns (default: the terminal's)
---@return string text one line, "" without values
function M.sparkline(values, opts)
	opts = opts or {}
	check("sparkline", values, opts)
	local list = numbers((read(values, opts)))
	local s, set = summary(list), letters(opts)
	local low, high = s.min or 0, s.max or 0
	local levels, parts = set.levels, {}
	for i, v in ipairs((squeeze(list, opts.width or term.columns()))) do
		if v ~= v then
			parts[i] = " "
		else
			local share = v == math.huge and 1 or v == -math.huge and 0
				or high == low and 0.5 or (v - low) / (high - low)
			parts[i] = levels[1 + math.floor(share * (#levels - 1) + 0.5)]
		end
	end
	return table.concat(parts)
end

return setmetatable(M, { __call = function(_, ...) return M.chart(...) end })
