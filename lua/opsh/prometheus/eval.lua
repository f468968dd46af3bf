-- prometheus.eval: the part of PromQL that thresholds need, evaluated on two looks at
-- services' own pages of metrics, where there is no Prometheus: selectors, rate and
-- increase (over the time between the two looks, whatever the range says),
-- histogram_quantile, sum avg min max count with `by`, arithmetic, comparisons with a
-- number. Anything else is refused, never guessed. Source: "Querying basics" and
-- "Operators" of the Prometheus documentation.
local err = require "opsh.c.err"

local M = {}

-- What is evaluated: the samples of the two looks, and the seconds between them.
---@class opsh.prometheus.looks
---@field first? opsh.prometheus.sample[]
---@field second opsh.prometheus.sample[]
---@field seconds? number

local function refuse(s, fmt, ...)
	error(err.new { kind = "check", code = "NOT_EVALUATED", message =
		("cannot evaluate '%s' without a Prometheus: %s"):format(s.text,
		fmt:format(...)) }, 0)
end

-- --- tokens --------------------------------------------------------------------

local ESCAPES <const> = { n = "\n", t = "\t", r = "\r" }

local function string_at(s, at, quote)
	local parts = {}
	while true do
		local c = s.text:sub(at, at)
		if c == "" then refuse(s, "a text does not end") end
		if c == quote then return table.concat(parts), at + 1 end
		if c == "\\" then
			at = at + 1
			c = s.text:sub(at, at)
			c = ESCAPES[c] or c
		end
		parts[#parts + 1] = c
		at = at + 1
	end
end

-- The next token: s.kind is name, number, text, range or the sign itself.
local function advance(s)
	local at = s.text:match("^%s*()", s.at)
	local two = s.text:sub(at, at + 1)
	local one = two:sub(1, 1)
	s.begin = at
	if one == "" then s.kind, s.at = "end", at return end
	local word, after = s.text:match("^([%a_:][%w_:]*)()", at)
	if word then
		s.kind, s.value, s.at = "name", word, after
		return
	end
	local digits, beyond = s.text:match("^(%d*%.?%d+)()", at)
	if digits then
		local exponent, last = s.text:match("^([eE][+-]?%d+)()", beyond)
		s.kind, s.value = "number", tonumber(digits .. (exponent or ""))
		s.at = last or beyond
		return
	elseif one == '"' or one == "'" then
		s.kind = "text"
		s.value, s.at = string_at(s, at + 1, one)
		return
	end
	local inside, closed = s.text:match("^%[(%w+)%]()", at)
	if inside then
		s.kind, s.at = "range", closed
		return
	end
	local signs = { ["=~"] = 2, ["!~"] = 2, ["!="] = 2, ["=="] = 2, [">="] = 2,
		["<="] = 2 }
	s.kind = signs[two] and two or one
	s.at = at + #s.kind
end

local function take(s, kind)
	if s.kind ~= kind then
		refuse(s, "expected '%s' at '%s'", kind, s.text:sub(s.begin, s.begin + 15))
	end
	local value = s.value
	advance(s)
	return value
end

-- --- matching ------------------------------------------------------------------

-- A regular expression of the simple kind as Lua patterns, one an alternative.
local function patterns_of(s, regex)
	local list = {}
	for part in (regex .. "|"):gmatch "([^|]*)|" do
		local out, at = {}, 1
		while at <= #part do
			local c = part:sub(at, at)
			if c == "\\" then
				at = at + 1
				c = part:sub(at, at)
				if c:find "%w" then refuse(s, "'\\%s' in '%s'", c, regex) end
				out[#out + 1] = "%" .. c
			elseif c == "[" then
				local set, after = part:match("^(%[%^?[%w_.%-]+%])()", at)
				if not set then refuse(s, "'[' in '%s'", regex) end
				out[#out + 1] = set
				at = after - 1
			elseif c:find "[(){}?^$]" then
				refuse(s, "'%s' in '%s'", c, regex)
			elseif c:find "[.*+]" then
				out[#out + 1] = c
			else
				out[#out + 1] = c:find "%w" and c or "%" .. c
			end
			at = at + 1
		end
		list[#list + 1] = "^" .. table.concat(out) .. "$"
	end
	return list
end

local function any(list, value)
	for _, pattern in ipairs(list) do
		if value:find(pattern) then return true end
	end
	return false
end

local function matchers_at(s)
	local list = {}
	if s.kind ~= "{" then return list end
	advance(s)
	while s.kind ~= "}" do
		local name, sign = take(s, "name"), s.kind
		if sign ~= "=" and sign ~= "!=" and sign ~= "=~" and sign ~= "!~" then
			refuse(s, "expected a match after '%s'", name)
		end
		advance(s)
		local m = { name = name, sign = sign, value = take(s, "text") }
		if sign:sub(-1) == "~" then m.patterns = patterns_of(s, m.value) end
		list[#list + 1] = m
		if s.kind ~= "}" then take(s, ",") end
	end
	advance(s)
	return list
end

local function fits(labels, matchers)
	for _, m in ipairs(matchers) do
		local value = labels[m.name] or ""
		local same
		if m.patterns then same = any(m.patterns, value)
		else same = value == m.value end
		if same ~= (m.sign:sub(1, 1) == "=") then return false end
	end
	return true
end

-- --- values: a number, or a list of {labels, value} -----------------------------

local function key_of(labels)
	local parts = {}
	for name, value in pairs(labels) do
		parts[#parts + 1] = ("%s=%q"):format(name, value)
	end
	table.sort(parts)
	return table.concat(parts, ",")
end

local function select_from(samples, selector)
	local out = {}
	for _, sample in ipairs(samples or {}) do
		if sample.name == selector.name
			and fits(sample.labels, selector.matchers) then
			out[#out + 1] = { labels = sample.labels, value = sample.value }
		end
	end
	return out
end

local function rate_of(s, selector, seconds)
	if not s.looks.first or not s.looks.seconds then
		refuse(s, "a rate needs two looks")
	end
	local was, out = {}, {}
	for _, row in ipairs(select_from(s.looks.first, selector)) do
		was[key_of(row.labels)] = row.value
	end
	for _, row in ipairs(select_from(s.looks.second, selector)) do
		local before = was[key_of(row.labels)]
		if before then
			local grown = row.value >= before and row.value - before or row.value
			out[#out + 1] = { labels = row.labels, value = grown / seconds }
		end
	end
	return out
end

local FOLD <const> = {
	sum = function(a, b) return a + b end, avg = function(a, b) return a + b end,
	max = math.max, min = math.min, count = function(a) return a + 1 end,
}

local function fold(kind, rows, by)
	local groups, out = {}, {}
	for _, row in ipairs(rows) do
		local labels = {}
		for _, name in ipairs(by) do labels[name] = row.labels[name] end
		local key = key_of(labels)
		local group = groups[key]
		if not group then
			group = { labels = labels, n = 1,
				value = kind == "count" and 1 or row.value }
			groups[key] = group
			out[#out + 1] = group
		else
			group.value, group.n = FOLD[kind](group.value, row.value), group.n + 1
		end
	end
	for _, group in ipairs(out) do
		if kind == "avg" then group.value = group.value / group.n end
		group.n = nil
	end
	return out
end

local function quantiles(q, rows)
	local groups, out = {}, {}
	for _, row in ipairs(rows) do
		if row.labels.le then
			local labels = {}
			for name, value in pairs(row.labels) do labels[name] = value end
			labels.le = nil
			local key = key_of(labels)
			if not groups[key] then
				groups[key] = { labels = labels, buckets = {} }
				out[#out + 1] = groups[key]
			end
			table.insert(groups[key].buckets, { le = row.labels.le,
				count = row.value })
		end
	end
	for n, group in ipairs(out) do
		out[n] = { labels = group.labels, value =
			require("opsh.prometheus").quantile(q, group.buckets) }
	end
	return out
end

local COMPUTE <const> = {
	["+"] = function(a, b) return a + b end,
	["-"] = function(a, b) return a - b end,
	["*"] = function(a, b) return a * b end,
	["/"] = function(a, b) return a / (b + 0.0) end,
}
local COMPARE <const> = {
	[">"] = function(a, b) return a > b end,
	["<"] = function(a, b) return a < b end,
	[">="] = function(a, b) return a >= b end,
	["<="] = function(a, b) return a <= b end,
	["=="] = function(a, b) return a == b end,
	["!="] = function(a, b) return a ~= b end,
}

-- Labels that two vectors are matched by: all, without some, or only some.
local function matched(labels, match)
	if not match then return key_of(labels) end
	local out = {}
	for name, value in pairs(labels) do
		if (match.names[name] == true) == match.only then out[name] = value end
	end
	return key_of(out)
end

local function apply(f, a, b, match)
	if type(a) == "number" and type(b) == "number" then return f(a, b) end
	local out = {}
	if type(a) == "number" then
		for n, row in ipairs(b) do
			out[n] = { labels = row.labels, value = f(a, row.value) }
		end
		return out
	elseif type(b) == "number" then
		for n, row in ipairs(a) do
			out[n] = { labels = row.labels, value = f(row.value, b) }
		end
		return out
	end
	local right = {}
	for _, row in ipairs(b) do right[matched(row.labels, match)] = row.value end
	for _, row in ipairs(a) do
		local other = right[matched(row.labels, match)]
		if other then
			out[#out + 1] = { labels = row.labels, value = f(row.value, other) }
		end
	end
	return out
end

-- --- grammar -------------------------------------------------------------------

local expression

local function selector_at(s, name)
	return { name = name, matchers = matchers_at(s) }
end

local FUNCTIONS = {}

function FUNCTIONS.rate(s)
	local selector = selector_at(s, take(s, "name"))
	take(s, "range")
	return rate_of(s, selector, s.looks.seconds)
end
FUNCTIONS.irate = FUNCTIONS.rate

function FUNCTIONS.increase(s)
	local selector = selector_at(s, take(s, "name"))
	take(s, "range")
	return rate_of(s, selector, 1)
end

function FUNCTIONS.histogram_quantile(s)
	local q = expression(s)
	take(s, ",")
	local rows = expression(s)
	if type(q) ~= "number" or type(rows) ~= "table" then
		refuse(s, "histogram_quantile takes a number and a vector")
	end
	return quantiles(q, rows)
end

local function names_at(s)
	local names = {}
	take(s, "(")
	while s.kind ~= ")" do
		names[#names + 1] = take(s, "name")
		if s.kind ~= ")" then take(s, ",") end
	end
	advance(s)
	return names
end

local function by_at(s)
	if s.kind ~= "name" or s.value ~= "by" then return nil end
	advance(s)
	return names_at(s)
end

local function fold_at(s, kind)
	local by = by_at(s)
	take(s, "(")
	local rows = expression(s)
	take(s, ")")
	by = by or by_at(s) or {}
	if type(rows) ~= "table" then refuse(s, "%s takes a vector", kind) end
	return fold(kind, rows, by)
end

local function operand(s)
	if s.kind == "number" then
		return take(s, "number")
	elseif s.kind == "-" then
		advance(s)
		return apply(COMPUTE["-"], 0, operand(s))
	elseif s.kind == "(" then
		advance(s)
		local value = expression(s)
		take(s, ")")
		return value
	end
	local name = take(s, "name")
	if FOLD[name] and (s.kind == "(" or s.kind == "name") then
		return fold_at(s, name)
	elseif s.kind == "(" then
		local f = FUNCTIONS[name]
		if not f then refuse(s, "function '%s'", name) end
		advance(s)
		local value = f(s)
		take(s, ")")
		return value
	end
	local selector = selector_at(s, name)
	if s.kind == "range" then refuse(s, "a range of '%s'", name) end
	return select_from(s.looks.second, selector)
end

-- on(...) or ignoring(...) after an operator, where there is one.
local function match_at(s)
	if s.kind ~= "name" or s.value ~= "on" and s.value ~= "ignoring" then
		return nil
	end
	local match = { only = s.value == "on", names = {} }
	advance(s)
	for _, name in ipairs(names_at(s)) do match.names[name] = true end
	return match
end

local function product(s)
	local value = operand(s)
	while s.kind == "*" or s.kind == "/" do
		local f = COMPUTE[s.kind]
		advance(s)
		local match = match_at(s)
		value = apply(f, value, operand(s), match)
	end
	return value
end

local function sum(s)
	local value = product(s)
	while s.kind == "+" or s.kind == "-" do
		local f = COMPUTE[s.kind]
		advance(s)
		local match = match_at(s)
		value = apply(f, value, product(s), match)
	end
	return value
end

-- VECTOR > NUMBER keeps the rows where it holds; with `bool` each is 1 or 0.
local function compared(s, value)
	local compare = COMPARE[s.kind]
	advance(s)
	local bool = s.kind == "name" and s.value == "bool"
	if bool then advance(s) end
	local limit = sum(s)
	if type(limit) ~= "number" or type(value) ~= "table" then
		refuse(s, "only a vector is compared, and only with a number")
	end
	local out = {}
	for _, row in ipairs(value) do
		local holds = compare(row.value, limit)
		if bool then
			out[#out + 1] = { labels = row.labels, value = holds and 1 or 0 }
		elseif holds then
			out[#out + 1] = row
		end
	end
	return out
end

function expression(s)
	s.depth = s.depth + 1
	if s.depth > 50 then refuse(s, "it is nested too deep") end
	local value = sum(s)
	if COMPARE[s.kind] then value = compared(s, value) end
	s.depth = s.depth - 1
	return value
end

---Evaluates an expression on two looks at pages of metrics. Raises kind check for what
---it does not know.
---
---Example:
---  local rows = eval.run("rate(http_requests_total[5m])",
---    { first = before, second = after, seconds = 10 })
---@param text string
---@param looks opsh.prometheus.looks
---@return opsh.prometheus.row[] rows a number is one row without labels
function M.run(text, looks)
	local s = { text = text, at = 1, looks = looks, depth = 0 }
	advance(s)
	local value = expression(s)
	if s.kind ~= "end" then
		refuse(s, "unexpected '%s'", s.text:sub(s.begin, s.begin + 15))
	end
	if type(value) == "number" then return { { labels = {}, value = value } } end
	return value
end

---The samples of families, in one list, with these labels added to each.
---@param families opsh.prometheus.family[]
---@param labels? table<string, string>
---@return opsh.prometheus.sample[]
function M.samples(families, labels)
	local out = {}
	for _, f in ipairs(families) do
		for _, sample in ipairs(f.samples) do
			local all = {}
			for name, value in pairs(sample.labels) do all[name] = value end
			for name, value in pairs(labels or {}) do
				all[name] = all[name] or value
			end
			out[#out + 1] = { name = sample.name, labels = all,
				value = sample.value }
		end
	end
	return out
end

return M
