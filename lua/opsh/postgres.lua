-- postgres: targets of kind postgres: `db:query("select …")`. Judging, recording,
-- transactions and waiting are the C module's, below all of it; connection
-- strings are read in opsh.postgres.conninfo. Owns the options of the kind.
local c = require "opsh.c.pg"
local json = require "opsh.c.json"

local M = {}

c.json(json.decode, json.encode)

---@class opsh.postgres.client
local Client = {}
Client.__index = Client

---@class opsh.postgres.transaction
local Tx = {}
Tx.__index = Tx

-- --- statements --------------------------------------------------------------

-- What clients and transactions have in common.
---@param methods opsh.postgres.client|opsh.postgres.transaction
local function install(methods)
	---Rows of a read, from a READ ONLY transaction; decoded when they are
	---looked at. What is no read is refused. In a transaction that is readonly,
	---savepoint = false reads without the savepoint that else stands around a
	---read: what it sets stays, and a snapshot can be exported.
	---@param sql string one statement, with $1 to $n
	---@param ... any its parameters, then opsh.postgres.read_options
	---@return opsh.postgres.rows
	function methods:query(sql, ...) return c.query(self, sql, ...) end

	---A write, in a transaction of its own: its result has count, rows (of
	---RETURNING), command, notices. Options: timeout, max, expect (the result
	---that a plan goes on with), class ("destructive": is to be guarded).
	---@param sql string one statement, with $1 to $n
	---@param ... any its parameters, then opsh.postgres.write_options
	---@return opsh.postgres.result
	function methods:exec(sql, ...) return c.exec(self, sql, ...) end

	---The first row of a read, or nil.
	---@param sql string
	---@param ... any its parameters, then opsh.postgres.read_options
	---@return opsh.postgres.row?
	function methods:one(sql, ...) return c.query(self, sql, ...)[1] end

	---The first column of the first row of a read, or nil.
	---@param sql string
	---@param ... any its parameters, then opsh.postgres.read_options
	---@return any
	function methods:value(sql, ...)
		local row = c.query(self, sql, ...)[1]
		return row and row[1]
	end

	---Streams the rows of a SELECT in constant memory: a cursor, the next rows on
	---their way while these are worked on. Options: timeout of each step; reuse:
	---one table for all rows, the fastest way when none is kept.
	---
	---    for row in db:rows "select * from flights" do print(row.id) end
	---@param sql string
	---@param ... any its parameters, then opsh.postgres.rows_options
	---@return fun(): opsh.postgres.row? next, nil, nil, userdata cursor
	function methods:rows(sql, ...) return c.rows(self, sql, ...) end

	function methods:__call(sql, ...) return c.auto(self, sql, ...) end
end

install(Client)
install(Tx)

---What a statement would do, without sending it.
---@param text string
---@return table verdict class, why, tags, statements, parameters, relations
M.judge = c.judge

---Rows, or one row, as plain tables that can be kept and changed; NULL is
---json.null.
---@param rows opsh.postgres.rows|opsh.postgres.row
---@return table
M.plain = c.plain

---Rows as tables that can be kept and changed, where NULL is a field that is not
---there.
---@param rows opsh.postgres.rows
---@return table[]
function M.list(rows)
	local out = {}
	for n, row in ipairs(rows) do
		local copy = {}
		for name, value in pairs(row) do copy[name] = value end
		out[n] = copy
	end
	return out
end

-- --- transactions -------------------------------------------------------------

local function attempt(self, f, opts)
	local tx <close> = c.begin(self, opts)
	local results = table.pack(xpcall(f, function(e)
		return e
	end, tx))
	if not results[1] then
		c.rollback(tx)
		error(results[2], 0)
	end
	c.commit(tx)
	return results
end

---Runs f(tx) in a transaction: committed when it returns, rolled back when it
---raises. retry: so many more times when the server says that another
---transaction was in the way (40001, 40P01). isolation: "read committed",
---"repeatable read" or "serializable"; readonly; timeout of each statement.
---@param f fun(tx: opsh.postgres.transaction): ...
---@param opts? {retry?: integer, isolation?: "read committed"|"repeatable read"|"serializable", readonly?: boolean, timeout?: number}
---@return any ... what f returned
function Client:transaction(f, opts)
	local own, retry = {}, 0
	for k, v in pairs(opts or {}) do
		if k == "retry" then retry = v else own[k] = v end
	end
	while true do
		local ok, results = pcall(attempt, self, f, own)
		if ok then return table.unpack(results, 2, results.n) end
		if retry < 1 or type(results) ~= "table" or not results.retryable
		then
			error(results, 0)
		end
		retry = retry - 1
	end
end

-- --- COPY -----------------------------------------------------------------------

