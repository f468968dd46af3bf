-- failover: what playbook postgres/failover does in each of its steps: looks at the pair,
-- works out what would be lost, fences, promotes, leads everybody to the new primary,
-- proves it. The order, guards and records of these are the playbook's. Decides nothing
-- that opsh.postgres.judge decides.
local cluster = require "opsh.postgres.cluster"
local datadir = require "opsh.postgres.datadir"
local err = require "opsh.c.err"
local fence = require "opsh.postgres.fence"
local fs = require "opsh.fs"
local judge = require "opsh.postgres.judge"
local promote = require "opsh.postgres.promote"
local repoint = require "opsh.postgres.repoint"
local task = require "opsh.task"

local M = {}

---What a failover works on.
---@class opsh.postgres.failover
---@field t table targets: primary standby pooler? app? orchestrator?
---@field p table parameters of the playbook
---@field siblings table<string, opsh.postgres.client>
---@field fence opsh.postgres.fence

-- "host:port" that the target names, and the one that it was met at.
local function addresses(db, met)
	local out = {}
	for _, address in pairs { fence.address(db), met } do out[address] = true end
	return out
end

---Puts together what the steps need.
---@param t table targets
---@param p table parameters
---@param siblings table<string, opsh.postgres.client>
---@return opsh.postgres.failover
function M.new(t, p, siblings)
	return { t = t, p = p, siblings = siblings, fence = { primary = t.primary,
		standby = t.standby, app = t.app, pooler = t.pooler,
		orchestrator = t.orchestrator, unit = p.unit, data = p.data,
		databases = p.databases, timeout = p.fence_timeout } }
end

---How it is fenced, of what is there.
---@param f opsh.postgres.failover
---@return "pooler"|"stop"|"both"
function M.how(f)
	if f.p.fence ~= "auto" then return f.p.fence end
	return f.t.pooler and f.t.orchestrator and "both" or f.t.orchestrator
		and "stop" or "pooler"
end

-- --- looking -----------------------------------------------------------------------------

-- Percent that is free where the standby's folder is.
local function disk_free(f, data)
	local unit = f.p.standby_unit
	if not (f.t.orchestrator and unit and data) then return nil end
	local ok, r = pcall(f.t.orchestrator.exec, f.t.orchestrator, unit,
		{ "df", "-Pk", data }, { effect = "read", timeout = 10 })
	if not ok then
		if not err.is(r) or r.kind == "cancelled" then error(r, 0) end
		return nil
	end
	local size, free = r.stdout:match "\n%S+%s+(%d+)%s+%d+%s+(%d+)"
	return size and 100 * tonumber(free) / math.max(1, tonumber(size)) or nil
end

-- Bytes, seconds and commits that only the primary has: by what it says itself, or from
-- its folder when it is dead.
local function loss_of(f, view)
	local p, s = view.primary, view.standby
	if p.asked and not p.recovery then
		return { bytes = math.max(0, cluster.bytes(s.received, p.flushed) or 0),
			seconds = 0, to = p.flushed }
	end
	local age = s.last_commit and math.max(0, os.time() - s.last_commit)
	if not (f.t.orchestrator and f.fence.data and s.received) then
		return { seconds = age, why = "the primary's folder can't be read: no "
			.. "orchestrator, or no data=" }
	end
	-- a standby without a connection may not know its timeline yet
	local control = datadir.read_control(f.t.orchestrator, f.p.unit, f.fence.data)
	local got, why = datadir.unsent(f.t.orchestrator, f.p.unit, f.fence.data,
		s.received, math.max(s.timeline, control and control.timeline or 0))
	if not got then return { seconds = age, why = why } end
	local seconds = got.last and math.max(0, got.last - (s.last_commit
		or got.first)) or 0
	return { bytes = got.bytes, commits = got.commits, to = got.to,
		seconds = seconds }
end

