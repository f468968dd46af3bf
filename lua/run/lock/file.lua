-- lock.file: locks as files of a folder, for runs on this machine. The file
-- NAME.TOKEN.lock with the greatest token is what counts. Another token is taken
-- by link(2), which one process can do; whoever holds one writes its own file
-- anew by a rename. Nobody waits for anybody, so a process that is stopped in
-- here keeps no one. Owns the folder; a lease's end is of the clock that counts
-- while the machine sleeps.
local clock = require "opsh.c.lock"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local fail = require "run.fail"
local holder = require "run.holder"
local json = require "opsh.c.json"
local session = require "run.session"
local sys = require "opsh.c.sys"
local task = require "opsh.c.task"

local File = {}
File.__index = File

local SIZE_MAX = 65536
local LEFT_BEHIND = 600	-- seconds: a new file of a process that was killed

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

function File:path(name, token)
	return ("%s/%s.%d.lock"):format(self.dir, name, token)
end

-- The tokens that have a file, by name; of one name only when it is given.
function File:tokens(only)
	local out = {}
	for _, entry in ipairs(sys.readdir(self.dir) or {}) do
		local name, token = entry:match "^(.+)%.(%d+)%.lock$"
		token = math.tointeger(tonumber(token))
		if token and (not only or name == only) then
			out[name] = out[name] or {}
			table.insert(out[name], token)
		end
	end
	for _, list in pairs(out) do table.sort(list) end
	return out
end

local function damaged(path, why)
	fail.raise { kind = "io", message = ("cannot read lock file '%s': %s")
		:format(path, why), hint = "see to it that no run is going on, then "
		.. "remove the file" }
end

local function parse(path, text)
	local ok, r = pcall(json.decode, text)
	if not ok or type(r) ~= "table" or math.type(r.token) ~= "integer" then
		damaged(path, not ok and fail.text(r) or "it is no lock")
	end
	return r
end

-- What counts: the file of the greatest token; without nonce the lock is free. It
-- is removed only after a greater one was made: then look again.
function File:load(name)
	for _ = 1, 100 do
		local tokens = self:tokens(name)[name]
		if not tokens then return { token = 0 }, {} end
		local path = self:path(name, tokens[#tokens])
		local text, why = sys.read(path, SIZE_MAX)
		if text then return parse(path, text), tokens end
		if sys.stat(path) then damaged(path, why) end
	end
	fail.raise { kind = "io", message = ("lock '%s' changes faster than it can "
		.. "be read in '%s'"):format(name, self.dir) }
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

local function lease(me, token, ttl)
	return { token = token, nonce = me.nonce, holder = me, ttl = ttl,
		ends = task.now() + ttl, boot = holder.boot_id(),
		wall = os.time() + ttl }
end

-- Makes a file of our own, and from it what put(path) says; as one effect on this
-- machine. Its answer.
function File:write(verb, name, r, put)
	local text = json.encode(r)
	return effect.call(session.host(), "write", verb, ("%s %s token %d"):format(
		verb, decode(name), r.token), nil, function()
			self.count = self.count + 1
			local new = ("%s/%s.%d.%d.new"):format(self.dir, name, sys.pid(),
				self.count)
			os.remove(new)
			local _ <close> = setmetatable({}, { __close = function()
				os.remove(new)
			end })
			local ok, why = sys.save(new, text, self.mode)
			if not ok then
				error(err.new { kind = "io", message = "cannot write a lock: "
					.. why }, 0)
			end
			return put(new)
		end)
end

-- Takes the next token, if nobody else has: true. One that lost its turn finds a
-- greater token than its own.
function File:claim(verb, name, r)
	return self:write(verb, name, r, function(new)
		if not clock.claim(new, self:path(name, r.token)) then return false end
		local tokens = self:tokens(name)[name]
		if tokens[#tokens] == r.token then return true end
		os.remove(self:path(name, r.token))
		return false
	end)
end

-- Writes our own file anew.
function File:put(verb, name, r)
	self:write(verb, name, r, function(new)
		local path = self:path(name, r.token)
		local ok, why = os.rename(new, path)
		if not ok then
			error(err.new { kind = "io", message = ("cannot write lock file "
				.. "'%s': %s"):format(path, why) }, 0)
		end
	end)
end

-- Files of the tokens before, and what killed processes have left.
function File:clean(name, tokens, token)
	for _, old in ipairs(tokens) do
		if old < token then os.remove(self:path(name, old)) end
	end
	for _, entry in ipairs(sys.readdir(self.dir) or {}) do
		local path = self.dir .. "/" .. entry
		local st = entry:find "%.new$" and sys.stat(path)
		if st and os.time() - st.mtime > LEFT_BEHIND then os.remove(path) end
	end
end

function File:acquire(resource, me, ttl)
	local ok, why = sys.mkdir(self.dir)
	if not ok then
		fail.raise { kind = "io", message = "cannot make the folder of the "
			.. "locks: " .. why }
	end
	local name = encode(self.prefix .. resource)
	local r, tokens = self:load(name)
	if r.nonce and left(r) > 0 then return nil, found(resource, r) end
	local token = r.token + 1
	if not self:claim("lock acquire", name, lease(me, token, ttl)) then
		return nil, self:read(resource)
	end
	self:clean(name, tokens, token)
	return token
end

-- The record, when it is still the one of token and nonce.
function File:mine(name, token, nonce)
	local r, tokens = self:load(name)
	return r.token == token and r.nonce == nonce, r, tokens
end

-- Only what is there before the old lease ends is a renewal: who looked after
-- that may have found it ended, and taken the next token.
function File:renew(resource, token, me, ttl)
	local name = encode(self.prefix .. resource)
	local mine, r = self:mine(name, token, me.nonce)
	if not mine or left(r) <= 0 then return false, found(resource, r) end
	self:put("lock renew", name, lease(me, token, ttl))
	if left(r) <= 0 then return false, self:read(resource) end
	return true
end

function File:release(resource, token, nonce)
	local name = encode(self.prefix .. resource)
	if not self:mine(name, token, nonce) then return false end
	self:put("lock release", name, { token = token })
	return true
end

-- Another's: its file is its own, so a greater token that is free is put above.
function File:break_(resource, token, nonce)
	local name = encode(self.prefix .. resource)
	local mine, _, tokens = self:mine(name, token, nonce)
	if not mine or not self:claim("lock break", name, { token = token + 1 })
	then
		return false
	end
	self:clean(name, tokens, token + 1)
	return true
end

function File:read(resource)
	return found(resource, (self:load(encode(self.prefix .. resource))))
end

function File:list()
	local out = {}
	for name in pairs(self:tokens()) do
		local resource = decode(name)
		if resource:sub(1, #self.prefix) == self.prefix then
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
	return setmetatable({ name = "file", where = dir, dir = dir, count = 0,
		prefix = lock.prefix or "", mode = lock.path and 432 or 384 }, File)
end
