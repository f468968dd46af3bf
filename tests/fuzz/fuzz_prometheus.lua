-- fuzz_prometheus: a /metrics text. Whatever it is, the parser gives families or
-- raises an error object of kind protocol or limit; what it gives, written out again
-- by this file's own writer, is read as the same.
local err = require "opsh.c.err"
local text = require "opsh.prometheus.text"

local function quote(s)
	return '"' .. s:gsub('[\\\n"]',
		{ ["\n"] = "\\n", ["\\"] = "\\\\", ['"'] = '\\"' }) .. '"'
end

local function number(v)
	if v ~= v then return "NaN" end
	if v == math.huge then return "+Inf" end
	if v == -math.huge then return "-Inf" end
	return ("%.17g"):format(v)
end

local function labels(own, list)
	local out = { own and quote(own) }
	for k, v in pairs(list) do out[#out + 1] = quote(k) .. "=" .. quote(v) end
	return "{" .. table.concat(out, ",") .. "}"
end

local function stamp(v) return v and " " .. number(v) or "" end

local function write(families)
	local out = {}
	local function add(...) out[#out + 1] = table.concat { ... } end
	for _, f in ipairs(families) do
		add("# TYPE ", quote(f.name), " ", f.type)
		for _, s in ipairs(f.samples) do
			local e = s.exemplar
			add(labels(s.name, s.labels), " ", number(s.value),
				stamp(s.timestamp), e and " # " .. labels(nil, e.labels)
				.. " " .. number(e.value) .. stamp(e.timestamp) or "")
		end
	end
	add "# EOF"
	return table.concat(out, "\n") .. "\n"
end

local function same(a, b)
	if type(a) ~= "table" or type(b) ~= "table" then
		return a == b or a ~= a and b ~= b
	end
	for k, v in pairs(a) do if not same(v, b[k]) then return false end end
	for k in pairs(b) do if a[k] == nil then return false end end
	return true
end

return function(data)
	local fine, value = pcall(text.parse, data)
	if not fine then
		if err.is(value) and (value.kind == "protocol" or value.kind == "limit")
		   or tostring(value):find "not enough memory" then return end
		error("not the right error: " .. tostring(value), 0)
	end
	for _, f in ipairs(value) do f.help, f.unit = nil, nil end
	local again = write(value)
	local ok, back = pcall(text.parse, again)
	if not ok then error(tostring(back) .. "\n" .. again, 0) end
	if not same(value, back) then error("differs:\n" .. again, 0) end
end