---Looks at all nodes, and in an emergency, long enough, at who sees the primary alive.
---@param f opsh.postgres.failover
---@return opsh.postgres.view
function M.look(f)
	local p, t = f.p, f.t
	local clients = { primary = t.primary, standby = t.standby }
	for name, db in pairs(f.siblings) do clients[name] = db end
	local nodes = cluster.nodes(clients, p.look)
	local view = { mode = p.mode, primary = nodes.primary, standby = nodes.standby,
		others = {}, orchestrated = t.orchestrator ~= nil,
		pooled = t.pooler ~= nil, managed = t.patroni ~= nil,
		fence = M.how(f), lag_limit = p.max_lag }
	for name in pairs(f.siblings) do view.others[name] = nodes[name] end
	local data = (nodes.primary.settings or {}).data_directory
	f.fence.data = p.data or data
	view.data = f.fence.data
	view.process = fence.process(f.fence)
	if t.pooler and not p.databases then
		f.fence.databases = {}
		local rows = fence.databases(t.pooler, addresses(t.primary,
			nodes.primary.address), p.look)
		for n, row in ipairs(rows) do f.fence.databases[n] = row.name end
	end
	view.databases = f.fence.databases
	view.disk_free = disk_free(f, (nodes.standby.settings or {}).data_directory)
	if nodes.standby.asked and nodes.standby.recovery then
		if p.mode == "emergency" then
			view.vantages = cluster.watch({ primary = t.primary,
				standby = t.standby, app = t.app, others = f.siblings },
				{ seconds = p.look, silence = p.silence })
		end
		view.loss = loss_of(f, view)
	end
	return view
end

---A resumed run goes on with what was seen before.
---@param f opsh.postgres.failover
---@param view opsh.postgres.view
function M.take(f, view)
	f.fence.data, f.fence.databases = view.data, view.databases
end

---The nodes as rows, for people.
---@param view opsh.postgres.view
---@return table[]
function M.rows(view)
	local list = {}
	local function add(name, node)
		list[#list + 1] = { node = name, role = not node.asked and "?"
			or node.recovery and "standby" or "primary",
			address = node.address, timeline = node.timeline,
			version = node.version and ("%d.%d"):format(node.version // 10000,
				node.version % 10000),
			lsn = node.flushed or node.received,
			replayed = node.replayed, state = not node.asked and (node.why or "?")
				or node.paused and "replay paused" or node.receiver
				and node.receiver.status or "" }
	end
	add("primary", view.primary)
	add("standby", view.standby)
	for name, node in pairs(view.others or {}) do add(name, node) end
	return list
end

-- --- fencing -----------------------------------------------------------------------------

---Raises the fence. Gives the standby's clock at its beginning.
---@param f opsh.postgres.failover
---@return number seconds since 1970
function M.fence(f)
	local from = f.t.standby:value "select extract(epoch from clock_timestamp())::float8"
	fence.raise(f.fence, M.how(f))
	return from
end

---Does it hold, from two sides, within fence_timeout? Else nothing may be promoted.
---@param f opsh.postgres.failover
---@return boolean holds, string why
function M.fenced(f)
	local holds, why = fence.verify(f.fence)
	return holds, holds and why or ("it does not hold from two sides within %g s, "
		.. "nothing is promoted: %s"):format(f.p.fence_timeout, why)
end

---Planned: the standby has all that the primary wrote before it ended.
---@param f opsh.postgres.failover
---@return {checkpoint: string, replayed: string}
function M.catch_up(f)
	if fence.is_plan() then return { checkpoint = "?", replayed = "?" } end
	local control, why = datadir.read_control(f.t.orchestrator, f.p.unit,
		f.fence.data)
	if not control then
		error(err.new { kind = "check", message = "the primary's control file "
			.. "can't be read: " .. why }, 0)
	elseif control.state ~= "shut down" then
		error(err.new { kind = "check", message = ("the primary did not end cleanly: "
			.. "its control file says '%s'"):format(control.state) }, 0)
	end
	local reached, at = fence.catch_up(f.fence, control.checkpoint, f.p.catch_up)
	if not reached then
		error(err.new { kind = "timeout", code = "CATCH_UP", message = ("the standby "
			.. "has replayed %s after %g s, the primary ended at %s"):format(at,
			f.p.catch_up, control.checkpoint) }, 0)
	end
	return { checkpoint = control.checkpoint, replayed = at }
