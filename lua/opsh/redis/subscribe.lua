-- redis.subscribe: messages of channels as an iterator, on a connection of its
-- own. A lost connection is an error, never a silent gap. Must be closed: the
-- loop does it, or `local sub <close> = ...`.
local c = require "opsh.c.redis"
local err = require "opsh.c.err"

local M = {}

---@class opsh.redis.subscription
local Sub = {}
Sub.__index = Sub
Sub.__name = "opsh.redis.subscription"

local function message(m)
	if m[1] == "message" then
		return { channel = m[2], payload = m[3] }
	elseif m[1] == "pmessage" then
		return { pattern = m[2], channel = m[3], payload = m[4] }
	end
end

local function receive(self)
	local m = c.sub_next(self.sub)
	if err.is(m) then error(m, 0) end
	return m
end

-- The next message: {channel, payload, pattern}; nil once it is closed.
function Sub:next()
	if self.first <= #self.early then
		self.first = self.first + 1
		return self.early[self.first - 1]
	end
	while true do
		local m = receive(self)
		if m == nil then return nil end
		local found = message(m)
		if found then return found end
	end
end

function Sub:close() c.sub_close(self.sub) end

Sub.__close = Sub.close
Sub.__call = Sub.next

local function list(value, name)
	if value == nil then return {} end
	if type(value) == "string" then return { value } end
	if type(value) ~= "table" then
		error(("option '%s' must be a list of names"):format(name), 4)
	end
	for i, v in ipairs(value) do
		if type(v) ~= "string" then
			error(("option '%s' must be a list of names, number %d is a %s")
				:format(name, i, type(v)), 4)
		end
	end
	return value
end

-- Waits until the server has confirmed each name; early messages are kept.
local function confirm(self, n)
	while n > 0 do
		local m = receive(self)
		if m == nil then return end
		local found = message(m)
		if found then
			self.early[#self.early + 1] = found
		else
			n = n - 1
		end
	end
end

function M.install(Client)
	-- for m in cache:subscribe { channels = {"a"}, patterns = {"b.*"} } do
	function Client:subscribe(opts)
		if type(opts) ~= "table" then
			error("subscribe { channels = {...}, patterns = {...} } expected", 2)
		end
		for name in pairs(opts) do
			if name ~= "channels" and name ~= "patterns" and name ~= "timeout"
			then
				error(("unknown option '%s' (known: channels, patterns, "
					.. "timeout)"):format(tostring(name)), 2)
			end
		end
		local channels = list(opts.channels, "channels")
		local patterns = list(opts.patterns, "patterns")
		if #channels + #patterns == 0 then
			error("subscribe needs channels or patterns", 2)
		end
		local self_ = setmetatable({ early = {}, first = 1,
			sub = c.sub_open(self, channels, patterns, opts.timeout) }, Sub)
		local ok, why = pcall(confirm, self_, #channels + #patterns)
		if not ok then
			self_:close()
			error(why, 0)
		end
		return self_, nil, nil, self_
	end
end

return M
