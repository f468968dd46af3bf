-- prometheus.text: reads the text exposition format of Prometheus (0.0.4) and
-- OpenMetrics 1.0, as a /metrics page has it. Text in, families out; nothing is
-- fetched here. What is no such text raises with its line; sizes are limited.
-- Sources: "Exposition formats" of the Prometheus documentation; the OpenMetrics
-- 1.0 specification.
local err = require "opsh.c.err"

local M = {}

-- One value of a metric.
---@class opsh.prometheus.sample
---@field name string with suffix, as `http_requests_total`
---@field labels table<string, string>
---@field value number
---@field timestamp? number seconds since 1970, when the text has one
---@field exemplar? {labels: table<string, string>, value: number, timestamp?: number}

-- What one TYPE line is about.
---@class opsh.prometheus.family
---@field name string
---@field type string counter, gauge, histogram, summary, untyped, ...
---@field help? string
---@field unit? string
---@field samples opsh.prometheus.sample[] in the order of the text

-- Suffixes of samples that belong to a family of this type. A counter of
-- OpenMetrics is named without its _total.
local SUFFIXES <const> = {
	histogram = { "_bucket", "_sum", "_count", "_created" },
	gaugehistogram = { "_bucket", "_gsum", "_gcount" },
	summary = { "_sum", "_count", "_created" },
	counter = { "_total", "_created" },
	info = { "_info" },
}
local TYPES <const> = { counter = true, gauge = true, histogram = true,
	summary = true, untyped = true, unknown = true, info = true,
	stateset = true, gaugehistogram = true }

local MAX_BYTES <const> = 64 << 20
local MAX_SAMPLES <const> = 1000000
local MAX_LABELS <const> = 256

local function stop(kind, line, fmt, ...)
	error(err.new { kind = kind, message = ("cannot read metrics: line %d: %s")
		:format(line, fmt:format(...)) }, 0)
end

local function bad(s, fmt, ...)
	return stop("protocol", s.line, fmt, ...)
end

-- What is at this place, short, for a message.
local function near(line, at)
	local text = line:sub(at, at + 19)
	return text == "" and "the end of the line" or "'" .. text .. "'"
end

-- --- parts of a line ---------------------------------------------------------

