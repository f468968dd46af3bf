-- fence: keeps writes from a primary before another one is made, and looks from two
-- sides whether it holds. The pooler holds clients back (PAUSE); standby.signal in the
-- data folder keeps a server that is started again from taking writes; the orchestrator
-- stops the process. Owns these and how each is taken back. Must not promote.
local c = require "opsh.c.pg"
local cluster = require "opsh.postgres.cluster"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

---What there is to fence with.
---@class opsh.postgres.fence
---@field primary opsh.postgres.client
---@field standby opsh.postgres.client
---@field app? opsh.postgres.client the application's own way
---@field pooler? opsh.postgres.client pgbouncer's admin console
---@field orchestrator? opsh.orchestrator
---@field unit? string the primary's service there
---@field data? string its data folder
---@field databases? string[] of the pooler, that lead to the primary
---@field timeout number seconds each part of it may take

-- --- the pooler ------------------------------------------------------------------------

---Databases of a pgbouncer that lead to one of these addresses ("host:port").
---@param pooler opsh.postgres.client its admin console
---@param addresses table<string, boolean>
---@param seconds number
---@return {name: string, host: string, port: integer, paused: boolean}[]
function M.databases(pooler, addresses, seconds)
	local list = {}
	for _, row in ipairs(pooler:query("SHOW DATABASES", { timeout = seconds })) do
		local host, port = row.host, tonumber(row.port)
		if host and addresses[("%s:%d"):format(host, port or 0)] then
			list[#list + 1] = { name = row.name, host = host, port = port,
				paused = tonumber(row.paused) == 1 }
		end
	end
	return list
end

-- A name as the console reads it.
local function quoted(name)
	return '"' .. name:gsub('"', '""') .. '"'
end

local function say(f, verb, wanted)
	local paused = {}
	for _, row in ipairs(f.pooler:query("SHOW DATABASES",
		{ timeout = f.timeout })) do
		paused[row.name] = tonumber(row.paused) == 1
	end
	for _, name in ipairs(f.databases) do
		if paused[name] ~= wanted or effect.mode() == "plan" then
			f.pooler:exec(verb .. " " .. quoted(name), { timeout = f.timeout,
				expect = { ok = true } })
		end
	end
end

---Waits for the transactions that run, and holds all others back.
---@param f opsh.postgres.fence
function M.pause(f) say(f, "PAUSE", true) end

---Lets clients on; what was not held back stays as it is.
---@param f opsh.postgres.fence
function M.resume(f) say(f, "RESUME", false) end

-- --- the server ------------------------------------------------------------------------

---Whenever this folder's server is started from now on, it takes no writes. Does
---nothing to one that runs. The file is a copy, so that it has the right owner.
---@param f opsh.postgres.fence
function M.bar(f)
	f.orchestrator:exec(f.unit, { "cp", "-p", f.data .. "/PG_VERSION",
		f.data .. "/standby.signal" }, { effect = "write", timeout = f.timeout,
		expect = { status = 0 } })
end

---Takes that back.
---@param f opsh.postgres.fence
function M.unbar(f)
	f.orchestrator:exec(f.unit, { "rm", "-f", f.data .. "/standby.signal" },
		{ effect = "write", timeout = f.timeout, expect = { status = 0 } })
end

---Ends the server by its orchestrator, which kills it when it does not end.
---@param f opsh.postgres.fence
function M.stop(f)
	f.orchestrator:stop(f.unit, { timeout = f.timeout, expect = { ok = true } })
end

---The state of its process, as the orchestrator says; nil without one.
---@param f opsh.postgres.fence
---@return string? state
function M.process(f)
	if not (f.orchestrator and f.unit) then return nil end
	local rows = f.orchestrator:status(f.unit)
	return rows[1] and rows[1].state or "missing"
end

-- --- does it hold? ----------------------------------------------------------------------

-- A way in from one side. `shut`: no write gets through; nil: it can't be told.
---@class opsh.postgres.side
---@field name string
---@field shut boolean?
---@field why string

local function try(seconds, f)
	local ok, r = pcall(task.timeout, seconds, f)
	if ok then return r end
	if not err.is(r) or r.kind == "cancelled" then error(r, 0) end
	return nil, r
end

-- From here: nothing answers, or what answers is in recovery.
local function from_here(f)
	local r, e = try(f.timeout, function()
		return f.primary:one("select pg_is_in_recovery() as recovery",
			{ timeout = f.timeout })
	end)
	if r then
		return r.recovery, r.recovery and "it answers, in recovery"
			or "it answers and takes writes"
	elseif e.kind == "connect" and e.code ~= "ETIMEDOUT" then
		return true, e.message
	elseif e.kind == "connect" or e.kind == "timeout" then
		return nil, e.message -- silence proves nothing by itself
	end
	return false, e.message -- a refusal comes from a server that runs
end

-- What the application's own connection meets: held back, or refused.
local function from_application(f, seconds)
	local r, e = try(seconds, function()
		return f.app:one("select pg_is_in_recovery() as recovery",
			{ timeout = seconds })
	end)
	if r then
		return r.recovery, r.recovery and "it leads to a standby"
			or "a statement gets through"
	end
	return true, e.message