end

---Emergency: what is lost now that nothing more can come; more than was agreed to ends
---the run.
---@param f opsh.postgres.failover
---@param view opsh.postgres.view
---@param accepted integer? bytes
---@return table loss
function M.measure(f, view, accepted)
	if fence.is_plan() then return view.loss end
	local now = cluster.node("standby", f.t.standby, f.p.look)
	if not now.asked then
		error(err.new { kind = "check", message = "the standby can't be asked: "
			.. (now.why or "?") }, 0)
	end
	local loss = loss_of(f, { primary = { asked = false }, standby = now })
	if loss.bytes and accepted and loss.bytes > accepted then
		error(err.new { kind = "check", message = ("%d bytes would be lost now, %d "
			.. "were agreed to"):format(loss.bytes, accepted) }, 0)
	end
	return loss
end

-- --- promoting ---------------------------------------------------------------------------

---Empties synchronous_standby_names on the standby: nobody would answer to it.
---@param db opsh.postgres.client
function M.clear_sync(db)
	db:exec("alter system set synchronous_standby_names = ''",
		{ expect = { ok = true } })
	db:exec("select pg_reload_conf()", { expect = { ok = true } })
end

---What the standby is, right before.
---@param f opsh.postgres.failover
---@param view opsh.postgres.view
---@return opsh.postgres.before
function M.before(f, view)
	local node = cluster.node("standby", f.t.standby, f.p.look)
	if not node.asked then
		error(err.new { kind = "check", message = "the standby can't be asked: "
			.. (node.why or "?") }, 0)
	end
	-- without its connection a standby says what its last checkpoint said
	local timeline = math.max(node.timeline, view.standby.timeline,
		view.primary.timeline or 0)
	return { system_identifier = node.system_identifier, timeline = timeline,
		sure = view.primary.timeline == timeline,
		replayed = node.replayed, last_commit = node.last_commit }
end

---Fence looked at once more, then promoted.
---@param f opsh.postgres.failover
---@param before opsh.postgres.before
---@param sent fun(yes: boolean) told whether it may have been sent
---@return table
function M.promote(f, before, sent)
	if not fence.is_plan() then
		local holds, why = fence.holds(fence.sides(f.fence, 0.3))
		if not holds then
			error(err.new { kind = "verify", code = "FENCE", message = "the fence "
				.. "does not hold any more, nothing is promoted: " .. why }, 0)
		end
	end
	sent(true)
	local ok, r = pcall(promote.promote, f.t.standby, before, f.p.promote_timeout)
	if ok then return r end
	sent(not (err.is(r) and (r.outcome == "failed" or r.outcome == "refused")))
	error(r, 0)
end

---Is it a primary of the same cluster, on a later timeline?
---@param f opsh.postgres.failover
---@param before opsh.postgres.before
---@return boolean ok, string? why
function M.promoted(f, before)
	local id = f.t.standby:identity()
	if id.recovery then return false, "it is in recovery" end
	local least = before.timeline + 1
	if id.timeline < least or before.sure and id.timeline > least then
		return false, ("it is on timeline %s, %d was expected"):format(
			tostring(id.timeline), least)
	end
	before.reached = id.timeline
	return true
end

---After a promotion by others: waits until it is a primary that may be written to.
---@param f opsh.postgres.failover
---@param before opsh.postgres.before
---@return boolean ok, string? why
function M.settled(f, before)
	local done, why = promote.probe(f.t.standby, before, f.p.promote_timeout)
	if not done then return false, why end
	return M.promoted(f, before)
end

