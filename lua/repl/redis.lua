-- repl.redis: the commands of Redis with their syntax, for completion and hints:
-- the server's own COMMAND DOCS once it has been asked, a list of the usual ones
-- before that. Also as methods: config_get. Asks nothing by itself.
local catalog = require "repl.catalog"

local M = {}

-- "NAME arguments"; a command of two words has them joined by "|".
local USUAL <const> = [==[
ACL|WHOAMI
ACL|LIST
ACL|GETUSER username
APPEND key value
BITCOUNT key [start end]
CLIENT|LIST [TYPE type] [ID id ...]
CLIENT|INFO
CLIENT|KILL [ID id] [ADDR ip:port] [USER name] [TYPE type]
CLIENT|PAUSE milliseconds [WRITE|ALL]
CLIENT|UNPAUSE
CLUSTER|INFO
CLUSTER|NODES
CLUSTER|SLOTS
COMMAND|COUNT
COMMAND|DOCS [name ...]
CONFIG|GET pattern ...
CONFIG|SET parameter value ...
CONFIG|RESETSTAT
CONFIG|REWRITE
COPY source destination [DB n] [REPLACE]
DBSIZE
DECR key
DECRBY key decrement
DEL key ...
DUMP key
ECHO message
EVAL script numkeys [key ...] [arg ...]
EVALSHA sha1 numkeys [key ...] [arg ...]
EVAL_RO script numkeys [key ...] [arg ...]
EXISTS key ...
EXPIRE key seconds [NX|XX|GT|LT]
EXPIREAT key unix-time [NX|XX|GT|LT]
EXPIRETIME key
FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]
FLUSHALL [ASYNC|SYNC]
FLUSHDB [ASYNC|SYNC]
FUNCTION|LIST [LIBRARYNAME pattern] [WITHCODE]
FUNCTION|LOAD [REPLACE] code
GEOADD key [NX|XX] [CH] longitude latitude member ...
GEODIST key member member [M|KM|FT|MI]
GEOPOS key [member ...]
GEOSEARCH key FROMMEMBER m|FROMLONLAT x y BYRADIUS r unit|BYBOX w h unit [ASC|DESC] [COUNT n]
GET key
GETBIT key offset
GETDEL key
GETEX key [EX s|PX ms|EXAT t|PXAT t|PERSIST]
GETRANGE key start end
GETSET key value
HDEL key field ...
HEXISTS key field
HGET key field
HGETALL key
HINCRBY key field increment
HINCRBYFLOAT key field increment
HKEYS key
HLEN key
HMGET key field ...
HRANDFIELD key [count [WITHVALUES]]
HSCAN key cursor [MATCH pattern] [COUNT n]
HSET key field value ...
HSETNX key field value
HSTRLEN key field
HVALS key
INCR key
INCRBY key increment
INCRBYFLOAT key increment
INFO [section ...]
KEYS pattern
LASTSAVE
LATENCY|DOCTOR
LATENCY|HISTORY event
LATENCY|LATEST
LATENCY|RESET [event ...]
LINDEX key index
LINSERT key BEFORE|AFTER pivot element
LLEN key
LMOVE source destination LEFT|RIGHT LEFT|RIGHT
LPOP key [count]
LPOS key element [RANK n] [COUNT n] [MAXLEN n]
LPUSH key element ...
LPUSHX key element ...
LRANGE key start stop
LREM key count element
LSET key index element
LTRIM key start stop
MEMORY|DOCTOR
MEMORY|STATS
MEMORY|USAGE key [SAMPLES n]
MEMORY|PURGE
MGET key ...
MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [KEYS key ...]
MODULE|LIST
MOVE key db
MSET key value ...
MSETNX key value ...
OBJECT|ENCODING key
OBJECT|FREQ key
OBJECT|IDLETIME key
OBJECT|REFCOUNT key
PERSIST key
PEXPIRE key milliseconds [NX|XX|GT|LT]
PFADD key [element ...]
PFCOUNT key ...
PFMERGE destination [source ...]
PING [message]
PSETEX key milliseconds value
PTTL key
PUBLISH channel message
PUBSUB|CHANNELS [pattern]
PUBSUB|NUMSUB [channel ...]
RANDOMKEY
RENAME key newkey
RENAMENX key newkey
REPLICAOF host port|NO ONE
RESTORE key ttl value [REPLACE] [ABSTTL]
ROLE
RPOP key [count]
RPOPLPUSH source destination
RPUSH key element ...
RPUSHX key element ...
SADD key member ...
SAVE
BGSAVE [SCHEDULE]
BGREWRITEAOF
SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]
SCARD key
SCRIPT|EXISTS sha1 ...
SCRIPT|FLUSH [ASYNC|SYNC]
SCRIPT|LOAD script
SDIFF key ...
SDIFFSTORE destination key ...
SET key value [NX|XX] [GET] [EX s|PX ms|EXAT t|PXAT t|KEEPTTL]
SETBIT key offset value
SETEX key seconds value
SETNX key value
SETRANGE key offset value
SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]
SINTER key ...
SINTERCARD numkeys key ... [LIMIT n]
SINTERSTORE destination key ...
SISMEMBER key member
SLOWLOG|GET [count]
SLOWLOG|LEN
SLOWLOG|RESET
SMEMBERS key
SMISMEMBER key member ...
SMOVE source destination member
SORT key [BY pattern] [LIMIT offset n] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]
SPOP key [count]
SRANDMEMBER key [count]
SREM key member ...
SSCAN key cursor [MATCH pattern] [COUNT n]
STRLEN key
SUNION key ...
SUNIONSTORE destination key ...
SWAPDB index index
TIME
TOUCH key ...
TTL key
TYPE key
UNLINK key ...
WAIT numreplicas timeout
XACK key group id ...
XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold] *|id field value ...
XAUTOCLAIM key group consumer min-idle-time start [COUNT n] [JUSTID]
XCLAIM key group consumer min-idle-time id ...
XDEL key id ...
XGROUP|CREATE key group id|$ [MKSTREAM]
XGROUP|DESTROY key group
XGROUP|SETID key group id|$
XINFO|CONSUMERS key group
XINFO|GROUPS key
XINFO|STREAM key [FULL [COUNT n]]
XLEN key
XPENDING key group [[IDLE ms] start end count [consumer]]
XRANGE key start end [COUNT n]
XREAD [COUNT n] [BLOCK ms] STREAMS key ... id ...
XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key ... id ...
XREVRANGE key end start [COUNT n]
XTRIM key MAXLEN|MINID [=|~] threshold
ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...
ZCARD key
ZCOUNT key min max
ZINCRBY key increment member
ZLEXCOUNT key min max
ZMSCORE key member ...
ZPOPMAX key [count]
ZPOPMIN key [count]
ZRANDMEMBER key [count [WITHSCORES]]
ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset n] [WITHSCORES]
ZRANGESTORE destination source min max
ZRANK key member
ZREM key member ...
ZREMRANGEBYLEX key min max
ZREMRANGEBYRANK key start stop
ZREMRANGEBYSCORE key min max
ZREVRANGE key start stop [WITHSCORES]
ZREVRANK key member
ZSCAN key cursor [MATCH pattern] [COUNT n]
ZSCORE key member
ZUNIONSTORE destination numkeys key ...
]==]

