-- rejoin: what playbook postgres/rejoin does in its steps: an old primary's folder is
-- wound back to where it and the new primary parted, and becomes that one's standby.
-- Works on a server that is down. Owns the script that changes the folder; that it may
-- be changed is the playbook's guard.
local cluster = require "opsh.postgres.cluster"
local datadir = require "opsh.postgres.datadir"
local err = require "opsh.c.err"
local fence = require "opsh.postgres.fence"
local task = require "opsh.task"

local M = {}

-- $1 folder, $2 source (empty: not wound back), the rest: lines of configuration. A
-- server that crashed is brought to a clean end by pg_rewind, which can't be done to a
-- standby: the signal goes for that time only. It stands again before anything else
-- can go wrong.
local SCRIPT <const> = [[
data=$1 source=$2 rc=0; shift 2
if [ -n "$source" ]; then
	rm -f "$data/standby.signal"
	pg_rewind -D "$data" --source-server="$source" --no-sync
	rc=$?
fi
cp -p "$data/PG_VERSION" "$data/standby.signal" || exit 1
[ $rc -eq 0 ] || exit $rc
for line; do
	printf '%s\n' "$line" >>"$data/postgresql.auto.conf" || exit 1
done]]

-- Where the new primary's timeline began, by its history; nil when it may not be read.
local function parted(db, timeline)
	local ok, text = pcall(db.value, db, "select pg_read_file('pg_wal/' || "
		.. "lpad(upper(to_hex($1::int)), 8, '0') || '.history')", timeline)
	if not ok then
		if not err.is(text) or text.kind == "cancelled" then error(text, 0) end
		return nil
	end
	return M.parted(text or "")
end

---The last line of a timeline's history: which timeline it left, and where.
---@param text string
---@return {timeline: integer, lsn: string}?
function M.parted(text)
	local found
	for timeline, lsn in text:gmatch "(%d+)%s+(%x+/%x+)[^\n]*" do
		found = { timeline = math.tointeger(tonumber(timeline)), lsn = lsn }
	end
	return found
end

---Looks at both: the new primary, the old one's server and folder.
---@param t table targets: primary old orchestrator
---@param p table parameters
---@return table view primary old process control discard
function M.look(t, p)
	local nodes = cluster.nodes({ primary = t.primary, old = t.old }, p.look)
	local view = { primary = nodes.primary, old = nodes.old,
		data = p.data or (nodes.old.settings or {}).data_directory }
	view.process = fence.process { orchestrator = t.orchestrator, unit = p.unit }
	if not view.data then return view end
	local why
	view.control, why = datadir.read_control(t.orchestrator, p.unit, view.data)
	view.control_why = why
	local at = nodes.primary.asked and parted(t.primary, nodes.primary.timeline)
	if at and view.control and at.timeline == view.control.timeline then
		view.parted = at
		view.discard, why = datadir.unsent(t.orchestrator, p.unit, view.data,
			at.lsn, at.timeline)
		view.discard_why = why
	end
	return view
end

