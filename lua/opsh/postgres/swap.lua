-- postgres.swap: one database put in the place of another by renaming both in one
-- transaction; whoever was connected is sent away first. What was there stays under
-- a name that says so, and can be put back the same way. Works from another database
-- of the server (`admin`); guards are the caller's.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local ident = require("opsh.postgres.census").ident
local task = require "opsh.task"

local M = {}

local NAME_MAX <const> = 63	-- bytes of a name in Postgres
local GONE <const> = 10		-- seconds that sessions have to end

---A name made of a database's and a suffix, cut between characters to what Postgres
---takes.
---@param name string
---@param suffix string such as "_before_20261121T160000"
---@return string
function M.name(name, suffix)
	while #name + #suffix > NAME_MAX do
		name = name:sub(1, utf8.offset(name, -1) - 1)
	end
	return name .. suffix
end

---Of a name that M.name made for this playbook: what kind it is ("before", "after",
---"new"), and the database's name, as far as it stands there. nil for another.
---@param name string
---@return string? kind
---@return string? database
function M.kind(name)
	local database, kind = name:match "^(.+)_(%a+)_%d%d%d%d%d%d%d%dT%d%d%d%d%d%d$"
	if kind == "before" or kind == "after" or kind == "new" then
		return kind, database
	end
	return name:match "^opsh_verify_%d+_%d+_%x+$" and "verify" or nil
end

---A client of a database that nobody renames: postgres, or template1.
---@param db opsh.postgres.client
---@return opsh.postgres.client closed by <close>
function M.admin(db)
	local name = db:value [[select datname from pg_database where datallowconn
		and datname in ('postgres', 'template1') order by 1 limit 1]]
	return db:database(name or "postgres")
end

---Sessions on a database, as texts: "pid 12 ops from 10.0.0.1: psql (idle)".
---@param admin opsh.postgres.client
---@param database string
---@return string[]
function M.sessions(admin, database)
	local out = {}
	for i, row in ipairs(admin:query([[select pid, usename, application_name as app,
		coalesce(host(client_addr), 'a socket') as address, state
		from pg_stat_activity where datname = $1
		and backend_type = 'client backend' order by state, pid]], database)) do
		out[i] = ("pid %d %s from %s: %s (%s)"):format(row.pid, row.usename or "?",
			row.address, row.app or "", row.state or "?")
	end
	return out
end

local function allow(admin, database, yes)
	admin:exec(("alter database %s allow_connections %s"):format(ident(database),
		yes and "true" or "false"))
end

-- Ends sessions until none is left; new ones are not let in.
local function empty(admin, database)
	local until_ = task.now() + GONE
	while true do
		admin:exec([[select pg_terminate_backend(pid) from pg_stat_activity
			where datname = $1 and pid <> pg_backend_pid()]], database)
		if effect.mode() == "plan" or #M.sessions(admin, database) == 0 then
			return
		end
		if task.now() >= until_ then
			error(err.new { kind = "timeout", message = ("sessions on '%s' have "
				.. "not ended within %d s"):format(database, GONE) }, 0)
		end
		task.sleep(0.1)
	end
end

---Puts `new` in the place of `live`, which is `kept` from then on. Destructive,
---verbs "ALTER DATABASE" and "pg_terminate_backend". When it fails nothing
---is renamed, and `live` takes connections again.
---@param admin opsh.postgres.client
---@param live string
---@param new string
---@param kept string
function M.swap(admin, live, new, kept)
	local done = false
	local _ <close> = setmetatable({}, { __close = function()
		if not done then pcall(allow, admin, live, true) end
	end })
	allow(admin, live, false)
	empty(admin, live)
	empty(admin, new)
	admin:transaction(function(tx)
		tx:exec(("alter database %s rename to %s"):format(ident(live), ident(kept)),
			{ class = "destructive" })
		tx:exec(("alter database %s rename to %s"):format(ident(new), ident(live)),
			{ class = "destructive" })
	end)
	done = true
	allow(admin, kept, true)
end

---The oid of a database, by which it is known under any name; nil: there is none.
---@param admin opsh.postgres.client
---@param database string
---@return integer?
function M.oid(admin, database)
	return admin:value("select oid::bigint from pg_database where datname = $1",
		database)
end

return M
