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

local function start(args, program)
	local pipe = assert(io.popen("exec sh -c 'echo $$; exec " .. (program or
		"tests/lib/http_server.py") .. " " .. args .. " < /dev/null 2> /dev/null'"))
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

-- tests/fault/proxy.py in one of its modes, before nothing. Its socket's name is its
-- own: one that was killed before its signal handler stood has left its.
function H.proxy(mode)
	shared.proxies = (shared.proxies or 0) + 1
	local server = start(("--to 127.0.0.1:9 --control %s/%d.control --mode %s")
		:format(H.folder(), shared.proxies, mode), "tests/fault/proxy.py")
	return setmetatable(server, Server)
end

-- The one that specs share, by its arguments.
function H.shared(args)
	args = args or ""
	if not shared.servers[args] then shared.servers[args] = H.server(args) end
	return shared.servers[args]
end

local function run(command)
	if not os.execute(command .. " > /dev/null 2>&1") then
		error("failed: " .. command, 0)
	end
end

-- Certificates, made once: ca.pem, and NAME.pem with NAME.key for each of
-- localhost (good), expired, wrong (for another host), self (its own authority),
-- client. One file of each: certificate, then the authority's.
function H.certificates()
	local dir = H.folder()
	if shared.certificates then return dir end
	local function cert(name, subject, san, days, ca)
		run(("openssl req -newkey rsa:2048 -nodes -keyout %s/%s.key -out "
			.. "%s/%s.csr -subj '/O=opsh/CN=%s'"):format(dir, name, dir, name,
			subject))
		local f = assert(io.open(dir .. "/" .. name .. ".ext", "w"))
		f:write(san and "subjectAltName=" .. san .. "\n"
			or "basicConstraints=critical,CA:TRUE\n")
		f:close()
		local by = ca and ("-CA %s/ca.pem -CAkey %s/ca.key -CAcreateserial")
			:format(dir, dir) or ("-signkey %s/%s.key"):format(dir, name)
		run(("openssl x509 -req -in %s/%s.csr -out %s/%s.pem -days %d -extfile "
			.. "%s/%s.ext %s"):format(dir, name, dir, name, days, dir, name, by))
	end
	cert("ca", "opsh test authority", nil, 30)
	cert("localhost", "localhost", "DNS:localhost,IP:127.0.0.1", 10, true)
	cert("expired", "localhost", "DNS:localhost,IP:127.0.0.1", 10, true)
	-- only `openssl ca` makes one that has ended
	local f = assert(io.open(dir .. "/ca.cnf", "w"))
	local text = ([[[ca]
default_ca = own
[own]
new_certs_dir = DIR
database = DIR/ca.txt
serial = DIR/ca.number
certificate = DIR/ca.pem
private_key = DIR/ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
]]):gsub("DIR", dir)
	f:write(text)
	f:close()
	run(("cd %s && : > ca.txt && echo 1000 > ca.number && openssl ca -batch "
		.. "-notext -config ca.cnf -in expired.csr -out expired.pem -extfile "
		.. "expired.ext -startdate 20200101000000Z -enddate 20200201000000Z")
		:format(dir))
	cert("wrong", "other.example", "DNS:other.example,DNS:*.wrong.example", 10,
		true)
	cert("self", "localhost", "DNS:localhost,IP:127.0.0.1", 10)
	cert("client", "ops", "DNS:ops", 10, true)
	shared.certificates = true
	return dir
end

-- The shared TLS server with the certificate `name`; args: more arguments.
function H.tls(name, args)
	local dir = H.certificates()
	return H.shared(("--cert %s/%s.pem --key %s/%s.key %s"):format(dir, name,
		dir, name, args or ""))
end

-- nghttpd on a folder with the file `hello`; the port is one that was free. args:
-- "--no-tls", or key and certificate.
function H.http2(args)
	local p = io.popen("python3 -c 'import socket; s = socket.socket(); "
		.. "s.bind((\"127.0.0.1\", 0)); print(s.getsockname()[1])'")
	local port = p:read "l"
	p:close()
	local dir = H.folder()
	local f = assert(io.open(dir .. "/hello", "w"))
	f:write "hello"
	f:close()
	local pipe = assert(io.popen(("exec sh -c 'echo $$; exec nghttpd "
		.. "-a 127.0.0.1 -d %s %s %s > /dev/null 2>&1'"):format(dir, port,
		args)))
	return setmetatable({ pid = pipe:read "l", pipe = pipe,
		port = math.tointeger(tonumber(port)) }, Server)
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

-- The values of a header (in lower case) that /echo was sent.
function H.header(echo, name)
	local all = {}
	for _, pair in ipairs(echo.headers) do
		if pair[1]:lower() == name then all[#all + 1] = pair[2] end
	end
	return table.concat(all, "|")
end

-- Writes a file of the folder -> its path.
function H.write(name, data)
	local path = H.folder() .. "/" .. name
	local f = assert(io.open(path, "w"))
	f:write(data)
	f:close()
	return path
end

-- A file's bytes, nil when it is not there.
function H.read(path)
	local f = io.open(path)
	if not f then return nil end
	local data = f:read "a"
	f:close()
	return data
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
