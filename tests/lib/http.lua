-- http: what the specs of HTTP share: clients that are closed at a test's end, and
-- an origin that misbehaves on request (http_server.py), one a process of specs.
-- Loaded with dofile. Owns the servers that it has started.
local http = require "opsh.http"
local effect = require "opsh.c.effect"
local target = require "opsh.c.target"
local secret = require "opsh.secret"
local url = require "run.url"

local H = {}

local shared = package.loaded["spec.http"] or { servers = {} }
package.loaded["spec.http"] = shared

local function start(args)
	local pipe = assert(io.popen("sh -c 'echo $$; exec tests/lib/http_server.py "
		.. args .. " < /dev/null 2> /dev/null'"))
	local pid, port = pipe:read "l", math.tointeger(tonumber(pipe:read "l"
		or ""))
	if not port then error("the server does not start: " .. args, 0) end
	return { pid = pid, port = port, pipe = pipe }
end

local Server = {}
Server.__index = Server

function Server:close()
	if self.closed then return end
	self.closed = true
	os.execute("kill " .. self.pid .. " 2>/dev/null")
	self.pipe:close()
end

Server.__close = Server.close
Server.__gc = Server.close

-- A server of one's own: closable, .port.
function H.server(args)
	return setmetatable(start(args or ""), Server)
end

-- The one that specs share, by its arguments.
function H.shared(args)
	args = args or ""
	if not shared.servers[args] then shared.servers[args] = H.server(args) end
	return shared.servers[args]
end

-- A folder for the process, removed at its end.
function H.folder()
	if not shared.folder then
		local p = io.popen "mktemp -d \"${TMPDIR:-/tmp}/opsh-http.XXXXXX\""
		local path = p:read "l"
		p:close()
		shared.folder = setmetatable({ path = path }, { __gc = function()
			os.execute("rm -rf '" .. path .. "'")
		end })
	end
	return shared.folder.path
end

local function begin_run()
	if shared.run then return end
	shared.run = effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
end

-- Records of the journal since `from` (a number of H.records), as tables.
function H.records(from)
	local f = io.open(effect.status().dir .. "/journal.jsonl")
	local list = {}
	local n = 0
	for line in f and f:lines() or function() end do
		n = n + 1
		if n > (from or 0) then
			list[#list + 1] = require("opsh.json").decode(line)
			list[#list].text = line
		end
	end
	if f then f:close() end
	return list, n
end

function H.open(text, opts)
	local object = target.new { name = opts and opts.name or "api",
		kind = "http" }
	local options = { url = url.parse(text, secret.value) }
	for k, v in pairs(opts or {}) do
		if k ~= "guard" and k ~= "name" and k ~= "mode" then options[k] = v end
	end
	if not (opts and opts.guard) then object:pass("", "spec") end
	return http.kind.connect(object, options), object
end

-- Runs f(client, target object); opts are the target's, and mode ("write" unless
-- given), guard (true: destructive calls need one), name.
function H.with(text, opts, f)
	local client, object = H.open(text, opts)
	local before = effect.mode()
	local _ <close> = setmetatable({}, { __close = function()
		client:close()
		effect.mode(before)
	end })
	begin_run()
	effect.mode(opts and opts.mode or "write")
	return f(client, object)
end

-- A body for `it`: f(client, object, server) on the shared plain server.
function H.on(f, opts)
	return function()
		local server = H.shared()
		return H.with("http://127.0.0.1:" .. server.port, opts,
			function(client, object) return f(client, object, server) end)
	end
end

return H
