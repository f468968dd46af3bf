-- local.proc: processes as /proc shows them, and pid files. A pid alone may be
-- another process by now: a process is known by its pid and the time that it was
-- started at. Reads only; owns nothing.
local sys = require "opsh.c.sys"

local M = {}

local TICKS <const> = 100	-- USER_HZ: of /proc, whatever the kernel's own

---@class opsh.local.process
---@field pid integer
---@field state string "R", "S", "Z" ...
---@field group integer process group
---@field session integer
---@field ticks integer of its start, since boot
---@field cpu integer ticks that it has used

---A line of /proc/PID/stat.
---@param text? string
---@return opsh.local.process? process nil when it is of no such form
function M.parse(text)
	local pid, rest = (text or ""):match "^(%d+) %(.*%) (.*)$"
	if not pid then return nil end
	local f = {}
	for word in rest:gmatch "%S+" do f[#f + 1] = word end
	local function int(n) return math.tointeger(tonumber(f[n])) end
	-- f[1] is the third field: proc(5)
	local p = { pid = math.tointeger(tonumber(pid)), state = f[1], group = int(3),
		session = int(4), ticks = int(20), cpu = int(12) and int(13)
		and int(12) + int(13) }
	if not p.pid or not p.group or not p.ticks or not p.cpu then return nil end
	return p
end

---A process that lives; a zombie does not.
---@param pid integer
---@return opsh.local.process?
function M.find(pid)
	local p = M.parse(sys.read(("/proc/%d/stat"):format(pid), 65536))
	if p and p.state ~= "Z" and p.state ~= "X" then return p end
end

---Seconds since the epoch at which the machine was started.
---@return number
function M.boot()
	local text = sys.read("/proc/stat", 1 << 20) or ""
	return tonumber(("\n" .. text):match "\nbtime (%d+)") or 0
end

---@param p opsh.local.process
---@return number seconds since the epoch
function M.started(p)
	return M.boot() + p.ticks / TICKS
end

---The process that a pid file means: "PID TICKS" as we write it, or "PID" as
---daemons do, which then must have been there when the file was written.
---@param path string
---@return opsh.local.process? process nil when it is gone
---@return "none"|"gone"|"other"|nil why there is no file, no process, another process
function M.of_file(path)
	local st = sys.stat(path)
	local text = st and sys.read(path, 4096)
	if not text then return nil, "none" end
	local pid, ticks = text:match "^%s*(%d+)%s*(%d*)%s*$"
	pid = math.tointeger(tonumber(pid))
	if not pid or pid < 2 then return nil, "none" end
	local p = M.find(pid)
	if not p then return nil, "gone" end
	if ticks ~= "" then
		if p.ticks ~= math.tointeger(tonumber(ticks)) then return nil, "other" end
	elseif M.started(p) > st.mtime + 2 then
		return nil, "other"
	end
	return p
end

---The processes of a service: those of the group that it leads, or it alone.
---@param p opsh.local.process
---@return opsh.local.process[]
function M.family(p)
	if p.group ~= p.pid then return { p } end
	local list = {}
	for _, name in ipairs(sys.readdir "/proc" or {}) do
		local pid = math.tointeger(tonumber(name))
		local other = pid and M.find(pid)
		if other and other.group == p.group then list[#list + 1] = other end
	end
	return #list > 0 and list or { p }
end

---What processes use: resident memory, ticks of the processor, open files.
---@param list opsh.local.process[]
---@return {memory: integer, cpu: integer, fds: integer?}
function M.use(list)
	local use = { memory = 0, cpu = 0, fds = 0 }
	for _, p in ipairs(list) do
		local status = sys.read(("/proc/%d/status"):format(p.pid), 1 << 20) or ""
		local kb = math.tointeger(tonumber(status:match "VmRSS:%s*(%d+)"))
		use.memory = use.memory + (kb or 0) * 1024
		use.cpu = use.cpu + p.cpu
		local fds = sys.readdir(("/proc/%d/fd"):format(p.pid))
		if fds and use.fds then
			use.fds = use.fds + #fds
		elseif M.find(p.pid) then
			use.fds = nil	-- another user's
		end
	end
	return use
end

---@param before integer ticks
---@param after integer
---@param seconds number between
---@return number cores
function M.cores(before, after, seconds)
	return math.max(0, (after - before) / TICKS / seconds)
end

return M
