-- postgres.activity: who is connected and what each session does: read from
-- pg_stat_activity in one look, with who waits for whom. Says which sessions may be
-- ended. Reads only; ending them is the playbook's. Needs Postgres 10.
local postgres = require "opsh.postgres"
local resources = require "opsh.resources"

local M = {}

-- Those of a role that may not see others have NULL for what they do: they are
-- counted, and said.
local SESSIONS <const> = [[
with own as (
  select application_name, usename, client_addr from pg_stat_activity
  where pid = pg_backend_pid())
select a.pid, a.usename as "user", a.datname as database,
  a.application_name as application, coalesce(host(a.client_addr), 'local')
    as client, coalesce(a.backend_type, case when a.datid <> 0
    and a.usesysid <> 0 then 'client backend' else 'hidden' end) as type, a.state,
  a.wait_event_type as wait_type, a.wait_event as wait,
  (extract(epoch from a.backend_start) * 1000000)::int8 as started,
  (extract(epoch from a.state_change) * 1000000)::int8 as changed,
  extract(epoch from clock_timestamp() - a.backend_start)::float8 as age,
  extract(epoch from clock_timestamp() - a.xact_start)::float8
    as transaction_age,
  extract(epoch from clock_timestamp() - a.query_start)::float8 as query_age,
  extract(epoch from clock_timestamp() - a.state_change)::float8 as state_age,
  pg_blocking_pids(a.pid) as blocked_by,
  case when a.wait_event_type = 'Lock' then (
    select l.locktype || coalesce(' ' || l.relation::regclass::text, '')
    from pg_locks l where l.pid = a.pid and not l.granted
    and (l.database is null or l.database = 0 or l.database = (select oid
      from pg_database where datname = current_database())) limit 1) end
    as waits_for,
  a.pid = pg_backend_pid() or a.application_name = 'opsh' or exists (
    select 1 from own
    where own.application_name = a.application_name
    and own.usename = a.usename
    and own.client_addr is not distinct from a.client_addr) as own,
  coalesce(a.usesysid in (select oid from pg_roles where rolsuper), false)
    as super,
  left(a.query, 1000) as query
from pg_stat_activity a
order by a.pid]]

-- A session. Ages are in seconds; `started` and `changed` in microseconds since
-- 1970, so that they compare exactly.
---@class opsh.postgres.session
---@field pid integer
---@field user? string
---@field database? string
---@field application? string
---@field client? string
---@field type string "client backend", "walsender", ...
---@field state? string "idle", "active", "idle in transaction", ...
---@field wait_type? string
---@field wait? string
---@field waits_for? string the lock
---@field started integer
---@field changed? integer
---@field age number
---@field transaction_age? number
---@field query_age? number
---@field state_age? number
---@field blocked_by integer[]
---@field own boolean one of opsh's: this run's, another's, or what a pooler kept of one
---@field super boolean of a superuser
---@field query? string on one line

---A statement on one line, comments kept, cut at `width` columns.
---@param text? string
---@param width? integer
---@return string
function M.one_line(text, width)
	text = (text or ""):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
	if width and utf8.len(text) and utf8.len(text) > width then
		text = text:sub(1, utf8.offset(text, width) - 1) .. "…"
	end
	return text
end

