-- redis: targets of kind redis. `cache:get "x"`: every command is a method; what
-- is more than one command (scan, pipeline, multi, scripts, subscribe) is in
-- opsh.redis.*. Judging, recording and waiting are the C module's, below all
-- of it. Owns the options of the kind.
local c = require "opsh.c.redis"
local err = require "opsh.c.err"

local M = {}

---@class opsh.redis.client
local Client = {}

local function bad(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

-- --- commands as methods ---------------------------------------------------

-- The first word of these is only half of a command's name: config_get.
local CONTAINERS = { acl = true, client = true, cluster = true, command = true,
	config = true, debug = true, ["function"] = true, latency = true,
	memory = true, module = true, object = true, pubsub = true, script = true,
	sentinel = true, slowlog = true, xgroup = true, xinfo = true }

-- Replies that are a flat list of names and values, and lists of such.
local MAP = { HGETALL = true, ["CONFIG GET"] = true, ["XINFO STREAM"] = true,
	["MEMORY STATS"] = true, ["PUBSUB NUMSUB"] = true, ["ACL GETUSER"] = true,
	["PUBSUB SHARDNUMSUB"] = true, ["SENTINEL MASTER"] = true,
	["FUNCTION STATS"] = true }
local MAPS = { ["XINFO GROUPS"] = true, ["XINFO CONSUMERS"] = true,
	["SENTINEL MASTERS"] = true, ["SENTINEL REPLICAS"] = true,
	["SENTINEL SENTINELS"] = true, ["FUNCTION LIST"] = true }

-- "config_get" -> "CONFIG", "GET"; "eval_ro" -> "EVAL_RO"
local function words_of(method)
	local first, second = method:match "^(%l+)_([%l%d_]+)$"
	if first and CONTAINERS[first] then
		return first:upper(), (second:upper():gsub("_", "-"))
	end
	return method:upper(), nil
end

local function to_map(list)
	if type(list) ~= "table" then return list end
	local map = {}
	for i = 1, #list - 1, 2 do map[list[i]] = list[i + 1] end
	return map
end

-- What a reply of the command is usually read as; nil when as it comes.
---@param name string with its subcommand
---@return (fun(reply: any): any)?
local function converter(name)
	if MAP[name] then return to_map end
	if MAPS[name] then
		return function(list)
			for i, item in ipairs(list) do list[i] = to_map(item) end
			return list
		end
	end
	if name == "INFO" then return require("opsh.redis.info").sections end
	if name == "CLIENT LIST" then
		return require("opsh.redis.info").clients
	end
end

local function new_method(method)
	local name, sub = words_of(method)
	local full = sub and name .. " " .. sub or name
	if MAP[full] then return c.method(name, sub, true) end
	local call, convert = c.method(name, sub), converter(full)
	if not convert then return call end
	return function(self, ...) return convert(call(self, ...)) end
end

setmetatable(Client, { __index = function(methods, name)
	if type(name) ~= "string" or not name:match "^%l[%l%d_]*$" then
		return nil
	end
	local method = new_method(name)
	rawset(methods, name, method)
	return method
end })

-- A command by its words, or one line as redis-cli reads it; the raw reply.
---@param ... any "SET", "k", "v"; lists are flattened; options last
---@return any
function Client:cmd(...) return c.cmd(self, ...) end

-- cache "GET x"
function Client:__call(line, ...)
	if select("#", ...) == 0 or type((...)) == "table" and #(...) == 0 then
		return c.line(self, line, ...)
	end
	return c.cmd(self, line, ...)
end

-- Sections of INFO: info "stats" gives its fields, info() a table a section.
---@param ... string sections
---@return table
function Client:info(...)
	local info = require "opsh.redis.info"
	local one = select("#", ...) == 1 and type((...)) == "string"
		and not info.many[(...):lower()]
	return info.sections(c.cmd(self, "INFO", ...), one)
end

---Who the server is, read from it now. A write is refused (exit 12) when this
---is another server or another role than before.
---@return opsh.redis.identity
function Client:identity()
	local info = require "opsh.redis.info"
	local _, role, address = c.refresh(self)
	local r = c.list(self, { { "INFO", "server" }, { "INFO", "replication" },
		{ "INFO", "memory" } }, { errors = "keep" })
	local function section(i)
		return type(r[i]) == "string" and info.sections(r[i], true) or {}
	end
	local server, replication, memory = section(1), section(2), section(3)
	local replicas = {}
	for i = 0, (replication.connected_slaves or 0) - 1 do
		replicas[#replicas + 1] = replication["slave" .. i]
	end
	return {
		run_id = server.run_id, version = server.redis_version,
		mode = server.redis_mode, role = role ~= "" and role or nil,
		address = address, db = c.db(self),
		uptime = server.uptime_in_seconds, replicas = replicas,
		master = replication.master_host and {
			host = replication.master_host, port = replication.master_port,
			link = replication.master_link_status } or nil,
		maxmemory = memory.maxmemory, used_memory = memory.used_memory,
		maxmemory_policy = memory.maxmemory_policy,
	}
end

---Closes all connections; the client can't be used after it.
function Client:close() c.close(self) end

-- Refused, with what to use instead: there is no safe way to send it.
function Client.monitor()
	error(err.new { kind = "usage", message = "'MONITOR' can't be sent on its "
		.. "own: it slows the server down and shows every value: use INFO, "
		.. "SLOWLOG GET or CLIENT LIST" }, 0)
end

require("opsh.redis.scan").install(Client)
require("opsh.redis.many").install(Client, words_of, converter)
require("opsh.redis.script").install(Client)
require("opsh.redis.subscribe").install(Client)
c.methods(Client)

-- --- the kind ---------------------------------------------------------------

-- "host:port", "[::1]:26379", "host"
local function split_address(text)
	local host, port = text:match "^%[([%x:.]+)%]:?(%d*)$"
	if not host then host, port = text:match "^([^:%s]+):?(%d*)$" end
	if not host then bad("sentinel '%s' must be HOST:PORT", text) end
	return { host, port ~= "" and port or "26379" }
end

local function connect(target, options)
	local u = options.url or {}
	if next(u.query or {}) then
		bad("URL of target '%s' has an unknown parameter '%s'", target:name(),
			tostring(next(u.query)))
	end
	local o = { db = options.db or u.db or 0, user = options.user or u.user,
		password = options.password or u.password,
		tls = options.tls or u.tls or false, path = u.socket }
	if u.host then o.addr = { u.host, tostring(u.port) } end
	for _, name in ipairs { "ca", "cert", "key", "server_name", "timeout",
		"connect_timeout", "max_reply", "max_elements", "master_name",
		"sentinel_user", "sentinel_password" } do
		o[name] = options[name]
	end
	if options.sentinels then
		o.sentinels = {}
		for i, text in ipairs(options.sentinels) do
			o.sentinels[i] = split_address(text)
		end
	end
	return c.connect(target, o)
end

M.kind = {
	name = "redis",
	schemes = { "redis", "rediss", "redis+unix" },
	connect = connect,
	ping = function(client) client:ping() end,
	options = {
		password = { type = "secret", help = "of the user, or of the server" },
		user = { type = "string", help = "ACL user (default: default)" },
		db = { type = "integer", min = 0, help = "database, over the URL's" },
		tls = { type = "boolean", help = "TLS without a rediss: URL (Sentinel)" },
		ca = { type = "string", help = "PEM file of the authorities to trust "
			.. "(default: the system's)" },
		cert = { type = "string", help = "PEM file of our certificate" },
		key = { type = "string", help = "PEM file of its key" },
		server_name = { type = "string",
			help = "name that the server's certificate must carry" },
		sentinels = { type = "list", items = "string",
			help = "HOST:PORT of the Sentinels that know the master" },
		master_name = { type = "string", help = "its name in Sentinel" },
		sentinel_user = { type = "string", help = "ACL user of the Sentinels" },
		sentinel_password = { type = "secret", help = "of the Sentinels" },
		timeout = { type = "duration",
			help = "for a call, in seconds (default 10)" },
		connect_timeout = { type = "duration",
			help = "to connect, DNS and TLS included (default 5)" },
		max_reply = { type = "integer", min = 4096,
			help = "bytes of one reply, at most (default 64 MiB)" },
		max_elements = { type = "integer", min = 1,
			help = "elements of one reply, at most (default 1000000)" },
	},
}

return M