---Data of a query or table to a file or a function, in the text of COPY. A file
---appears when all has come, mode 0600 unless `mode` says; none is replaced.
---
---    db:copy_out("select * from flights", { to = "/tmp/flights.copy" })
---    db:copy_out("copy t to stdout csv header", { to = function(piece) … end })
---@param sql string a SELECT, or COPY … TO STDOUT
---@param opts {to: string|fun(piece: string), timeout?: number, mode?: string} timeout: without progress
---@return {count: integer, bytes: integer, ok: boolean}
function Tx:copy_out(sql, opts)
	return require("opsh.postgres.copy").out(self, sql, opts)
end

---Data into a table, by COPY … FROM STDIN. The result has count and bytes.
---
---    db:copy_in("copy t from stdin csv", { file = "/tmp/t.csv" })
---@param sql string
---@param source string|(fun(): string?)|{file: string}
---@param opts? {timeout?: number, expect?: any}
---@return {count: integer, bytes: integer, ok: boolean}
function Tx:copy_in(sql, source, opts)
	return require("opsh.postgres.copy").into(self, sql, source, opts)
end

---As of a transaction, in one of its own.
---@param sql string
---@param opts table
---@return {count: integer, bytes: integer, ok: boolean}
function Client:copy_out(sql, opts)
	return self:transaction(function(tx) return tx:copy_out(sql, opts) end,
		{ readonly = true })
end

---As of a transaction, in one of its own: all of it or nothing.
---@param sql string
---@param source string|(fun(): string?)|{file: string}
---@param opts? table
---@return {count: integer, bytes: integer, ok: boolean}
function Client:copy_in(sql, source, opts)
	return self:transaction(function(tx)
		return tx:copy_in(sql, source, opts)
	end)
end

-- --- notifications -----------------------------------------------------------------

