-- postgres.vacuum: tables with their sizes and dead rows, and a VACUUM that is watched
-- while it runs: its phase and blocks, and whom it waits for. One that waits for a lock
-- for too long is given up, so that others don't queue behind it. Owns no guard.
local activity = require "opsh.postgres.activity"
local err = require "opsh.c.err"
local postgres = require "opsh.postgres"
local task = require "opsh.task"

local M = {}

---@class opsh.postgres.table
---@field name string quoted, with its schema
---@field oid integer
---@field bytes integer with indexes and TOAST
---@field heap integer
---@field indexes integer
---@field live integer rows, as counted
---@field dead integer
---@field frozen_age integer
---@field vacuumed? string
---@field analyzed? string
---@field file integer changes when it is rewritten
---@field allowed boolean this role may

local TABLES <const> = [[
select format('%I.%I', n.nspname, c.relname) as name, c.oid,
  pg_total_relation_size(c.oid) as bytes, pg_table_size(c.oid) as heap,
  pg_indexes_size(c.oid) as indexes, coalesce(s.n_live_tup, 0) as live,
  coalesce(s.n_dead_tup, 0) as dead, age(c.relfrozenxid) as frozen_age,
  greatest(s.last_vacuum, s.last_autovacuum)::text as vacuumed,
  greatest(s.last_analyze, s.last_autoanalyze)::text as analyzed,
  pg_relation_filenode(c.oid)::int8 as file,
  pg_has_role(c.relowner, 'member') or pg_has_role((select datdba
    from pg_database where datname = current_database()), 'member') as allowed
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_stat_user_tables s on s.relid = c.oid
where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog',
    'information_schema') and n.nspname !~ '^pg_(toast|temp)'
  and ($1::text[] is null or c.oid = any (select to_regclass(x)::oid
    from unnest($1::text[]) x))
  and coalesce(s.n_dead_tup, 0) >= $2
order by coalesce(s.n_dead_tup, 0) desc, 1]]

---Tables of this database, those with most dead rows first. A name that is no table
---raises kind check.
---@param db opsh.postgres.client
---@param names? string[]
---@param dead? integer at least so many dead rows
---@return opsh.postgres.table[]
function M.tables(db, names, dead)
	for _, name in ipairs(names or {}) do
		if not db:value([[select 1 from pg_class where oid = to_regclass($1)
			and relkind in ('r', 'm')]], name) then
			error(err.new { kind = "check", code = "NO_TABLE",
				message = ("there is no table '%s'"):format(name) }, 0)
		end
	end
	return postgres.list(db:query(TABLES, names, dead or 0))
end

---The statement for a table.
---@param name string quoted
---@param opts {full?: boolean, analyze?: boolean, freeze?: boolean}
---@return string
function M.statement(name, opts)
	local words = {}
	for _, word in ipairs { "full", "analyze", "freeze" } do
		if opts[word] then words[#words + 1] = word end
	end
	return "vacuum " .. (#words > 0 and "(" .. table.concat(words, ", ") .. ") "
		or "") .. name
end

-- Two views, by what runs; both as phase, done, total. CLUSTER's is FULL's.
local PROGRESS <const> = {
	plain = [[select phase, case when phase like 'vacuuming%'
		then heap_blks_vacuumed else heap_blks_scanned end as done,
		heap_blks_total as total from pg_stat_progress_vacuum
		where relid = $1::oid and datname = current_database()]],
	full = [[select phase, heap_blks_scanned as done, heap_blks_total as total
		from pg_stat_progress_cluster
		where relid = $1::oid and datname = current_database()]],
}

local WAITING <const> = [[
select pid, pg_blocking_pids(pid) as by from pg_stat_activity
where query = $1 and state = 'active' and pid <> pg_backend_pid()
  and wait_event_type = 'Lock']]

local function gave_up(db, table_, seconds, by)
	local who = {}
	for _, s in ipairs(activity.sessions(db)) do
		for _, pid in ipairs(by) do
			if s.pid == pid then
				who[#who + 1] = ("%d of %s, %s since %s"):format(pid, s.user
					or "?", s.state or s.type, activity.span(s.state_age or 0))
			end
		end
	end
	error(err.new { kind = "check", code = "LOCKED", message = ("'%s' is held by "
		.. "%s: gave up after %s"):format(table_.name, table.concat(who, "; "),
		activity.span(seconds)), hint = "opsh run postgres/activity" }, 0)
end

-- Looks until it is cancelled.
local function watch(db, table_, text, opts)
	local waited, phase
	local which = opts.full and PROGRESS.full or PROGRESS.plain
	while true do
		task.sleep(opts.interval or 0.5)
		local row = db:one(which, table_.oid)
		if row and opts.on_progress then
			opts.on_progress(row.phase, row.done, row.total, row.phase ~= phase)
			phase = row.phase
		end
		local wait = db:one(WAITING, text)
		waited = wait and (waited or task.now()) or nil
		if waited and task.now() - waited >= opts.lock_wait then
			gave_up(db, table_, task.now() - waited, wait.by)
		end
	end
end

---Runs VACUUM on one table, watched. FULL needs a guard (verb "vacuum") before.
---on_progress(phase, done, total, is_new): blocks.
---@param db opsh.postgres.client
---@param table_ opsh.postgres.table
---@param opts {full?: boolean, analyze?: boolean, freeze?: boolean, timeout?: number, lock_wait: number, interval?: number, on_progress?: function}
---@return opsh.postgres.result
function M.run(db, table_, opts)
	local text = M.statement(table_.name, opts)
	return task.race(function()
		return db:exec(text, { timeout = opts.timeout,
			expect = { command = "VACUUM", notices = {} } })
	end, function() return watch(db, table_, text, opts) end)
end

---Whether it was vacuumed since `before` was read: its time, or for FULL its file.
---@param db opsh.postgres.client
---@param before opsh.postgres.table
---@param full? boolean
---@return boolean
---@return opsh.postgres.table now
function M.done(db, before, full)
	local until_ = task.now() + 5	-- statistics come late until Postgres 14
	while true do
		local now = M.tables(db, { before.name })[1]
		if full and now.file ~= before.file
			or not full and now.vacuumed ~= before.vacuumed then
			return true, now
		elseif task.now() >= until_ then
			return false, now
		end
		task.sleep(0.2)
	end
end

return M
