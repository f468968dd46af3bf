-- lock.redis: locks as keys of a Redis server: PREFIXlock:{RESOURCE}, a hash that
-- the server removes at the lease's end, and PREFIXtoken:{RESOURCE}, a counter
-- that stays. Each change is one script, so it happens whole or not at all, by
-- token and nonce. Owns the names of the keys; must not use a user's client.
local holder = require "run.holder"
local json = require "opsh.c.json"

local Redis = {}
Redis.__index = Redis

local ACQUIRE = [[
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
local token = redis.call("INCR", KEYS[2])
redis.call("HSET", KEYS[1], "token", token, "nonce", ARGV[1], "record", ARGV[2])
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return token]]

local MINE = [[
local held = redis.call("HMGET", KEYS[1], "token", "nonce")
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
]]

local RENEW = MINE .. [[
redis.call("HSET", KEYS[1], "record", ARGV[3])
return redis.call("PEXPIRE", KEYS[1], ARGV[4])]]

local RELEASE = MINE .. [[return redis.call("DEL", KEYS[1])]]

function Redis:keys(resource)
	return { ("%slock:{%s}"):format(self.prefix, resource),
		("%stoken:{%s}"):format(self.prefix, resource) }
end

-- ms as text: a script's arguments are text, and 1e+06 is no number for PEXPIRE
local function ms(seconds)
	return ("%d"):format(math.floor(seconds * 1000))
end

function Redis:acquire(resource, me, ttl)
	local token = self.scripts.acquire:run(self:keys(resource),
		{ me.nonce, json.encode(me), ms(ttl) }).value
	if token == 0 then return nil, self:read(resource) end
	return token
end

function Redis:renew(resource, token, me, ttl)
	local done = self.scripts.renew:run(self:keys(resource), { ("%d"):format(
		token), me.nonce, json.encode(me), ms(ttl) }).value == 1
	if not done then return false, self:read(resource) end
	return true
end

function Redis:release(resource, token, nonce)
	return self.scripts.release:run(self:keys(resource), { ("%d"):format(token),
		nonce }).value == 1
end

Redis.break_ = Redis.release

function Redis:read(resource)
	local key = self:keys(resource)[1]
	local r = self.client:pipeline(function(p)
		p:hmget(key, "token", "record")
		p:pttl(key)
	end)
	local token, record = table.unpack(r[1], 1, 2)
	if type(token) ~= "string" or type(record) ~= "string" then
		return nil	-- nobody, or no lock of ours
	end
	return holder.new(resource, json.decode(record),
		math.tointeger(tonumber(token)), math.max(r[2], 0) / 1000)
end

function Redis:list()
	local head = self.prefix .. "lock:{"
	local out = {}
	for key in self.client:scan { match = (head:gsub("[%*%?%[%]\\]", "\\%0"))
		.. "*}" } do
		out[#out + 1] = self:read(key:sub(#head + 1, -2))
	end
	return out
end

---The store on a target of kind redis.
---@param lock table of the configuration
---@param client any a client of its own
---@return table store
return function(lock, client)
	return setmetatable({ client = client, prefix = lock.prefix or "opsh:",
		scripts = { acquire = client:script(ACQUIRE),
			renew = client:script(RENEW), release = client:script(RELEASE) } },
		Redis)
end
