-- datadir: what the folder of a server that doesn't run says, asked with Postgres' own
-- programs through the orchestrator that owns it: the control file, and the WAL that
-- nobody has received, which is the loss of a failover. Reads only; the folder is
-- changed by opsh.postgres.fence and opsh.postgres.rejoin.
local cluster = require "opsh.postgres.cluster"
local err = require "opsh.c.err"

local M = {}

---What pg_controldata prints.
---@param text string
---@return {state: string, checkpoint: string, timeline?: integer, system_identifier?: string, rewindable: boolean}? nil when it is something else
function M.control(text)
	local function line(name)
		return text:match("\n" .. name .. ":%s+([^\n]+)")
	end
	text = "\n" .. text
	local state = line "Database cluster state"
	if not state then return nil end
	return { state = state, checkpoint = line "Latest checkpoint location",
		timeline = math.tointeger(tonumber(line "Latest checkpoint's TimeLineID")),
		system_identifier = line "Database system identifier",
		rewindable = line "wal_log_hints setting" == "on"
			or (tonumber(line "Data page checksum version") or 0) > 0 }
end

-- Days since 1970 of a date of the Gregorian calendar.
local function days(year, month, day)
	if month <= 2 then year, month = year - 1, month + 12 end
	return 365 * year + year // 4 - year // 100 + year // 400
		+ (153 * (month - 3) + 2) // 5 + day - 719469
end

---Seconds since 1970 of "2026-11-21 16:22:51.5", read as UTC.
---@param text string
---@return number?
function M.seconds(text)
	local year, month, day, hour, minute, second = text:match
		"(%d+)-(%d+)-(%d+) (%d+):(%d+):(%d+%.?%d*)"
	if not year then return nil end
	return days(math.tointeger(tonumber(year)), math.tointeger(tonumber(month)),
		math.tointeger(tonumber(day))) * 86400 + tonumber(hour) * 3600
		+ tonumber(minute) * 60 + tonumber(second)
end

---What pg_waldump says from an LSN to the end of the WAL: its transactions on stdout,
---where it found no more on stderr.
---@param from string LSN
---@param stdout string
---@param stderr string
---@return {bytes: integer, commits: integer, to: string, first?: number, last?: number}? nil: no end was found
---@return string? why
function M.wal(from, stdout, stderr)
	local out = { commits = 0, bytes = 0, to = from }
	for at in stdout:gmatch "desc: COMMIT[%w_]* ([%d-]+ [%d:.]+)" do
		out.commits = out.commits + 1
		out.last = M.seconds(at)
		out.first = out.first or out.last
	end
	if stderr:find("valid record after", 1, true) then return out end
	local to = stderr:match "error in WAL record at %x+/%x+:.* at (%x+/%x+)"
		or stderr:match "error in WAL record at (%x+/%x+)"
	local bytes = cluster.bytes(from, to)
	if not bytes then
		return nil, stderr:match "[^\r\n]+" or "pg_waldump found no end"
	end
	out.to, out.bytes = to, math.max(0, bytes)
	return out
end

-- Runs a program that reads; nil and why when that can't be done.
local function read(o, unit, argv, accept)
	local ok, r = pcall(o.exec, o, unit, argv, { effect = "read", timeout = 20,
		accept = accept, env = { TZ = "UTC", LC_ALL = "C" } })
	if ok then return r end
	if not err.is(r) or r.kind == "cancelled" then error(r, 0) end
	return nil, r.message
end

---The control file of a data folder.
---@param o opsh.orchestrator
---@param unit string
---@param data string
---@return table? control, string? why not
function M.read_control(o, unit, data)
	local r, why = read(o, unit, { "pg_controldata", data })
	if not r then return nil, why end
	local control = M.control(r.stdout)
	return control, not control and "pg_controldata said something else" or nil
end

---What the folder has that nobody else has received.
---@param o opsh.orchestrator
---@param unit string
---@param data string
---@param from string LSN that a standby has
---@param timeline integer
---@return {bytes: integer, commits: integer, to: string, first?: number, last?: number}? loss, string? why not
function M.unsent(o, unit, data, from, timeline)
	local r, why = read(o, unit, { "pg_waldump", "-p", data .. "/pg_wal", "-r",
		"Transaction", "-t", tostring(timeline), "-s", from }, true)
	if not r then return nil, why end
	return M.wal(from, r.stdout, r.stderr)
end

return M