end

-- From the standby: nothing comes any more.
local function from_standby(f)
	local r, e = try(f.timeout, function()
		return f.standby:one("select status, sender_port as port from "
			.. "pg_stat_wal_receiver", { timeout = f.timeout }) or false
	end)
	if e then return nil, "it can't be asked: " .. e.message end
	if r and r.status == "streaming" then return false, "it still streams" end
	return true, "its receiver has no connection"
end

local function from_orchestrator(f)
	local state = M.process(f)
	if state == nil then return nil, "no orchestrator" end
	return state ~= "running" and state ~= "starting" and state ~= "restarting"
		and state ~= "paused", "its process is " .. state
end

---Looks once from all sides.
---@param f opsh.postgres.fence
---@param hold? number seconds that an application's statement must hang to count as held back
---@return opsh.postgres.side[]
function M.sides(f, hold)
	local ways = { { "connection", from_here }, { "standby", from_standby } }
	if f.app and f.pooler then
		ways[#ways + 1] = { "application", function()
			return from_application(f, hold or 1)
		end }
	end
	if f.orchestrator and f.unit then
		ways[#ways + 1] = { "orchestrator", from_orchestrator }
	end
	local sides = task.map(ways, { limit = 4 }, function(way)
		local shut, why = way[2](f)
		return { name = way[1], shut = shut, why = why }
	end)
	return M.weigh(sides)
end

---What came back in recovery takes no writes: that a standby hears from it, or that
---its process runs, does not open the fence then.
---@param sides opsh.postgres.side[]
---@return opsh.postgres.side[]
function M.weigh(sides)
	local barred
	for _, side in ipairs(sides) do
		barred = barred or side.name == "connection" and side.shut
			and side.why:find("in recovery", 1, true) ~= nil
	end
	for _, side in ipairs(sides) do
		if barred and side.shut == false and side.name == "standby" then
			side.shut, side.why = true, side.why .. ", from a server in recovery"
		elseif barred and side.shut == false and side.name == "orchestrator" then
			side.shut, side.why = nil, side.why .. ", in recovery"
		end
	end
	return sides
end

---Two sides at least say that it is shut, and none that it is open.
---@param sides opsh.postgres.side[]
---@return boolean holds, string why
function M.holds(sides)
	local shut, open, parts = 0, false, {}
	for n, side in ipairs(sides) do
		parts[n] = ("%s: %s"):format(side.name, side.why)
		if side.shut then shut = shut + 1 end
		open = open or side.shut == false
	end
	return shut >= 2 and not open, table.concat(parts, "; ")
end

---Looks until it holds from two sides, for f.timeout seconds at most.
---@param f opsh.postgres.fence
---@return boolean holds, string why, opsh.postgres.side[]
function M.verify(f)
	local until_ = task.now() + f.timeout
	while true do
		local sides = M.sides(f)
		local holds, why = M.holds(sides)
		if holds or task.now() >= until_ then return holds, why, sides end
		task.sleep(0.1)
	end
end

-- --- raising, lifting --------------------------------------------------------------------

---Raises the fence: what holds clients back first, then what ends the server. In a
---plan each part is withheld.
---@param f opsh.postgres.fence
---@param how "pooler"|"stop"|"both"
function M.raise(f, how)
	if how ~= "stop" then M.pause(f) end
	if how ~= "pooler" then
		if f.data then M.bar(f) end
		M.stop(f)
	end
end

---Takes all of it back and starts the server again: for a failover that is given up
---before anything was promoted. Goes on when a part fails, and says what did.
---@param f opsh.postgres.fence
---@param how "pooler"|"stop"|"both"
---@return string[] problems
function M.lift(f, how)
	local problems = {}
	local function part(what, g)
		local ok, e = pcall(g, f)
		if not ok then
			problems[#problems + 1] = ("%s: %s"):format(what, err.is(e)
				and e.message or tostring(e))
		end
	end
	if how ~= "pooler" then
		if f.data then part("standby.signal", M.unbar) end
		part("start", function()
			f.orchestrator:start(f.unit, { expect = { ok = true } })
		end)
	end
	if how ~= "stop" then part("RESUME", M.resume) end
	return problems
end

---Waits until the standby has replayed what the primary wrote last.
---@param f opsh.postgres.fence
---@param lsn string of the shutdown checkpoint
---@param seconds number
---@return boolean reached, string replayed
function M.catch_up(f, lsn, seconds)
	local until_ = task.now() + seconds
	local wanted = cluster.lsn(lsn)
	while true do
		local at = f.standby:value("select pg_last_wal_replay_lsn()::text")
		-- replayed is the end of the last record, lsn its beginning
		if cluster.lsn(at) > wanted then return true, at end
		if task.now() >= until_ then return false, at end
		task.sleep(0.05)
	end
end

---Is this a plan, in which nothing was done that could be looked at?
---@return boolean
function M.is_plan() return effect.mode() == "plan" end

---"host:port" of a target as the targets file has it, and as it was met.
---@param db opsh.postgres.client
---@return string?
function M.address(db) return c.target(db):address() end

return M