---The number a text of the format stands for (Go's ParseFloat, in decimal), nil
---when it is none. Whole ones below 2^53 are integers.
---@param text string
---@return number?
function M.number(text)
	local v
	if text:find "^[+-]?%d+%.?%d*$" or text:find "^[+-]?%.%d+$"
		or text:find "^[+-]?%d+%.?%d*[eE][+-]?%d+$"
		or text:find "^[+-]?%.%d+[eE][+-]?%d+$" then
		v = tonumber((text:gsub("^%+", ""))) + 0.0
		if v == math.huge or v == -math.huge then return nil end
	else
		local sign, word = text:match "^([+-]?)(%a+)$"
		word = word and word:lower()
		if word == "nan" then return 0 / 0 end
		if word ~= "inf" and word ~= "infinity" then return nil end
		return sign == "-" and -math.huge or math.huge
	end
	if v == 0 then return text:find("-", 1, true) == 1 and -0.0 or 0 end
	return v > -2^53 and v < 2^53 and math.tointeger(v) or v
end

-- The quoted text whose content begins at `at`; returns it and the place after.
-- Escapes: \\ \" \n, and no other.
local function quoted(s, line, at)
	local plain, after = line:match('^([^"\\]*)"()', at)
	if plain then return plain, after end
	local parts = {}
	while true do
		local part, mark, next = line:match('^([^"\\]*)(["\\])()', at)
		if not part then bad(s, "a quoted text does not end") end
		parts[#parts + 1] = part
		if mark == '"' then return table.concat(parts), next end
		local c = line:sub(next, next)
		if c == "n" then c = "\n"
		elseif c ~= '"' and c ~= "\\" then
			bad(s, "unknown escape '\\%s'", c)
		end
		parts[#parts + 1] = c
		at = next + 1
	end
end

-- The name of a label, bare or quoted; nil when neither is there.
local function label_name(s, line, at)
	local name, after = line:match("^([%a_][%w_]*)()", at)
	if name then return name, after end
	after = line:match('^"()', at)
	if after then return quoted(s, line, after) end
end

-- {a="b",...} whose content begins at `at`. A quoted name without a value is the
-- metric's. Returns labels, the place after '}', that name.
local function labels_at(s, line, at)
	local labels, count, own = {}, 0, nil
	while true do
		at = line:match("^[ \t]*()", at)
		local after = line:match("^}()", at)
		if after then return labels, after, own end
		local bare = line:byte(at) ~= 34
		local name, next = label_name(s, line, at)
		if not name then bad(s, "expected a label, found %s", near(line, at)) end
		local value = line:match('^[ \t]*=[ \t]*"()', next)
		if value then
			if labels[name] then bad(s, "label '%s' stands twice", name) end
			count = count + 1
			if count > MAX_LABELS then
				stop("limit", s.line, "more than %d labels", MAX_LABELS)
			end
			labels[name], at = quoted(s, line, value)
		elseif not bare and not own and line:find("^[ \t]*[,}]", next) then
			own, at = name, next
		else
			bad(s, "expected =\"...\" after label '%s', found %s", name,
				near(line, next))
		end
		at = line:match("^[ \t]*()", at)
		local comma = line:match("^,()", at)
		if not comma and line:sub(at, at) ~= "}" then
			bad(s, "expected ',' or '}', found %s", near(line, at))
		end
		at = comma or at
	end
end

-- Value and timestamp that begin at `at`; returns them and the place after.
local function value_at(s, line, at)
	local text, after = line:match("^[ \t]*([^ \t]+)()", at)
	if not text then bad(s, "the value is missing") end
	local value = M.number(text)
	if not value then bad(s, "'%s' is no number", text) end
	local stamp, beyond = line:match("^[ \t]+([^ \t#]+)()", after)
	if not stamp then return value, nil, after end
	local time = M.number(stamp)
	if not time or time ~= time or time == math.huge or time == -math.huge
		or not s.open and math.type(time) ~= "integer" then
		bad(s, "'%s' is no timestamp", stamp)
	end
	-- milliseconds in the older format, seconds in the newer
	return value, s.open and time or time / 1000, beyond
end

-- --- lines -------------------------------------------------------------------

local function family(s, name)
	local f = s.by_name[name]
	if not f then
		f = { name = name, type = "untyped", samples = {} }
		s.by_name[name] = f
		s.families[#s.families + 1] = f
	end
	return f
end

-- The family a sample of this name belongs to.
local function family_of(s, name)
	local known = s.members[name]
	if known then return known end
	known = s.by_name[name]
	if not known then
		local base, suffix = name:match "^(.+)(_[a-z]+)$"
		local f = base and s.by_name[base]
		for _, one in ipairs(f and SUFFIXES[f.type] or {}) do
			if one == suffix then known = f end
		end
	end
	known = known or family(s, name)
	s.members[name] = known
	return known
end

local function unescape(text)
	return (text:gsub("\\([\\n\"])", { n = "\n", ["\\"] = "\\", ['"'] = '"' }))
end

local META = {}

function META.HELP(s, f, text)
	if f.help then bad(s, "a second HELP of '%s'", f.name) end
	f.help = unescape(text)
end

function META.TYPE(s, f, text)
	text = text:match "^(.-)[ \t]*$"
	if not TYPES[text] then
		bad(s, "unknown type '%s' of '%s'", text, f.name)
	elseif s.typed[f] then
		bad(s, "a second TYPE of '%s'", f.name)
	elseif #f.samples > 0 then
		bad(s, "TYPE of '%s' comes after its samples", f.name)
	end
	s.typed[f], f.type = true, text
end

function META.UNIT(s, f, text)
	if f.unit then bad(s, "a second UNIT of '%s'", f.name) end
	f.unit = text:match "^(.-)[ \t]*$"
end

local function read_comment(s, line)
	local word, at = line:match "^[ \t]*#[ \t]*(%u+)[ \t]*()"
	if word == "EOF" and at > #line then
		s.ended = true
		return
	end
	local what = META[word]
	if not what or not line:find("^[ \t]*#[ \t]*%u+[ \t]") then return end
	local name, after = line:match("^([%a_:][%w_:]*)()", at)
	if not name then
		local open = line:match('^"()', at)
		if not open then
			bad(s, "expected a metric after %s, found %s", word, near(line, at))
		end
		name, after = quoted(s, line, open)
	end
	if after <= #line and not line:find("^[ \t]", after) then
		bad(s, "invalid name of a metric at %s", near(line, at))
	end
	what(s, family(s, name), line:match("^[ \t]*(.*)$", after))
end

local function read_sample(s, line)
	local name, at = line:match "^[ \t]*([%a_:][%w_:]*)()"
	at = at or line:match "^[ \t]*()"
	local brace = line:match("^[ \t]*{()", at)
	local labels, own
	if brace then
		labels, at, own = labels_at(s, line, brace)
		if own and name then bad(s, "two names: '%s' and '%s'", name, own) end
		name = name or own
	elseif name and not line:find("^[ \t]", at) then
		bad(s, "expected '{' or a value after '%s', found %s", name,
			near(line, at))
	end
	if not name then
		bad(s, "expected a metric, found %s", near(line, at))
	end
	local sample = { name = name, labels = labels or {} }
	sample.value, sample.timestamp, at = value_at(s, line, at)
	local mark = line:match("^[ \t]+#[ \t]*{()", at)
	if mark then
		local e = {}
		e.labels, at = labels_at(s, line, mark)
		e.value, e.timestamp, at = value_at(s, line, at)
		sample.exemplar = e
	end
	if line:find("[^ \t]", at) then
		bad(s, "unexpected %s after the value", near(line, at))
	end
	s.count = s.count + 1
	if s.count > s.max_samples then
		stop("limit", s.line, "more than %d samples", s.max_samples)
	end
	local list = family_of(s, name).samples
	list[#list + 1] = sample
end

local function read_line(s, line)
	if line:byte(-1) == 13 then line = line:sub(1, -2) end
	local first = line:match "^[ \t]*([^ \t])"
	if not first then return end
	if s.ended then bad(s, "text after '# EOF'") end
	if line:find "[\128-\255]" and not utf8.len(line) then
		bad(s, "not UTF-8")
	elseif line:find("\0", 1, true) then
		bad(s, "NUL byte")
	end
	if first == "#" then
		read_comment(s, line)
	else
		read_sample(s, line)
	end
end

---Reads a text of the exposition format. A text that ends with `# EOF` is
---OpenMetrics: its timestamps are seconds; both give seconds. Raises kind
---protocol (with the line) and limit.
---
---Example:
---  local families = prometheus.parse "# TYPE up gauge\nup{job=\"api\"} 1\n"
---@param text string
---@param opts? {max_bytes?: integer, max_samples?: integer}
---@return opsh.prometheus.family[] families in the order of the text
function M.parse(text, opts)
	opts = opts or {}
	if type(text) ~= "string" then
		error(err.new { kind = "usage", message = "cannot read metrics: "
			.. "expected text, got " .. type(text) }, 0)
	end
	for key in pairs(opts) do
		if key ~= "max_bytes" and key ~= "max_samples" then
			error(err.new { kind = "usage", message = "parse: unknown option '"
				.. tostring(key) .. "'" }, 0)
		end
	end
	local limit = opts.max_bytes or MAX_BYTES
	if #text > limit then
		error(err.new { kind = "limit", message =
			("cannot read metrics: %d bytes, limit %d"):format(#text, limit) }, 0)
	end
	local s = { line = 0, count = 0, families = {}, by_name = {}, members = {},
		typed = {}, max_samples = opts.max_samples or MAX_SAMPLES,
		open = text:find "# EOF%s*$" ~= nil }
	local at = 1
	while at <= #text do
		local stops = text:find("\n", at, true) or #text + 1
		s.line = s.line + 1
		read_line(s, text:sub(at, stops - 1))
		at = stops + 1
	end
	return s.families
end

---The samples of this name (with suffix), whose labels have these values.
---
---Example:
---  local list = prometheus.find(families, "http_requests_total", { code = "500" })
---@param families opsh.prometheus.family[]
---@param name string
---@param labels? table<string, string>
---@return opsh.prometheus.sample[]
function M.find(families, name, labels)
	local out = {}
	for _, f in ipairs(families) do
		for _, sample in ipairs(f.samples) do
			local fits = sample.name == name
			for key, value in pairs(labels or {}) do
				fits = fits and sample.labels[key] == value
			end
			if fits then out[#out + 1] = sample end
		end
	end
	return out
end

return M
