-- lock.file: locks as files of a folder, one a resource: for runs on this machine.
-- Changes are made under the flock of a file beside it, whole, by a rename. The
-- lease's end is of the clock that counts while the machine sleeps. The token
-- stays when the lock is free. Owns the folder; must not wait under the flock.
local clock = require "opsh.c.lock"
local effect = require "opsh.c.effect"
local fail = require "run.fail"
local holder = require "run.holder"
local json = require "opsh.c.json"
local session = require "run.session"
local sys = require "opsh.c.sys"
local task = require "opsh.c.task"

local File = {}
File.__index = File

local SIZE_MAX = 65536
local PATIENCE = 2	-- seconds for another process to be done with the file

local function encode(name)
	return (name:gsub("[^%w_.-]", function(c)
		return ("%%%02X"):format(c:byte())
	end))
end

local function decode(name)
	return (name:gsub("%%(%x%x)", function(hex)
		return string.char(tonumber(hex, 16))
	end))
end

function File:path(resource)
	return ("%s/%s.lock"):format(self.dir, encode(self.prefix .. resource))
end

-- The flock of a resource; closed by the caller.
local function hold(path)
	local until_ = task.now() + PATIENCE
	while true do
		local guard = clock.guard(path .. ".flock")
		if guard then return guard end
		if task.now() >= until_ then
			fail.raise { kind = "io", message = ("lock file '%s' is being "
				.. "changed by another process for more than %g s"):format(
				path, PATIENCE) }
		end
		task.sleep(0.01)
	end
end

-- What the file says; a table without nonce when the lock is free.
local function load(path)
	if not sys.stat(path) then return { token = 0 } end
	local text, why = sys.read(path, SIZE_MAX)
	local ok, record = pcall(json.decode, text or "")
	if not ok or type(record) ~= "table"
		or math.type(record.token) ~= "integer" then
		fail.raise { kind = "io", message = ("cannot read lock file '%s': %s")
			:format(path, why or not ok and fail.text(record)
			or "it is no lock"), hint = "see to it that no "
			.. "run is going on, then remove the file" }
	end
	return record
end

-- Seconds of the lease. The folder may be shared between machines, whose clocks
-- since boot differ: then the time of day decides, with a ttl of grace.
local function left(r)
	if r.boot == holder.boot_id() then return r.ends - task.now() end
	if r.holder.host == sys.hostname() then return 0 end
	return r.wall + r.ttl - os.time()
end

local function found(resource, r)
	if not r.nonce then return nil end
	return holder.new(resource, r.holder, r.token, left(r))
end

function File:write(path, text)
	local new = path .. ".new"
	os.remove(new)		-- of a process that was killed in here
	local ok, why = sys.save(new, text, self.mode)
	if not ok then return nil, why end
	return os.rename(new, path)
end

-- Writes the file anew, as an effect on this machine.
function File:save(verb, resource, path, r)
	local ok, why = effect.call(session.host(), "write", verb,
		("%s %s token %d"):format(verb, resource, r.token), nil, self.write,
		self, path, json.encode(r))
	if not ok then
		fail.raise { kind = "io", message = ("cannot write lock file '%s': %s")
			:format(path, why) }
	end
end

local function lease(me, token, ttl)
	return { token = token, nonce = me.nonce, holder = me, ttl = ttl,
		ends = task.now() + ttl, boot = holder.boot_id(),
		wall = os.time() + ttl }
end

function File:acquire(resource, me, ttl)
	local ok, why = sys.mkdir(self.dir)
	if not ok then
		fail.raise { kind = "io", message = "cannot make the folder of the "
			.. "locks: " .. why }
	end
	local path = self:path(resource)
	local _ <close> = hold(path)
	local r = load(path)
	if r.nonce and left(r) > 0 then return nil, found(resource, r) end
	self:save("lock acquire", resource, path, lease(me, r.token + 1, ttl))
	return r.token + 1
end

-- Changes the record when it is still the one of token and nonce.
function File:change(verb, resource, token, nonce, f)
	local path = self:path(resource)
	local _ <close> = hold(path)
	local r = load(path)
	if r.token ~= token or r.nonce ~= nonce then
		return false, found(resource, r)
	end
	local new = f(r)
	if not new then return false, found(resource, r) end
	self:save(verb, resource, path, new)
	return true
end

function File:renew(resource, token, me, ttl)
	return self:change("lock renew", resource, token, me.nonce, function(r)
		return left(r) > 0 and lease(me, token, ttl) or nil
	end)
end

function File:release(resource, token, nonce)
	return self:change("lock release", resource, token, nonce, function()
		return { token = token }
	end)
end

function File:break_(resource, token, nonce)
	return self:change("lock break", resource, token, nonce, function()
		return { token = token }
	end)
end

function File:read(resource)
	return found(resource, load(self:path(resource)))
end

function File:list()
	local out = {}
	for _, name in ipairs(sys.readdir(self.dir) or {}) do
		local resource = name:match "^(.+)%.lock$"
		resource = resource and decode(resource)
		if resource and resource:sub(1, #self.prefix) == self.prefix then
			out[#out + 1] = self:read(resource:sub(#self.prefix + 1))
		end
	end
	return out
end

---The store of `lock = { path =, prefix = }`; path: shared by all who must see
---the locks, `$XDG_STATE_HOME/opsh/locks` by default, which is one user's.
---@param lock table of the configuration
---@return table store
return function(lock)
	local dir = lock.path or session.runs_dir():gsub("/runs$", "/locks")
	return setmetatable({ name = "file", where = dir, dir = dir,
		prefix = lock.prefix or "", mode = lock.path and 432 or 384 }, File)
end
