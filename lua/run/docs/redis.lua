-- docs.redis: the usual commands of Redis with their syntax, for what has to know
-- them without a server: completion, hints, the static check. A server says its
-- own by COMMAND DOCS. Not all there are: absence proves nothing.
local commands = {}

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

---@return table<string, {syntax: string}> "CONFIG GET" -> what it is given
function commands.usual()
	if usual then return usual end
	usual = {}
	for name, sub, syntax in USUAL:gmatch "(%u[%u_]*)|?([%u-]*)([^\n]*)\n" do
		local full = sub ~= "" and name .. " " .. sub or name
		usual[full] = { syntax = syntax:gsub("^ ", "") }
	end
	return usual
end

---The name of a method as a command: "config_get" -> "CONFIG GET".
---@param known table<string, any> commands by name
---@param method string
---@return string? name
function commands.of_method(known, method)
	local name = method:upper()
	if known[name] then return name end
	local two = name:gsub("_", " ", 1)
	if known[two] then return two end
	two = two:gsub("_", "-")
	return known[two] and two or nil
end

---The name of the method that sends a command: "CONFIG GET" -> "config_get".
---@param name string
---@return string
function commands.as_method(name)
	return (name:lower():gsub("[ -]", "_"))
end

return commands