---What is against it; nothing: it may be done. `done`: it streams already.
---@param view table
---@param slot string
---@return string[] refuse, boolean done
function M.judge(view, slot)
	local out = {}
	local function refuse(fmt, ...) out[#out + 1] = fmt:format(...) end
	local primary, old, control = view.primary, view.old, view.control
	if not primary.asked then
		refuse("the new primary can't be asked: %s", primary.why or "?")
		return out, false
	elseif primary.recovery then
		refuse "'primary' is in recovery: it is none"
	end
	if old.asked and not old.recovery then
		refuse("the old primary takes writes, so two nodes do: stop it first, its "
			.. "data is not the other's")
	end
	for _, row in ipairs(primary.standbys or {}) do
		if row.name == slot and row.state == "streaming" and old.asked
			and old.recovery then
			return out, #out == 0
		end
	end
	if not view.data then
		refuse "its data folder is not known: give data="
	elseif not control then
		refuse("its control file can't be read: %s", view.control_why or "?")
	elseif control.system_identifier ~= primary.system_identifier then
		refuse("the folder is of another cluster: system_identifier %s, the primary "
			.. "has %s", tostring(control.system_identifier),
			tostring(primary.system_identifier))
	elseif not control.rewindable then
		refuse("the folder has neither wal_log_hints nor checksums: pg_rewind can't "
			.. "be used, make a new copy by pg_basebackup")
	end
	return out, false
end

---The lines of configuration that make it a standby of the new primary.
---@param to {host: string, port: integer}
---@param p {slot: string, user: string, conninfo?: string}
---@return string[]
function M.lines(to, p)
	local conninfo = ("host=%s port=%d user=%s application_name=%s%s"):format(
		to.host, to.port, p.user, p.slot, p.conninfo and " " .. p.conninfo or "")
	return { "primary_conninfo = '" .. conninfo:gsub("'", "''") .. "'",
		"primary_slot_name = '" .. p.slot .. "'",
		"recovery_target_timeline = 'latest'" }
end

---Makes the slot on the primary, where there is none.
---@param db opsh.postgres.client
---@param slot string
---@return boolean made
function M.slot(db, slot)
	if db:one("select 1 from pg_replication_slots where slot_name = $1", slot) then
		return false
	end
	db:exec("select pg_create_physical_replication_slot($1, true)", slot,
		{ expect = { ok = true } })
	return true
end

---The control file of a server learns its timeline with the checkpoint after its
---promotion, and pg_rewind believes that file.
---@param db opsh.postgres.client
---@param seconds number
function M.checkpoint(db, seconds)
	db:exec("checkpoint", { timeout = seconds, expect = { ok = true } })
end

---Has the folder to be wound back? Not when it ended cleanly with nothing of its own:
---a standby follows from there. Asked when its server is down.
---@param t table
---@param p table
---@param view table
---@return boolean
function M.needed(t, p, view)
	local control = datadir.read_control(t.orchestrator, p.unit, view.data)
	local at = view.parted
	if not at or not control or not control.state:find("^shut down") then
		return true
	end
	local own = datadir.unsent(t.orchestrator, p.unit, view.data, at.lsn,
		at.timeline)
	return not own or own.bytes > 0
end

---Winds the folder back, where that is needed, and makes it a standby's.
---@param t table
---@param p table
---@param data string
---@param needed boolean
---@return {said: string}
function M.rewind(t, p, data, needed)
	local host, port = (fence.address(t.primary) or ""):match "^%[?(.-)%]?:(%d+)$"
	local to = { host = host, port = math.tointeger(tonumber(port)) }
	local source = ("host=%s port=%d user=%s dbname=postgres connect_timeout=10")
		:format(to.host, to.port, p.source_user)
	local argv = { "sh", "-c", SCRIPT, "opsh-rejoin", data,
		needed and source or "" }
	table.move(M.lines(to, p), 1, 3, #argv + 1, argv)
	local r = t.orchestrator:exec(p.unit, argv, { timeout = p.rewind_timeout,
		expect = { status = 0, stderr = "" } })
	return { said = needed and r.stderr or "pg_rewind: not needed" }
end

---Waits until the primary sees it stream, and it answers itself, in recovery.
---@param t table
---@param slot string
---@param seconds number
---@return boolean streams, string? why
function M.wait(t, slot, seconds)
	local until_ = task.now() + seconds
	local why
	while true do
		local row = t.primary:one([[select state from pg_stat_replication
			where application_name = $1]], slot)
		why = row and "its state is " .. tostring(row.state)
			or "the primary has no such standby"
		if row and row.state == "streaming" then
			local node = cluster.node("old", t.old, 3)
			if node.asked and node.recovery then return true end
			if node.asked then return false, "ALARM: it is not in recovery" end
			why = node.why
		end
		if task.now() >= until_ then return false, why end
		task.sleep(0.2)
	end
end

return M