-- --- leading others there ------------------------------------------------------------------

-- Host and port that others reach a target by: as the targets file has it.
local function place(db)
	local host, port = (fence.address(db) or ""):match "^%[?(.-)%]?:(%d+)$"
	return host and { host = host, port = math.tointeger(tonumber(port)) } or nil
end

---The pooler's file of databases, rewritten; nil when none leads to the old primary.
---@param f opsh.postgres.failover
---@param path string
---@return string? text, integer changed
function M.pooler_file(f, path)
	local text, n = repoint.pgbouncer(fs.read(path), place(f.t.primary),
		place(f.t.standby))
	return n > 0 and text or nil, n
end

---Leads the pooler there and lets clients on.
---@param f opsh.postgres.failover
---@return {lines: integer}
function M.lead_pooler(f)
	local path, n = f.p.pooler_config, 0
	if path then
		local text
		text, n = M.pooler_file(f, path)
		if text then fs.write(path, text) end
		f.t.pooler:exec("RELOAD", { timeout = f.p.fence_timeout,
			expect = { ok = true } })
	end
	fence.resume(f.fence)
	return { lines = n }
end

---Are clients let on, and led to the new primary?
---@param f opsh.postgres.failover
---@return boolean led, string? why not
function M.led(f)
	local there = place(f.t.standby)
	local ours = {}
	for _, name in ipairs(f.fence.databases) do ours[name] = true end
	for _, row in ipairs(f.t.pooler:query "SHOW DATABASES") do
		if ours[row.name] and tonumber(row.paused) == 1 then
			return false, ("database '%s' of the pooler is paused"):format(row.name)
		elseif ours[row.name] and f.p.pooler_config and (row.host ~= there.host
			or tonumber(row.port) ~= there.port) then
			return false, ("database '%s' of the pooler leads to %s:%s"):format(
				row.name, tostring(row.host), tostring(row.port))
		end
	end
	return true
end

---Leads one sibling there.
---@param f opsh.postgres.failover
---@param db opsh.postgres.client
function M.lead_sibling(f, db)
	local text = db:value "select current_setting('primary_conninfo')"
	local to = repoint.conninfo(text or "", place(f.t.standby))
	db:exec("alter system set primary_conninfo = '" .. to:gsub("'", "''") .. "'",
		{ expect = { ok = true } })
	db:exec("select pg_reload_conf()", { expect = { ok = true } })
end

-- --- proof ---------------------------------------------------------------------------------

---A row written and read back through the application's own way, or on the node when
---there is none; tried until it works, for so many seconds.
---@param f opsh.postgres.failover
---@param before opsh.postgres.before
---@param run string
---@return {at: number, address: string, way: string}
function M.prove(f, before, run)
	local way = f.t.app and "app" or "standby"
	local db = f.t[way]
	local until_ = task.now() + f.p.prove_timeout
	promote.prepare(f.t.standby)
	while true do
		local ok, r, why = pcall(function()
			if f.t.app then
				local same, other = cluster.became(db, before.system_identifier)
				if not same then return nil, other end
			end
			return promote.write(db, run, { timeout = 5 })
		end)
		if ok and r then
			r.way = way
			return r
		end
		if not ok and (not err.is(r) or r.kind == "cancelled") then error(r, 0) end
		why = ok and why or r.message
		if task.now() >= until_ then
			error(err.new { kind = "verify", message = ("no write gets through '%s' "
				.. "within %g s: %s"):format(way, f.p.prove_timeout, why) }, 0)
		end
		task.sleep(0.1)
	end
end

---Who takes writes, of all nodes that are known.
---@param f opsh.postgres.failover
---@return string[] names, table<string, opsh.postgres.node>
function M.scan(f)
	local clients = { primary = f.t.primary, standby = f.t.standby }
	for name, db in pairs(f.siblings) do clients[name] = db end
	local nodes = cluster.nodes(clients, f.p.look)
	return judge.writable(nodes), nodes
end

return M
