-- redis: what the specs of Redis share: clients that are closed at a test's end,
-- and the fault tools. Loaded with dofile. Owns nothing: the servers are those of
-- examples/stack.
local redis = require "opsh.redis"
local effect = require "opsh.c.effect"
local target = require "opsh.c.target"
local secret = require "opsh.secret"
local url = require "run.url"

local R = {}

-- A client for the URL; every destructive verb is let through.
function R.open(text, opts)
	local object = target.new { name = "cache", kind = "redis",
		role = opts and opts.role }
	local options = { url = text and url.parse(text, secret.value) }
	for k, v in pairs(opts or {}) do
		if k ~= "role" then options[k] = v end
	end
	object:pass("", "spec")
	return redis.kind.connect(object, options), object
end

-- One journal for all specs of the process.
local function begin_run()
	if package.loaded["spec.redis.run"] then return end
	package.loaded["spec.redis.run"] = true
	effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- Runs f(client, target object); closes the client whatever happens. Mode is
-- "write", or opts.mode.
function R.with(text, opts, f)
	local mode = opts and opts.mode or "write"
	local own = {}
	for k, v in pairs(opts or {}) do
		if k ~= "mode" then own[k] = v end
	end
	local client, object = R.open(text, own)
	local before = effect.mode()
	local _ <close> = setmetatable({}, { __close = function()
		client:close()
		effect.mode(before)
	end })
	begin_run()
	effect.mode(mode)
	return f(client, object)
end

-- A body for `it`: f on the plain server.
function R.on(f)
	return function()
		return R.with(os.getenv "OPSH_REDIS_URL", nil, f)
	end
end

-- --- the fault tools ---------------------------------------------------------

local Tool = {}
Tool.__index = Tool

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local function folder()
	local p = io.popen("mktemp -d \"${TMPDIR:-/tmp}/opsh-redis.XXXXXX\"")
	local path = p:read "l"
	p:close()
	return path
end

-- tests/fault/NAME with its options; .port; :tell(command) for the proxy.
function R.tool(name, args)
	local dir = folder()
	local control = name == "proxy.py" and dir .. "/control"
	local command = ("exec tests/fault/%s %s %s < /dev/null 2> %s/err"):format(
		name, control and "--control " .. control or "", args or "", dir)
	local pipe = assert(io.popen("sh -c 'echo $$; exec \"$0\" \"$@\"' sh -c "
		.. quote(command)))
	local self = setmetatable({ dir = dir, pipe = pipe, control = control,
		pid = pipe:read "l" }, Tool)
	self.port = math.tointeger(tonumber(pipe:read "l" or ""))
	if not self.port then
		self:close()
		error("the fault tool " .. name .. " does not start", 0)
	end
	return self
end

function Tool:tell(command)
	local p = io.popen(("tests/fault/proxy.py --send %s %s"):format(
		self.control, quote(command)))
	local said = p:read "a"
	p:close()
	return said
end

function Tool:close()
	if self.closed then return end
	self.closed = true
	os.execute("kill " .. self.pid .. " 2>/dev/null")
	self.pipe:close()
	os.execute("rm -rf " .. self.dir)
end

Tool.__close = Tool.close

-- The proxy before the plain server.
function R.proxy(args)
	return R.tool("proxy.py", "--to 127.0.0.1:" .. os.getenv "OPSH_REDIS_PORT"
		.. " " .. (args or ""))
end

return R
