-- postgres.health: how a server is, check by check: what is critical, what deserves a
-- look, what could not be asked, and what to run next. Reads only, each check a query
-- of its own, so that one that fails hides nothing. The limits are the caller's.
local activity = require "opsh.postgres.activity"
local err = require "opsh.c.err"

local M = {}

local size, span = activity.size, activity.span

---@class opsh.postgres.check
---@field check string
---@field state "critical"|"warning"|"ok"|"not checked"
---@field value? string
---@field detail? string
---@field next? string

-- Limits: warning and critical.
M.limits = {
	connections = { 80, 95 }, transaction = { 300, 1800 }, blocked = { 5, 60 },
	wraparound = { 50, 75 }, lag = { 100 << 20, 1 << 30 }, delay = { 30, 300 },
	slot = { 1 << 30, 10 << 30 }, hits = { 90, nil },
}

local RANK <const> = { critical = 1, warning = 2, ["not checked"] = 3, ok = 4 }

local function judge(value, limit)
	if limit[2] and value >= limit[2] then return "critical" end
	return value >= limit[1] and "warning" or "ok"
end

local CHECKS <const> = {}
local function check(name, f) CHECKS[#CHECKS + 1] = { name, f } end

check("connections", function(db, limits)
	local c = activity.connections(db)
	return judge(c.percent, limits.connections),
		("%d of %d, %g %%"):format(c.used, c.limit, c.percent),
		("%d are kept for superusers"):format(c.reserved),
		"opsh plan postgres/terminate state=idle older=10m"
end)

check("transactions", function(db, limits)
	local worst, idle
	for _, s in ipairs(activity.sessions(db)) do
		if not s.own and s.type == "client backend" and s.transaction_age then
			if not worst or s.transaction_age > worst.transaction_age then
				worst = s
			end
			idle = idle or s.state ~= "active"
		end
	end
	if not worst then return "ok", "none lasts" end
	return judge(worst.transaction_age, limits.transaction),
		"longest " .. span(worst.transaction_age), ("pid %d of %s, %s"):format(
		worst.pid, worst.user or "?", worst.state or "not to be seen"),
		"opsh run postgres/activity longer=" .. limits.transaction[1]
end)

check("waiting for locks", function(db, limits)
	local n, longest, sessions = 0, 0, activity.sessions(db)
	for _, s in ipairs(sessions) do
		if #s.blocked_by > 0 then
			n, longest = n + 1, math.max(longest, s.query_age or 0)
		end
	end
	if n == 0 then return "ok", "none" end
	return judge(longest, limits.blocked), ("%d, the longest for %s"):format(n,
		span(longest)), "behind pid " .. activity.tree(sessions)[1].pid,
		"opsh run postgres/activity"
end)

check("prepared transactions", function(db, limits)
	local row = db:one [[select count(*) as n, extract(epoch from
		now() - min(prepared))::float8 as age from pg_prepared_xacts]]
	if row.n == 0 then return "ok", "none" end
	return judge(row.age, limits.transaction), row.n .. ", the oldest for "
		.. span(row.age), "each holds its locks until somebody ends it"
end)

check("wraparound", function(db, limits)
	local row = db:one [[
		select datname as name, greatest(age(datfrozenxid)::float8,
			mxid_age(datminmxid)::float8) / 2147483647 * 100 as share,
			age(datfrozenxid) as age
		from pg_database order by 2 desc limit 1]]
	return judge(row.share, limits.wraparound), ("%.1f %% of the numbers"):format(
		row.share), ("database '%s', age %d"):format(row.name, row.age),
		"opsh plan postgres/maintain freeze=true"
end)

check("dead rows", function(db)
	local row = db:one [[
		select count(*) as n, min(schemaname || '.' || relname) as name
		from pg_stat_user_tables where n_dead_tup > 10000
		and n_dead_tup > (n_dead_tup + n_live_tup) * 0.2]]
	if row.n == 0 then return "ok", "no table above 20 %" end
	return "warning", row.n .. " tables above 20 %", row.name,
		"opsh plan postgres/maintain"
end)

check("indexes", function(db)
	local row = db:one [[
		select count(*) as n, min(indexrelid::regclass::text) as name
		from pg_index where not indisvalid or not indisready]]
	if row.n == 0 then return "ok", "all valid" end
	return "warning", row.n .. " invalid", row.name, "opsh run postgres/indexes"
end)

check("cache", function(db, limits)
	local row = db:one [[
		select blks_hit::float8 * 100 / nullif(blks_hit + blks_read, 0) as share,
			blks_hit + blks_read as n
		from pg_stat_database where datname = current_database()]]
	if not row.share or row.n < 100000 then
		return "ok", "too little was read to tell"
	end
	return row.share < limits.hits[1] and "warning" or "ok",
		("%.1f %% of reads from memory"):format(row.share), nil,
		"opsh run postgres/slow-queries by=reads"
end)

check("checksums", function(db)
	if db:value "show data_checksums" ~= "on" then
		return "ok", "not kept", "damage is found when it is read, if at all"
	end
	local row = db:one [[select coalesce(sum(checksum_failures), 0)::int8 as n,
		max(checksum_last_failure)::text as at from pg_stat_database]]
	return row.n > 0 and "critical" or "ok", row.n .. " failures",
		row.at and "last " .. row.at or nil, "opsh doc postgres/corruption"
end)

check("archive", function(db)
	local row = db:one [[
		select current_setting('archive_mode') as mode, failed_count as failed,
			last_failed_time > coalesce(last_archived_time, '-infinity') as bad,
			last_failed_wal as wal from pg_stat_archiver]]
	if row.mode == "off" then return "ok", "off" end
	return row.bad and "critical" or "ok", row.bad and "the last try failed"
		or "works", ("%d failures%s"):format(row.failed, row.wal and ", last "
		.. row.wal or "")
end)

check("slots", function(db, limits)
	local row = db:one [[
		select count(*) filter (where not active) as n, count(*) as total,
			max(case when not active then pg_wal_lsn_diff(case
				when pg_is_in_recovery() then pg_last_wal_receive_lsn()
				else pg_current_wal_lsn() end, restart_lsn) end)::float8 as kept,
			min(slot_name) filter (where not active) as name
		from pg_replication_slots]]
	if row.n == 0 then return "ok", row.total .. ", all in use" end
	return row.kept and row.kept >= limits.slot[2] and "critical" or "warning",
		("%d of %d unused"):format(row.n, row.total), ("'%s' keeps %s of WAL"):format(
		row.name, size(row.kept or 0))
end)

local function standby(db, limits)
	local row = db:one [[
		select (select status from pg_stat_wal_receiver) as status,
			pg_is_wal_replay_paused() as paused,
			case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
			else extract(epoch from now() - pg_last_xact_replay_timestamp())
			end::float8 as delay]]
	if not row.status then
		return "critical", "not connected to its primary"
	elseif row.paused then
		return "critical", "replay is paused"
	end
	return judge(row.delay or 0, limits.delay), row.status,
		"behind by " .. span(row.delay or 0)
end

check("replication", function(db, limits)
	if db:value "select pg_is_in_recovery()" then return standby(db, limits) end
	local row = db:one [[
		select count(*) as n, count(*) filter (where state <> 'streaming') as bad,
			count(*) filter (where sync_state in ('sync', 'quorum')) as sync,
			max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::float8 as lag,
			current_setting('synchronous_standby_names') as wanted
		from pg_stat_replication]]
	if row.wanted ~= "" and row.sync == 0 then
		return "critical", "no synchronous standby: commits wait",
			"synchronous_standby_names is '" .. row.wanted .. "'"
	elseif row.n == 0 then
		return "ok", "no standby"
	elseif row.bad > 0 then
		return "warning", ("%d of %d standbys do not stream"):format(row.bad, row.n)
	end
	return judge(row.lag or 0, limits.lag), row.n .. " standbys stream",
		"behind by " .. size(row.lag or 0)
end)

check("settings", function(db)
	local row = db:one [[select count(*) as n, string_agg(name, ', ') as names
		from pg_settings where pending_restart]]
	if row.n == 0 then return "ok", "none waits for a restart" end
	return "warning", row.n .. " wait for a restart", row.names
end)

check("size", function(db)
	local row = db:one [[select pg_database_size(current_database()) as size,
		current_database() as name]]
	return "ok", size(row.size), "database '" .. row.name .. "'"
end)

---All checks, the worst first. `limits` stand over M.limits, by name.
---@param db opsh.postgres.client
---@param limits? table<string, number[]>
---@return opsh.postgres.check[]
function M.look(db, limits)
	local own = setmetatable(limits or {}, { __index = M.limits })
	local rows = {}
	for n, entry in ipairs(CHECKS) do
		local ok, state, value, detail, next_ = pcall(entry[2], db, own)
		if not ok then
			local e = state
			if not err.is(e) or e.kind ~= "server" and e.code ~= "42501" then
				error(e, 0)
			end
			state, value, detail, next_ = "not checked", nil, e.message, nil
		end
		rows[n] = { check = entry[1], state = state, value = value,
			detail = detail, next = state ~= "ok" and next_ or nil, at = n }
	end
	table.sort(rows, function(a, b)
		if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
		return a.at < b.at
	end)
	for _, row in ipairs(rows) do row.at = nil end
	return rows
end

---The names of those in a state.
---@param rows opsh.postgres.check[]
---@param ... string states
---@return string[]
function M.of(rows, ...)
	local names = {}
	for _, state in ipairs { ... } do
		for _, row in ipairs(rows) do
			if row.state == state then names[#names + 1] = row.check end
		end
	end
	return names
end

---One line: "1 critical: replication · 2 warnings: slots, settings".
---@param rows opsh.postgres.check[]
---@return string
function M.verdict(rows)
	local parts = {}
	for _, state in ipairs { "critical", "warning", "not checked" } do
		local names = M.of(rows, state)
		if #names > 0 then
			parts[#parts + 1] = ("%d %s: %s"):format(#names, state,
				table.concat(names, ", "))
		end
	end
	if #parts == 0 then return ("all %d well"):format(#rows) end
	return table.concat(parts, " · ")
end

---Raises kind server (exit 1) when something is critical; `strict`: or a warning.
---@param rows opsh.postgres.check[]
---@param strict? boolean
function M.demand(rows, strict)
	local bad = strict and M.of(rows, "critical", "warning")
		or M.of(rows, "critical")
	if #bad > 0 then
		error(err.new { kind = "server", code = "UNHEALTHY",
			message = "not well: " .. table.concat(bad, ", ") }, 0)
	end
end

return M