---Iterates over the notifications of channels: channel, payload, pid of the
---sender. Ends when none came for `timeout` seconds (default: never). The
---connection is its own, and goes when the loop ends.
---
---    for n in db:listen("jobs", { timeout = 5 }) do print(n.payload) end
---@param ... string|table channels, then a table of options
---@return fun(): {channel: string, payload: string, pid: integer}?, nil, nil, userdata
function Client:listen(...)
	local channels = { ... }
	local opts = type(channels[#channels]) == "table"
		and table.remove(channels) or {}
	for key in pairs(opts) do
		if key ~= "timeout" then
			error(("unknown option '%s' (known: timeout)"):format(
				tostring(key)), 2)
		end
	end
	local listener = c.listen(self, channels)
	return function() return c.listen_next(listener, opts.timeout) end,
		nil, nil, listener
end

---Sends a notification; a write.
---@param channel string
---@param payload? string
---@return opsh.postgres.result
function Client:notify(channel, payload)
	return c.exec(self, "select pg_notify($1, $2)", channel, payload or "")
end

---Sends a notification when the transaction is committed.
---@param channel string
---@param payload? string
---@return opsh.postgres.result
Tx.notify = Client.notify

-- --- who it is ------------------------------------------------------------------

local IDENTITY <const> = [[
select current_setting('server_version') as version,
  current_database() as database, current_user as "user",
  pg_is_in_recovery() as recovery, pg_backend_pid() as pid,
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
    else pg_current_wal_lsn() end::text as lsn,
  pg_postmaster_start_time()::text as started]]

---Who the server is, read from it now. A write is refused (exit 12) when this is
---another server, timeline or role than before.
---@return opsh.postgres.identity
function Client:identity()
	local address, pooled, tls, ident, role = c.refresh(self)
	local found = { address = address, pooled = pooled, tls = tls,
		role = role }
	for k, v in ident:gmatch "(%w+)=(%S+)" do found[k] = v end
	if found.pgbouncer then
		found.version, found.pgbouncer = found.pgbouncer, true
		return found
	end
	found.system_identifier = found.system ~= "?" and found.system or nil
	found.system, found.timeline = nil, math.tointeger(tonumber(
		found.timeline))
	for k, v in pairs(self:one(IDENTITY)) do found[k] = v end
	found.sslmode = c.keyword(self, "sslmode") or os.getenv "PGSSLMODE"
		or "prefer"
	return found
end

---Asks the server to end what this target's other tasks are running on it.
---@return integer asked how many statements
function Client:cancel() return c.cancel(self) end

---Closes all connections; the client can't be used after it.
function Client:close() c.close(self) end

-- --- the same server, otherwise ----------------------------------------------------

local given = setmetatable({}, { __mode = "k" })	-- client -> its options

local function open(target, options)
	local client = c.connect(target, options)
	given[client] = options
	return client
end

-- Keywords that are another variable than PG and their name in capitals; what has
-- none goes into the environment not at all.
local VARIABLES <const> = { dbname = "PGDATABASE", application_name = "PGAPPNAME",
	keepalives = false, keepalives_idle = false, keepalives_interval = false,
	keepalives_count = false, tcp_user_timeout = false, sslpassword = false,
	target_session_attrs = "PGTARGETSESSIONATTRS", ssl_min_protocol_version =
	"PGSSLMINPROTOCOLVERSION", ssl_max_protocol_version =
	"PGSSLMAXPROTOCOLVERSION", channel_binding = "PGCHANNELBINDING" }

---The environment of a program of Postgres (pg_dump, psql) that is to reach the
---server that this client is connected to now: PG* variables, for `env` of sh.run.
---The password is a secret, so it can stand nowhere else.
---
---Example:
---  sh.run { "pg_dump", "-Fc", env = t.db:environment(), stdout = "flights.dump" }
---@param database? string another one than the client's
---@return table<string, string|userdata>
function Client:environment(database)
	local options, env = given[self], {}
	for key, value in pairs(options.keywords) do
		local name = VARIABLES[key]
		if name == nil then name = "PG" .. key:upper():gsub("_", "") end
		if name then env[name] = value end
	end
	local address = self:identity().address
	local hosts, ports = {}, {}
	for _, h in ipairs(options.hosts or {}) do
		local here = ("%s:%s"):format(h[1], h[2] == "" and "5432" or h[2])
		if here == address or #options.hosts == 1 then
			hosts, ports = { h[1] }, { h[2] }
			break
		end
		hosts[#hosts + 1], ports[#ports + 1] = h[1], h[2]
	end
	if #hosts > 0 then
		env.PGHOST = table.concat(hosts, ",")
		env.PGPORT = table.concat(ports, ","):find "%d"
			and table.concat(ports, ",") or nil
	end
	env.PGDATABASE = database or env.PGDATABASE
	env.PGCONNECT_TIMEOUT = "10"
	return env
end

---The target of a client of database(), or nil: for guards.
---@param client userdata
---@return userdata?
function M.target(client) return given[client] and c.target(client) end

---A client of another database of the same server, recorded under the same target's
---name. A guard that was passed for one of the two does not hold for the other,
-----approve does. Close it.
---@param name string
---@return opsh.postgres.client
function Client:database(name)
	local options = {}
	for k, v in pairs(given[self]) do options[k] = v end
	options.keywords = {}
	for k, v in pairs(given[self].keywords) do options.keywords[k] = v end
	options.keywords.dbname = name
	local own = c.target(self)
	local other = require("opsh.c.target").new { name = own:name(),
		kind = "postgres", role = own:role() }
	local how = own:passed ""
	if how then other:pass("", how) end
	return open(other, options)
end

c.methods(Client, Tx)

-- --- the kind ---------------------------------------------------------------------

local function connect(target, options)
	return open(target,
		require("opsh.postgres.conninfo").options(target:name(), options))
end

M.kind = {
	name = "postgres",
	schemes = { "postgresql", "postgres" },
	connect = connect,
	ping = function(client) client:identity() end,
	-- how it is connected, for `opsh targets --connect`
	state = function(client)
		local id = client:identity()
		if id.pgbouncer then return "ok, console" end
		return ("ok, sslmode %s: %s%s"):format(id.sslmode, id.tls or "no TLS",
			id.pooled and ", pooler" or "")
	end,
	options = {
		password = { type = "secret", help = "of the user" },
		user = { type = "string", help = "role to log in as" },
		database = { type = "string", help = "over the URL's" },
		conninfo = { type = "string",
			help = "libpq's keywords: \"host=a,b target_session_attrs=…\"" },
		service = { type = "string", help = "of the service file" },
		sslmode = { type = "string", help = "disable, allow, prefer, require, "
			.. "verify-ca, verify-full" },
		ca = { type = "string", help = "PEM file of the authorities to trust "
			.. "(sslrootcert)" },
		cert = { type = "string", help = "PEM file of our certificate" },
		key = { type = "string", help = "PEM file of its key" },
		target_session_attrs = { type = "string", help = "any, read-write, "
			.. "read-only, primary, standby, prefer-standby" },
		timeout = { type = "duration",
			help = "for a call, in seconds (default 60)" },
		connect_timeout = { type = "duration",
			help = "to connect, DNS and TLS included (default 10)" },
		max = { type = "integer", min = 0,
			help = "bytes of one result, at most (default 64 MiB; 0: no cap)" },
		pool = { type = "integer", min = 1, max = 32,
			help = "connections, at most (default 10)" },
		unnamed = { type = "boolean", help = "no prepared statements are "
			.. "kept: for poolers that are not noticed" },
	},
}

return M
