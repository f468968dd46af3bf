-- cluster: what the nodes of a streaming pair say of themselves, as plain tables that
-- can be judged, compared and put on record; and whether a node that doesn't answer is
-- dead, by asking all who might see it. Reads only. Must not decide anything: that is
-- opsh.postgres.judge.
local c = require "opsh.c.pg"
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

-- A node as it was seen. A node that could not be asked has `why` and `answers` only.
---@class opsh.postgres.node
---@field name string
---@field answers boolean its server runs: it took the connection, or refused it itself
---@field asked boolean all of what follows is known
---@field why? string what went wrong, asking
---@field system_identifier? string
---@field timeline? integer
---@field recovery? boolean
---@field version? integer such as 150018
---@field address? string
---@field flushed? string LSN of a primary's flushed WAL
---@field received? string LSN up to which a standby has WAL on disk
---@field replayed? string
---@field paused? boolean replay is
---@field last_commit? number seconds since 1970, as replayed or committed last
---@field settings? table<string, string>
---@field receiver? {status: string, silent: number, host?: string, port?: integer, timeline?: integer, slot?: string}
---@field standbys? {name: string, state: string, sync: string, flushed?: string, replayed?: string}[]

---An LSN as a number, so that differences are bytes.
---@param text string? "0/3000148"
---@return integer?
function M.lsn(text)
	local high, low = tostring(text or ""):match "^(%x+)/(%x+)$"
	return high and tonumber(high, 16) << 32 | tonumber(low, 16) or nil
end

---Bytes from one LSN to another; nil when either is not known.
---@param from string?
---@param to string?
---@return integer?
function M.bytes(from, to)
	local a, b = M.lsn(from), M.lsn(to)
	return a and b and b - a or nil
end

local STATE <const> = [[
select current_setting('server_version_num')::int as version,
  pg_is_in_recovery() as recovery,
  extract(epoch from case when pg_is_in_recovery()
    then pg_last_xact_replay_timestamp() end)::float8 as last_commit,
  case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() end::text
    as flushed,
  case when pg_is_in_recovery() then pg_last_wal_receive_lsn() end::text
    as received,
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end::text
    as replayed,
  case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end
    as paused]]

-- What decides whether a standby can take over, and how it is reached.
local SETTINGS <const> = [[
select name, coalesce(setting, '') || coalesce(case when name =
  'recovery_min_apply_delay' then unit end, '') as value from pg_settings
where name in ('max_connections', 'max_worker_processes', 'max_wal_senders',
  'max_prepared_transactions', 'max_locks_per_transaction', 'data_directory',
  'synchronous_standby_names', 'synchronous_commit', 'recovery_min_apply_delay',
  'primary_conninfo', 'primary_slot_name', 'cluster_name', 'port',
  'wal_log_hints', 'data_checksums', 'default_transaction_read_only')]]

local RECEIVER <const> = [[
select status, extract(epoch from clock_timestamp() - last_msg_receipt_time)::float8
  as silent, sender_host as host, sender_port as port, received_tli as timeline,
  slot_name as slot from pg_stat_wal_receiver]]

local STANDBYS <const> = [[
select application_name as name, state, sync_state as sync,
  flush_lsn::text as flushed, replay_lsn::text as replayed
from pg_stat_replication
order by application_name]]

-- NULL is nil in what is kept.
local function keep(row)
	if not row then return nil end
	local out = {}
	for name, value in pairs(row) do out[name] = value end
	return out
end

local function ask(db, node, opts)
	local id = db:identity()
	node.system_identifier, node.timeline = id.system_identifier, id.timeline
	node.address = id.address
	for name, value in pairs(keep(db:one(STATE, opts))) do node[name] = value end
	node.settings = {}
	for _, row in ipairs(db:query(SETTINGS, opts)) do
		node.settings[row.name] = row.value
	end
	if node.recovery then
		node.receiver = keep(db:one(RECEIVER, opts))
		-- what was copied and not yet streamed is no LSN of the receiver
		local got, done = M.lsn(node.received), M.lsn(node.replayed)
		if not got or done and done > got then node.received = node.replayed end
	else
		node.standbys = {}
		for n, row in ipairs(db:query(STANDBYS, opts)) do
			node.standbys[n] = keep(row)
		end
	end
end

-- Did this error come from the server, so that there is one?
local function is_answer(e)
	return e.kind == "server" or e.kind == "auth" or e.kind == "tls"
		or e.kind == "changed"
end

---Asks a node all of it, within some seconds. Never raises for a node that is down:
---that is what it says. What stops the run itself (Ctrl-C) is raised.
---@param name string
---@param db opsh.postgres.client?
---@param seconds number
---@return opsh.postgres.node
function M.node(name, db, seconds)
	local node = { name = name, answers = false, asked = false }
	if not db then
		node.why = "no target"
		return node
	end
	local ok, e = pcall(task.timeout, seconds, ask, db, node,
		{ timeout = seconds })
	if ok then
		node.answers, node.asked = true, true
		return node
	elseif not err.is(e) or e.kind == "cancelled" then
		error(e, 0)
	end
	node.answers, node.why = is_answer(e), e.message
	return node
