-- redis: what the specs of Redis share: clients.lua for kind redis, and the fault
-- tools. Loaded with dofile. Owns nothing but the tools: the servers are those of
-- examples/stack.
local R = dofile "tests/lib/clients.lua"(require("opsh.redis").kind, "cache",
	"OPSH_REDIS_URL")

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