---Seconds in words: "3 m 20 s"; nil stays nil.
---@param seconds? number
---@return string?
function M.span(seconds)
	if not seconds then return nil end
	if seconds < 1 then
		return ("%.0f ms"):format(math.max(seconds, 0) * 1000)
	end
	local s = seconds // 1 | 0
	if s < 60 then return ("%d s"):format(s) end
	if s < 3600 then return ("%d m %02d s"):format(s // 60, s % 60) end
	if s < 86400 then
		return ("%d h %02d m"):format(s // 3600, s % 3600 // 60)
	end
	return ("%d d %02d h"):format(s // 86400, s % 86400 // 3600)
end

---Bytes in words: "512 MiB"; nil stays nil.
---@param n? number
---@return string?
function M.size(n) return n and resources.size(n) end

---All sessions, as they are now.
---@param db opsh.postgres.client
---@return opsh.postgres.session[]
function M.sessions(db)
	local out = postgres.list(db:query(SESSIONS))
	for _, s in ipairs(out) do s.query = s.query and M.one_line(s.query) end
	return out
end

---Connections of clients against the limit.
---@param db opsh.postgres.client
---@return {used: integer, limit: integer, reserved: integer, percent: number}
function M.connections(db)
	local row = db:one [[
		select (select count(*) from pg_stat_activity
			where backend_type = 'client backend' or backend_type is null
			and datid <> 0 and usesysid <> 0) as used,
			current_setting('max_connections')::int as "limit",
			current_setting('superuser_reserved_connections')::int
				as reserved]]
	local open = row.limit - row.reserved
	return { used = row.used, limit = row.limit, reserved = row.reserved,
		percent = (1000 * row.used / open + 0.5) // 1 / 10 }
end

-- What a session is doing, the words of the tables.
local function state_of(session)
	return session.state or (session.type == "client backend" and "not to be seen"
		or session.type)
end

---Sessions of clients counted by state, user, database and application, most
---first; `oldest` is the longest time in the state.
---@param sessions opsh.postgres.session[]
---@return {state: string, user: string, database: string, application: string, sessions: integer, oldest: number}[]
function M.groups(sessions)
	local out, known = {}, {}
	for _, s in ipairs(sessions) do
		if s.type == "client backend" then
			local key = table.concat({ state_of(s), s.user or "?",
				s.database or "", s.application or "" }, "\0")
			local group = known[key]
			if not group then
				group = { state = state_of(s), user = s.user or "?",
					database = s.database or "",
					application = s.application or "", sessions = 0,
					oldest = 0 }
				known[key] = group
				out[#out + 1] = group
			end
			group.sessions = group.sessions + 1
			group.oldest = math.max(group.oldest, s.state_age or 0)
		end
	end
	table.sort(out, function(a, b)
		if a.sessions ~= b.sessions then return a.sessions > b.sessions end
		return a.oldest > b.oldest
	end)
	return out
end

-- Who waits for whom: the pids that each one keeps waiting, and who waits.
local function edges(sessions)
	local by_pid, keeps, waits = {}, {}, {}
	for _, s in ipairs(sessions) do by_pid[s.pid] = s end
	for _, s in ipairs(sessions) do
		local seen = {}
		for _, pid in ipairs(s.blocked_by) do
			if not seen[pid] then
				seen[pid] = true
				keeps[pid] = keeps[pid] or {}
				table.insert(keeps[pid], s.pid)
				waits[s.pid] = true
			end
		end
	end
	return by_pid, keeps, waits
end

---The tree of those who block and those who wait: who waits for nobody comes
---first, below it all that wait for it. `blocks` counts all below. A pid of 0 is
---a prepared transaction.
---@param sessions opsh.postgres.session[]
---@return {depth: integer, pid: integer, session?: opsh.postgres.session, blocks: integer}[]
function M.tree(sessions)
	local by_pid, keeps, waits = edges(sessions)
	local out, shown = {}, {}
	local function add(pid, depth)
		local row = { depth = depth, pid = pid, session = by_pid[pid],
			blocks = 0 }
		out[#out + 1] = row
		if shown[pid] then return 0 end	-- waits for two, or a deadlock
		shown[pid] = true
		for _, other in ipairs(keeps[pid] or {}) do
			row.blocks = row.blocks + 1 + add(other, depth + 1)
		end
		return row.blocks
	end
	local roots = {}
	for pid in pairs(keeps) do
		if not waits[pid] then roots[#roots + 1] = pid end
	end
	table.sort(roots)
	for _, pid in ipairs(roots) do add(pid, 0) end
	for _, s in ipairs(sessions) do	-- circles have no root
		if keeps[s.pid] and not shown[s.pid] then add(s.pid, 0) end
	end
	return out
end

---How many sessions wait for each pid, directly or not.
---@param sessions opsh.postgres.session[]
---@return table<integer, integer>
function M.blocks(sessions)
	local out = {}
	for _, row in ipairs(M.tree(sessions)) do
		if row.blocks > 0 then out[row.pid] = row.blocks end
	end
	return out
end

-- Seconds that count for the state: how long it has been so.
local function age_of(session)
	if session.state == "active" then return session.query_age end
	return session.state_age
end

-- Why a session is never ended; nil when it may be.
local function kept(session)
	if session.own then return "opsh's own" end
	if session.type ~= "client backend" then return session.type end
	if not session.state then return "not to be seen by this role" end
end

local function one_of(list, value)
	if not list or #list == 0 then return true end
	for _, item in ipairs(list) do
		if item == value then return true end
	end
	return false
end

---Which sessions fit and may be ended, the oldest first, with `since` (seconds in
---this state); and of those that fit but never are, how many there are by reason.
---@param sessions opsh.postgres.session[]
---@param want {states: string[], older: number, user?: string[], database?: string[], application?: string[], client?: string[], pid?: integer[], blocking?: boolean}
---@return opsh.postgres.session[] chosen
---@return table<string, integer> kept
function M.choose(sessions, want)
	local chosen, left, blocks = {}, {}, M.blocks(sessions)
	local pids = {}
	for n, pid in ipairs(want.pid or {}) do pids[n] = math.tointeger(pid) end
	for _, s in ipairs(sessions) do
		local why = kept(s)
		s.since, s.blocks = age_of(s), blocks[s.pid] or 0
		local fits = one_of(pids, s.pid) and one_of(want.user, s.user)
			and one_of(want.database, s.database)
			and one_of(want.application, s.application)
			and one_of(want.client, s.client)
			and (not want.blocking or s.blocks > 0)
		if fits and why then
			left[why] = (left[why] or 0) + 1
		elseif fits and one_of(want.states, s.state)
			and s.since and s.since >= want.older then
			chosen[#chosen + 1] = s
		end
	end
	table.sort(chosen, function(a, b)
		if a.since ~= b.since then return a.since > b.since end
		return a.pid < b.pid
	end)
	return chosen, left
end

return M
