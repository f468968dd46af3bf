-- holder: who holds a lock: what this process writes into the record of a lock,
-- how a record is told to a person, and whether the process that it names is
-- gone. Owns the fields of the record; must not talk to a store.
local effect = require "opsh.c.effect"
local sys = require "opsh.c.sys"
local session = require "run.session"

local holder = {}

local function boot_id()
	return ((sys.read("/proc/sys/kernel/random/boot_id", 64) or "")
		:gsub("%s", ""))
end

-- When a process began, in ticks since boot; nil when there is none. A number
-- of a process is used again, with this it is not.
local function start_of(pid)
	local text = sys.read(("/proc/%d/stat"):format(pid), 4096)
	if not text then return nil end
	local rest, n = text:match "^.*%)%s(.*)$", 2
	for field in (rest or ""):gmatch "%S+" do
		n = n + 1
		if n == 22 then return field end
	end
end

-- The processes that we can see are those of this namespace.
local function pid_space()
	local st = sys.stat "/proc/self/ns/pid"
	return st and st.ino or 0
end

local function wall(seconds)
	return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(os.time() + seconds))
end

---What the record of a lock says of us. nonce: no other taking has it.
---@param playbook string its name
---@return table
function holder.me(playbook)
	local pid, run = sys.pid(), effect.status().run
	return {
		owner = tostring(sys.getenv "USER" or "uid " .. sys.euid()),
		host = sys.hostname(), run = run, playbook = playbook,
		step = session.step, since = wall(0), heartbeat = wall(0), pid = pid,
		start = start_of(pid), boot = boot_id(), space = pid_space(),
		nonce = ("%s.%d.%d"):format(run, pid,
			math.floor(require("opsh.c.task").now() * 1e6)),
	}
end

---We are still there, and in this step.
---@param me table
function holder.beat(me)
	me.step, me.heartbeat = session.step, wall(0)
end

---A holder as stores give it: the record and what the store knows of it.
---@param resource string
---@param record table as holder.me made it
---@param token integer
---@param left number seconds of its lease
---@return table
function holder.new(resource, record, token, left)
	local out = {}
	for k, v in pairs(record) do out[k] = v end
	out.resource, out.token, out.left = resource, token, left
	out.id = ("%s#%d"):format(resource, token)
	out.expires = wall(left)
	return out
end

---Is the holder's process known to be gone? Only on its own machine can that be
---seen; nil elsewhere.
---@param h table
---@return boolean?
function holder.gone(h)
	if h.boot ~= boot_id() or h.boot == "" then
		-- the same machine, started again since: nothing of then runs
		return h.host == sys.hostname() and h.boot ~= nil and h.boot ~= ""
			and boot_id() ~= "" or nil
	elseif h.space ~= pid_space() or not h.pid then
		return nil
	end
	return start_of(h.pid) ~= h.start
end

---"ops on db1, run 01J.., step 'flush', since .., lease until .."
---@param h table
---@return string
function holder.text(h)
	local parts = { ("%s on %s"):format(h.owner or "?", h.host or "?") }
	if h.run then parts[#parts + 1] = "run " .. h.run end
	if h.playbook then parts[#parts + 1] = "playbook " .. h.playbook end
	if h.step then parts[#parts + 1] = ("step '%s'"):format(h.step) end
	if h.since then parts[#parts + 1] = "since " .. h.since end
	parts[#parts + 1] = h.left > 0 and "lease until " .. h.expires
		or "lease ended " .. h.expires
	return table.concat(parts, ", ")
end

---The machine's own: for stores that compare it.
holder.boot_id = boot_id

return holder