local usual

local function usual_commands()
	if usual then return usual end
	usual = {}
	for name, sub, syntax in USUAL:gmatch "(%u[%u_]*)|?([%u-]*)([^\n]*)\n" do
		local full = sub ~= "" and name .. " " .. sub or name
		usual[full] = { syntax = syntax:gsub("^ ", "") }
	end
	return usual
end

-- --- what a server says ----------------------------------------------------------

-- A reply that is a flat list of names and values, as a table.
local function map(list)
	local out = {}
	if type(list) ~= "table" then return out end
	for n = 1, #list - 1, 2 do out[list[n]] = list[n + 1] end
	return out
end

local argument

local function arguments(list, between)
	local out = {}
	for n, one in ipairs(type(list) == "table" and list or {}) do
		out[n] = argument(map(one))
	end
	return table.concat(out, between)
end

function argument(arg)
	local flags = {}
	for _, flag in ipairs(type(arg.flags) == "table" and arg.flags or {}) do
		flags[flag] = true
	end
	local text
	if arg.type == "pure-token" then
		text = arg.token
	elseif arg.type == "oneof" then
		text = arguments(arg.arguments, "|")
	elseif arg.type == "block" then
		text = arguments(arg.arguments, " ")
	else
		text = arg.display_text or arg.name or "value"
	end
	text = text or arg.name or ""
	if arg.token and arg.type ~= "pure-token" then
		text = arg.token .. " " .. text
	end
	if flags.multiple then text = text .. " ..." end
	return flags.optional and "[" .. text .. "]" or text
end

local function add_command(out, name, doc, parent)
	local full = (parent and parent .. " " .. name:match "[^|]*$" or name):upper()
	local fields = map(doc)
	if fields.subcommands then
		for sub, inner in pairs(map(fields.subcommands)) do
			add_command(out, sub, inner, full)
		end
		if not fields.arguments then return end
	end
	out[full] = { syntax = arguments(fields.arguments, " "),
		summary = fields.summary, since = fields.since }
end

---The commands of a reply of COMMAND DOCS: "CONFIG GET" -> {syntax, summary, since}.
---@param reply any
---@return table<string, table>
function M.from_docs(reply)
	local out = {}
	for name, doc in pairs(map(reply)) do add_command(out, name, doc) end
	return out
end

---The commands that a target knows, as far as can be said now.
---@param ctx table
---@param target table
---@return table<string, table>
function M.commands(ctx, target)
	local own = catalog.get(ctx, target, "commands", function(client)
		return M.from_docs(client:cmd("COMMAND", "DOCS"))
	end)
	return own and next(own) and own or usual_commands()
end

---The name of a method as a command: "config_get" -> "CONFIG GET".
---@param commands table<string, table>
---@param method string
---@return string? name
function M.of_method(commands, method)
	local name = method:upper()
	if commands[name] then return name end
	local two = name:gsub("_", " ", 1)
	if commands[two] then return two end
	two = two:gsub("_", "-")
	return commands[two] and two or nil
end

---Adds the commands as methods.
---@param c table cursor
---@param list table
---@param target table
function M.methods(c, list, target)
	for name, command in pairs(M.commands(c.ctx, target)) do
		list:add((name:lower():gsub("[ -]", "_")), "command", name .. " "
			.. command.syntax, { rank = 6 })
	end
end

return M