end

---Several at once: {name = client} gives {name = node}.
---@param clients table<string, opsh.postgres.client>
---@param seconds number
---@return table<string, opsh.postgres.node>
function M.nodes(clients, seconds)
	local names, out = {}, {}
	for name in pairs(clients) do names[#names + 1] = name end
	table.sort(names)
	local list = task.map(names, { limit = 8 }, function(name)
		return M.node(name, clients[name], seconds)
	end)
	for n, name in ipairs(names) do out[name] = list[n] end
	return out
end

-- --- who sees it alive? ------------------------------------------------------------

-- A way to see the primary. `alive`: it was seen; `why`: what was seen, or not.
---@class opsh.postgres.vantage
---@field name string
---@field alive boolean
---@field why string

-- Only a server that takes writes is the primary: what came back as a standby is not.
local function direct(db, seconds)
	local ok, r = pcall(task.timeout, seconds, function()
		return db:one("select pg_is_in_recovery() as recovery",
			{ timeout = seconds })
	end)
	if ok then
		return not r.recovery, r.recovery and "answers, in recovery" or "answers",
			r.recovery
	elseif not err.is(r) or r.kind == "cancelled" then
		error(r, 0)
	end
	return is_answer(r), r.message
end

-- What a standby hears: its receiver has had a message not longer ago than that.
local function by_receiver(db, seconds, silence)
	local ok, r = pcall(task.timeout, seconds, function()
		return db:one(RECEIVER, { timeout = seconds }) or false
	end)
	if not ok then
		if not err.is(r) or r.kind == "cancelled" then error(r, 0) end
		return false, "could not be asked: " .. r.message
	elseif not r then
		return false, "its receiver has no connection"
	end
	local text = ("its receiver is %s, last message %.1f s ago"):format(
		r.status or "?", r.silent or 0)
	return r.status == "streaming" and (r.silent or 0) < silence, text
end

-- pgbouncer answers without a server behind it: an error of its own says nothing of
-- the primary.
local function by_application(db, seconds)
	local ok, r = pcall(task.timeout, seconds, function()
		return db:one("select pg_is_in_recovery() as recovery",
			{ timeout = seconds })
	end)
	if ok then
		return not r.recovery, r.recovery and "leads to a standby"
			or "leads to a server that takes writes"
	elseif not err.is(r) or r.kind == "cancelled" then
		error(r, 0)
	end
	return false, r.message
end

---Asks all who might see the primary, at once.
---@param t {primary?: opsh.postgres.client, standby: opsh.postgres.client, app?: opsh.postgres.client, others?: table<string, opsh.postgres.client>}
---@param opts {seconds: number, silence: number} how long each may take; how long ago a message counts
---@return opsh.postgres.vantage[]
function M.vantages(t, opts)
	local ways = {}
	local function add(name, f, db)
		if db then ways[#ways + 1] = { name = name, f = f, db = db } end
	end
	add("connection to the primary", direct, t.primary)
	add("standby", by_receiver, t.standby)
	add("application", by_application, t.app)
	for name, db in pairs(t.others or {}) do
		add("sibling " .. name, by_receiver, db)
	end
	table.sort(ways, function(a, b) return a.name < b.name end)
	local standby_now
	local seen = task.map(ways, { limit = 8 }, function(way)
		local alive, why, recovery = way.f(way.db, opts.seconds, opts.silence)
		standby_now = standby_now or recovery
		return { name = way.name, alive = alive, why = why,
			hears = way.f == by_receiver }
	end)
	for _, v in ipairs(seen) do
		-- what a standby hears from a server in recovery is no primary's
		if standby_now and v.hears and v.alive then
			v.alive, v.why = false, v.why .. ", from a server in recovery"
		end
		v.hears = nil
	end
	return seen
end

---Watches for so many seconds; ends at once when somebody sees it alive.
---@param t table as for vantages
---@param opts {seconds: number, silence: number, every?: number}
---@return opsh.postgres.vantage[] the last look
function M.watch(t, opts)
	local until_ = task.now() + opts.silence
	while true do
		local seen = M.vantages(t, opts)
		for _, v in ipairs(seen) do
			if v.alive then return seen end
		end
		local left = until_ - task.now()
		if left <= 0 then return seen end
		task.sleep(math.min(opts.every or 1, left))
	end
end

-- --- the change that we made ---------------------------------------------------------

---After our own promotion: the target is now a primary of the same cluster on a later
---timeline, and nothing else: then it may be written to. Any other change stays one.
---@param db opsh.postgres.client
---@param system string system_identifier it must have
---@param timeline integer? that it must have, when it is known
---@return boolean became, string? why not
function M.became(db, system, timeline)
	local id = db:identity()
	local object = c.target(db)
	if id.recovery then return false, "it is in recovery" end
	if id.system_identifier ~= system then
		return false, ("it is another cluster: %s"):format(
			tostring(id.system_identifier))
	elseif timeline and id.timeline ~= timeline then
		return false, ("it is on timeline %s, not %d"):format(
			tostring(id.timeline), timeline)
	end
	return object:became(object:identity() or "", object:role() or "")
end

return M
