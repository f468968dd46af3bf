-- redis.many: several commands at once: pipelines (one command over a list, or
-- a function that notes commands) and transactions. One record each. In a
-- plan, what is read before the first write is read; the rest is withheld.
local c = require "opsh.c.redis"
local err = require "opsh.c.err"

local M = {}

local CHUNK = 10000	-- commands that are on their way at once

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

-- Notes what is called on it: p:get "x" -> { "GET", "x" }.
local function recorder(words_of)
	local list = {}
	local function note(...)
		list[#list + 1] = { n = select("#", ...), ... }
	end
	local p = setmetatable({}, { __index = function(_, method)
		if method == "cmd" then
			return function(_, ...) note(...) end
		end
		local name, sub = words_of(method)
		return function(_, ...)
			if sub then note(name, sub, ...) else note(name, ...) end
		end
	end })
	return p, list
end

local function name_of(command, converter)
	local name = tostring(command[1]):upper()
	return converter(name) or command.n > 1
		and converter(name .. " " .. tostring(command[2]):upper()) or nil
end

local function convert(results, list, converter)
	for i, command in ipairs(list) do
		local f = name_of(command, converter)
		local r = results[i]
		if f and (type(r) == "string" or type(r) == "table")
			and not err.is(r) then
			results[i] = f(r)
		end
	end
	return results
end

-- A plan withheld the whole: what stands before the first write is read.
local function planned(self, list, withheld, opts)
	local reads = {}
	for i, command in ipairs(list) do
		if c.class(self, table.unpack(command, 1, command.n)) ~= "read" then
			break
		end
		reads[i] = command
	end
	local out = #reads > 0 and c.list(self, reads, opts) or {}
	for i = #reads + 1, #list do out[i] = withheld end
	return out
end

local function run_list(self, f, opts, words_of, converter)
	local p, list = recorder(words_of)
	f(p)
	if #list == 0 then return {} end
	local results, withheld = c.list(self, list, opts)
	if not results then
		if type(withheld) == "table" then	-- expect
			return withheld.value or withheld
		end
		results = planned(self, list, withheld, opts
			and { timeout = opts.timeout, errors = opts.errors })
	end
	return convert(results, list, converter)
end

-- Two chunks of replies, or two results of writes, as one.
local function join(a, b)
	if a == nil then return b end
	if type(b) ~= "table" then return b end		-- withheld
	local into = a.value or a
	table.move(b.value or b, 1, #(b.value or b), #into + 1, into)
	if a.value and a.count and b.count then a.count = a.count + b.count end
	return a
end

local function run_flat(self, words, list, opts)
	local out
	if #list == 0 then return {} end
	for from = 1, #list, CHUNK do
		local to = math.min(from + CHUNK - 1, #list)
		out = join(out, c.flat(self, words, list, from, to, opts))
	end
	return out
end

local function transaction(self, opts, f, words_of, converter)
	local lease <close> = opts.watch and c.lease(self) or nil
	local on = lease or self
	local call = { timeout = opts.timeout, expect = opts.expect }
	if lease then
		local watch = { "WATCH" }
		if type(opts.watch) == "table" then
			table.move(opts.watch, 1, #opts.watch, 2, watch)
		else
			watch[2] = opts.watch
		end
		c.cmd(lease, table.unpack(watch))
	end
	local tx, list = recorder(words_of)
	f(tx, on)
	if #list == 0 then return {} end
	local results, withheld = c.list(on, list, call, true)
	if not results then
		if type(withheld) == "table" then
			return withheld.value or withheld
		end
		results = {}
		for i = 1, #list do results[i] = withheld end
		return results
	end
	if lease then c.lease_end(lease, true) end
	return convert(results, list, converter)
end

function M.install(Client, words_of, converter)
	-- pipeline("GET", keys [, opts]) or pipeline(function(p) p:get "x" end).
	function Client:pipeline(what, list, opts)
		if type(what) == "function" then
			return run_list(self, what, list, words_of, converter)
		elseif type(what) ~= "string" or type(list) ~= "table" then
			usage("pipeline takes a command and a list, or a function")
		end
		return run_flat(self, what, list, opts)
	end

	-- multi([opts,] function(tx, c) ... end): all or nothing. With `watch` it
	-- fails (code WATCH) when a watched key has changed since; c reads on the
	-- connection that watches.
	function Client:multi(opts, f)
		if f == nil then opts, f = {}, opts end
		if type(opts) ~= "table" or type(f) ~= "function" then
			usage("multi takes options and a function")
		end
		for name in pairs(opts) do
			if name ~= "watch" and name ~= "timeout" and name ~= "expect" then
				usage("unknown option '%s' (known: expect, timeout, watch)",
					tostring(name))
			end
		end
		return transaction(self, opts, f, words_of, converter)
	end
end

return M
