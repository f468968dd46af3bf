-- http.target: the options of a target of kind http, read: its URL, the proxy and
-- its exceptions, a login of ~/.netrc, default headers. Owns what the environment
-- and files say of them; sends nothing.
local c = require "opsh.c.http"
local err = require "opsh.c.err"
local secret = require "opsh.secret"
local value = require "opsh.http.value"

local M = {}

local function config(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

-- "http://user:pw@host:port" -> url without the user, host, port, user:password
local function read_proxy(text, o)
	local scheme, user, rest = text:match "^(%a[%w]*)://([^@/]*)@([^@/]+)/?$"
	if not scheme then
		scheme, rest = text:match "^(%a[%w]*)://([^@/]+)/?$"
	end
	local host, port = (rest or ""):match "^%[([%x:]+)%]:?(%d*)$"
	if not host then host, port = (rest or ""):match "^([^:%s]+):?(%d*)$" end
	if not host or scheme ~= "http" and scheme ~= "socks5h" then
		config("option 'proxy' must be http://HOST:PORT, socks5h://HOST:PORT or "
			.. "'env'")
	end
	if port == "" then port = scheme == "http" and "3128" or "1080" end
	o.proxy = scheme .. "://" .. rest
	o.proxy_host, o.proxy_port = host, port
	if user then
		local password = user:match "^[^:]*:(.+)$"
		if password then c.register(password) end
		o.proxy_auth = secret.value(user, "proxy")
	end
end

-- Is the host in a list as no_proxy has it?
local function excepted(list, host)
	for item in list:gmatch "[^,%s]+" do
		item = item:lower():gsub("^%*?%.", "")
		if item == "*" or item == host
			or host:sub(-#item - 1) == "." .. item then
			return true
		end
	end
	return false
end

local function env_proxy(u)
	local sys = require "opsh.c.sys"
	local function env(name)
		local text = sys.getenv(name) or sys.getenv(name:upper())
		return text ~= "" and text or nil
	end
	local host = u.host:lower()
	if excepted(env "no_proxy" or "", host) then return nil end
	-- HTTP_PROXY can be set by a request's header where we run as CGI
	local text = u.scheme == "https" and env "https_proxy"
		or u.scheme == "http" and sys.getenv "http_proxy" or env "all_proxy"
	if text and not text:find "://" then text = "http://" .. text end
	return text
end

-- Login and password of the machine in ~/.netrc.
local function read_netrc(host)
	local sys = require "opsh.c.sys"
	local home = sys.getenv "HOME"
	if not home then config "option 'netrc': HOME is not set" end
	local path = sys.getenv "NETRC" or home .. "/.netrc"
	local st, why = sys.stat(path)
	if not st then config("option 'netrc': cannot read %s", why) end
	if st.mode & 63 ~= 0 then
		config("refusing '%s': others can read it (chmod 600)", path)
	end
	local text = sys.read(path, 65536) or ""
	text = text:gsub("macdef[^\n]*\n.-\n%s*\n", "\n")
	local found, machine, entry
	for word in text:gmatch "%S+" do
		if machine == true then
			machine, entry = word, {}
			if word == host then found = entry end
		elseif word == "machine" then
			machine = true
		elseif word == "default" then
			entry = {}
			found = found or entry
		elseif entry and entry.key then
			entry[entry.key], entry.key = word, nil
		elseif entry then
			entry.key = word
		end
	end
	if not found or not found.login then
		config("option 'netrc': '%s' has no login for '%s'", path, host)
	end
	return found.login, found.password and secret.value(found.password, "netrc")
end

local COPIED = { "token", "user", "password", "ca", "cert", "key",
	"server_name", "verify", "http2", "timeout", "connect_timeout", "max_body" }

---A client of the kind http.
---@param target userdata
---@param options table
---@return opsh.http.client
function M.connect(target, options)
	local u = options.url or {}
	if next(u.query or {}) then
		config("URL of target '%s' has an unknown parameter '%s'", target:name(),
			tostring(next(u.query)))
	end
	local o = { tls = u.tls or false, host = u.host, socket = u.socket,
		port = u.port and tostring(u.port),
		base = ((u.path or ""):gsub("/+$", "")) }
	for _, name in ipairs(COPIED) do o[name] = options[name] end
	o.user, o.password = o.user or u.user, o.password or u.password
	if options.netrc and u.host and not o.user and not o.token then
		o.user, o.password = read_netrc(u.host)
	end
	if options.proxy and u.host then
		local text = options.proxy
		if text == "env" then text = env_proxy(u) end
		if text then read_proxy(text, o) end
	end
	local headers = {}
	for name, v in pairs(options.headers or {}) do
		headers[name] = secret.resolve(v)
	end
	headers = value.headers(headers, "headers")
	o.headers = headers
	if o.verify == false then
		require("opsh.log").warn("target '%s': certificates are not verified",
			target:name())
	end
	return c.connect(target, o, { headers = headers })
end

return M
