-- promote: makes a standby the primary, once. What it was before stands in the request,
-- so that intent, record and the server's log have it. A reply that is lost leaves the
-- outcome unknown: the same server is asked until it is known; no other one is ever
-- tried. Must not fence, nor choose the node.
local cluster = require "opsh.postgres.cluster"
local err = require "opsh.c.err"
local task = require "opsh.task"

local M = {}

---The node that a promotion begins with.
---@class opsh.postgres.before
---@field system_identifier string
---@field timeline integer
---@field sure? boolean the primary said so too: the next one is one higher
---@field reached? integer timeline after it
---@field replayed string LSN

-- Asks until it is a primary; nil when nobody said so in time.
local function settle(db, before, seconds)
	local until_ = task.now() + seconds
	local why
	while true do
		local ok, became, reason = pcall(cluster.became, db,
			before.system_identifier)
		if ok and became then return true end
		if not ok and (not err.is(became) or became.kind == "cancelled") then
			error(became, 0)
		end
		why = ok and reason or became.message
		if task.now() >= until_ then return nil, why end
		task.sleep(0.2)
	end
end

---What a promotion whose outcome is not known has come to: true when the server is a
---primary now, nil when that can't be told (it may still become one).
---@param db opsh.postgres.client
---@param before opsh.postgres.before
---@param seconds number
---@return boolean? applied, string? why
function M.probe(db, before, seconds)
	return settle(db, before, seconds)
end

---Promotes; returns when it takes writes. Raises kind unknown when it may have been
---promoted and can't be asked.
---@param db opsh.postgres.client
---@param before opsh.postgres.before
---@param seconds number
---@return {how: string, seconds: number}
function M.promote(db, before, seconds)
	local began = task.now()
	local sql = ("select pg_promote(true, %d) as promoted /* lsn %s, timeline %d */")
		:format(math.ceil(seconds), before.replayed, before.timeline)
	local ok, r = pcall(db.exec, db, sql, { timeout = seconds + 2,
		expect = { ok = true } })
	local how = "answered"
	if not ok then
		if not err.is(r) or r.outcome ~= "unknown" or r.kind == "cancelled" then
			error(r, 0)
		end
		how = "its reply was lost: " .. r.message
	end
	if require("opsh.c.effect").mode() == "plan" then
		return { how = "planned", seconds = 0 }
	end
	local done, why = settle(db, before, seconds)
	if not done then
		error(err.new { kind = "unknown", code = "PROMOTE", outcome = "unknown",
			op = "pg_promote", message = ("it is not known whether the standby was "
			.. "promoted (%s)"):format(why or "?"), hint = "ask it: select "
			.. "pg_is_in_recovery(); promote no other node before that is known" }, 0)
	end
	return { how = how, seconds = task.now() - began }
end

-- --- proof --------------------------------------------------------------------------------

local PROBE <const> = [[
insert into opsh_failover (id, run, at) values (1, $1, clock_timestamp())
on conflict (id) do update set run = excluded.run, at = excluded.at
returning extract(epoch from at)::float8 as at]]

---Makes the table of the probe row, where there is none; whoever the application
---logs in as may write that row.
---@param db opsh.postgres.client
function M.prepare(db)
	db:exec([[create table if not exists opsh_failover (id integer primary key,
		run text not null, at timestamptz not null)]], { expect = { ok = true } })
	db:exec("grant select, insert, update on opsh_failover to public",
		{ expect = { ok = true } })
end

---Writes the probe row and reads it back by the same way: the application's, or a
---node's own.
---@param db opsh.postgres.client
---@param run string
---@param opts? {timeout?: number}
---@return {at: number, address: string}? written, string? why not
function M.write(db, run, opts)
	local r = db:exec(PROBE, run, { timeout = opts and opts.timeout or 10,
		expect = { ok = true } })
	local back = db:one([[select run, pg_is_in_recovery() as recovery,
		host(inet_server_addr()) || ':' || inet_server_port() as address
		from opsh_failover where id = 1]])
	if not back or back.run ~= run then
		return nil, "the row that was written can't be read back"
	elseif back.recovery then
		return nil, "it leads to a standby"
	end
	return { at = r.rows[1].at, address = back.address }
end

return M
