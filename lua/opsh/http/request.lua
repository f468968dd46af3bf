-- request: options of an HTTP call and of a target, checked and brought into the
-- form that opsh.c.http takes: flat lists of names and values, sorted by name, so
-- that the same call is the same request. Owns the lists of options; sends nothing
-- by itself.
local c = require "opsh.c.http"
local err = require "opsh.c.err"
local secret = require "opsh.secret"

local M = {}

local MAX_LINE <const> = 1024 * 1024

local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

local function config(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

-- --- values ------------------------------------------------------------------------

-- A string or a secret as it is, numbers and booleans as text.
local function value(v, what)
	local kind = type(v)
	if kind == "string" then return v end
	if kind == "number" or kind == "boolean" then return tostring(v) end
	v = secret.resolve(v)
	if secret.is(v) then return v end
	usage("%s must be a string, a number, a boolean or a secret, not a %s", what,
		kind)
end

-- {name = value or list} -> {name, value, name, value, ..}, by name.
local function pairs_of(t, what)
	if type(t) ~= "table" then
		usage("option '%s' must be a table, not a %s", what, type(t))
	end
	local names, flat = {}, {}
	for name in pairs(t) do
		if type(name) ~= "string" then
			usage("the names in '%s' must be strings", what)
		end
		names[#names + 1] = name
	end
	table.sort(names)
	for _, name in ipairs(names) do
		local v = t[name]
		for _, item in ipairs(type(v) == "table" and not secret.is(v) and v
			or { v }) do
			flat[#flat + 1] = name
			flat[#flat + 1] = value(item, what .. "." .. name)
		end
	end
	return flat
end

-- Headers whose value must not show, by a word of their name.
local HIDDEN = { "authorization", "cookie", "token", "secret", "password",
	"api-key", "apikey", "x-auth", "credential" }

local function hide(name, v)
	if type(v) ~= "string" then return end
	name = name:lower()
	for _, word in ipairs(HIDDEN) do
		if name:find(word, 1, true) then
			c.register(v)
			local rest = v:match "^%a+%s+(%S.*)$"	-- "Bearer x"
			if rest then c.register(rest) end
			return
		end
	end
end

local function headers_of(t, what)
	local flat = pairs_of(t, what)
	for i = 1, #flat, 2 do hide(flat[i], flat[i + 1]) end
	return flat
end

local function has(flat, name)
	for i = 1, #flat, 2 do
		if flat[i]:lower() == name then return true end
	end
	return false
end

-- The target's headers, those of the call in their place.
local function merge(base, own)
	local out = {}
	for i = 1, #base, 2 do
		if not has(own, base[i]:lower()) then
			out[#out + 1] = base[i]
			out[#out + 1] = base[i + 1]
		end
	end
	return table.move(own, 1, #own, #out + 1, out)
end

-- --- options of a call ----------------------------------------------------------------

local OPTIONS = { headers = true, query = true, body = true, json = true,
	form = true, multipart = true, timeout = true, connect_timeout = true,
	expect = true, expect_result = true, effect = true,
	idempotency_key = true, retry = true, max_body = true, to = true,
	follow = true, auth = true }

local SAFE = { GET = true, HEAD = true, OPTIONS = true, TRACE = true }
local RETRY = { attempts = true, delay = true, factor = true,
	max_delay = true, each = true }

local function check(opts, known)
	if type(opts) ~= "table" then
		usage("the options must be a table, not a %s", type(opts))
	end
	for name in pairs(opts) do
		if not known[name] then
			local list = {}
			for k in pairs(known) do list[#list + 1] = k end
			table.sort(list)
			usage("unknown option '%s' (known: %s)", tostring(name),
				table.concat(list, ", "))
		end
	end
end

local function number(opts, name, least)
	local v = opts[name]
	if v == nil then return nil end
	if type(v) ~= "number" or v ~= v or v < least or v == math.huge then
		usage("option '%s' must be a number of %s at least", name,
			tostring(least))
	end
	return v
end

local function read_class(method, opts)
	local effect = opts.effect
	if effect == nil then return nil end
	if effect ~= "read" and effect ~= "write" and effect ~= "destructive" then
		usage("option 'effect' must be 'read', 'write' or 'destructive'")
	end
	if effect == "read" and not SAFE[method] and method ~= "POST" then
		usage("effect = 'read' can be declared on a POST only, not on %s",
			method)
	end
	return effect
end

local function read_expect(expect)
	if expect == nil then return nil end
	if expect == "any" then return true end
	local list = type(expect) == "table" and expect or { expect }
	for i = 1, #list do
		if math.type(list[i]) ~= "integer" or list[i] < 100
			or list[i] > 599 then
			usage("option 'expect' must be a status, a list of them, or 'any'")
		end
	end
	if #list == 0 then usage "option 'expect' is an empty list" end
	return list
end

local function read_retry(opts, class, keyed)
	local retry = opts.retry
	if retry == nil then
		return keyed and { attempts = 3 } or nil
	elseif retry == false then
		return nil
	end
	check(retry, RETRY)
	if class ~= "read" and not keyed then
		usage("a write is not sent again: 'retry' needs 'idempotency_key'")
	end
	for name in pairs(retry) do number(retry, name, 0) end
	if retry.attempts and (math.type(retry.attempts) ~= "integer"
		or retry.attempts < 1) then
		usage "option 'attempts' of 'retry' must be an integer, 1 or more"
	end
	if opts.body and type(opts.body) == "function" then
		usage "a body made by a function can't be sent again: no 'retry'"
	end
	return retry
end

-- --- bodies -----------------------------------------------------------------------------

-- A copy of the value with a word in place of each secret.
local function without(v, found, depth)
	if secret.is(v) then
		local word = ("secret-%d-of-%p"):format(#found + 1, found)
		found[#found + 1] = { word = word, value = secret.resolve(v) }
		return word
	elseif type(v) ~= "table" or depth > 128 then
		return v
	end
	local copy = setmetatable({}, getmetatable(v))
	for key, item in pairs(v) do copy[key] = without(item, found, depth + 1) end
	return copy
end

local function holds_secret(v, depth)
	if secret.is(v) then return true end
	if type(v) ~= "table" or depth > 128 then return false end
	for _, item in pairs(v) do
		local kind = type(item)
		if (kind == "table" or kind == "userdata")
			and holds_secret(item, depth + 1) then
			return true
		end
	end
	return false
end

-- JSON text; with secrets in it a list of its pieces, as a secret is never a
-- string of Lua's.
local function json_of(v)
	local encode = require("opsh.json").encode
	if not holds_secret(v, 0) then return encode(v) end
	local found, pieces = {}, { json = true }
	local text = encode(without(v, found, 0))
	local order = {}
	for _, item in ipairs(found) do
		local from, to = text:find(item.word, 1, true)
		order[#order + 1] = { from, to, item.value }
	end
	table.sort(order, function(a, b) return a[1] < b[1] end)
	local at = 1
	for _, place in ipairs(order) do
		pieces[#pieces + 1] = text:sub(at, place[1] - 1)
		pieces[#pieces + 1] = place[3]
		at = place[2] + 1
	end
	pieces[#pieces + 1] = text:sub(at)
	return pieces
end

local BODIES = { "body", "json", "form", "multipart" }
local PART = { name = true, value = true, file = true, filename = true,
	type = true }

local function parts_of(list)
	local out = {}
	for i, part in ipairs(list) do
		check(part, PART)
		if type(part.name) ~= "string"
			or (part.value == nil) == (part.file == nil) then
			usage("part %d of 'multipart' needs a name, and a value or a file",
				i)
		end
		out[i] = { name = part.name, type = part.type, file = part.file,
			filename = part.filename or part.file
				and part.file:match "[^/]+$",
			value = part.value ~= nil and value(part.value, "value") or nil }
	end
	if #out == 0 then usage "option 'multipart' is an empty list" end
	return out
end

-- Sets the body in the spec; returns its content type when it has one.
local function read_body(opts, spec)
	local given
	for _, name in ipairs(BODIES) do
		if opts[name] ~= nil then
			if given then
				usage("only one of 'body', 'json', 'form', 'multipart' can be "
					.. "given, not '%s' and '%s'", given, name)
			end
			given = name
		end
	end
	if given == "json" then
		spec.body = json_of(opts.json)
		return "application/json"
	elseif given == "form" then
		spec.form = pairs_of(opts.form, "form")
		return "application/x-www-form-urlencoded"
	elseif given == "multipart" then
		spec.multipart = parts_of(opts.multipart)
		return nil
	elseif given == "body" then
		local body = opts.body
		if type(body) == "table" and not secret.is(body) then
			check(body, { file = true })
			if type(body.file) ~= "string" then
				usage "option 'body' must be a string, a function or {file = PATH}"
			end
			spec.body_file = body.file
		elseif type(body) == "function" then
			spec.chunks = true
		else
			spec.body = value(body, "body")
		end
		return "application/octet-stream"
	end
end

local function read_auth(auth)
	if auth == nil or auth == false then return auth end
	check(auth, { token = true, user = true, password = true })
	if auth.token then return { token = value(auth.token, "auth.token") } end
	if not auth.user then usage "option 'auth' needs 'token', or 'user'" end
	local password = auth.password and value(auth.password, "auth.password")
	return { user = value(auth.user, "auth.user"), password = password }
end

-- What opsh.c.http takes for the options of a call.
---@param client opsh.http.client
---@param method string
---@param opts table
---@return table spec
function M.spec(client, method, opts)
	check(opts, OPTIONS)
	local spec = { class = read_class(method, opts),
		expect = read_expect(opts.expect), expect_result = opts.expect_result,
		timeout = opts.timeout, connect_timeout = opts.connect_timeout,
		max_body = opts.max_body, to = opts.to, follow = opts.follow,
		auth = read_auth(opts.auth) }
	if opts.to then spec.host = require("opsh.c.target").host() end
	local own = opts.headers and headers_of(opts.headers, "headers")
	local kind = read_body(opts, spec)
	if opts.idempotency_key ~= nil then
		own = own or {}
		own[#own + 1] = "Idempotency-Key"
		own[#own + 1] = value(opts.idempotency_key, "idempotency_key")
		spec.keyed = true
	end
	if kind and not has(own or {}, "content-type") then
		own = own or {}
		own[#own + 1] = "Content-Type"
		own[#own + 1] = kind
	end
	if own then
		local state = c.state(client)
		spec.headers = merge(state.headers, own)
		if spec.auth == nil and has(own, "authorization") then
			spec.auth = false
		end
	end
	if opts.query then spec.query = pairs_of(opts.query, "query") end
	spec.retry = read_retry(opts, spec.class or (SAFE[method] and "read"),
		spec.keyed)
	return spec
end

-- The request goes out as `chunk` makes it; nothing is kept of it.
local function upload(client, method, path, spec, chunk)
	local stream, withheld = c.open(client, method, path, spec)
	if not stream then return withheld end
	local _ <close> = stream
	for data in chunk do
		if type(data) ~= "string" then
			usage("the function of 'body' must return strings, then nil; not a %s",
				type(data))
		end
		if not c.write(stream, data) then break end
	end
	return c.finish(stream)
end

---A call that waits for its whole response.
---@param client opsh.http.client
---@param method string
---@param path string|userdata
---@param opts table
---@return opsh.http.response
function M.call(client, method, path, opts)
	local spec = M.spec(client, method, opts)
	if spec.chunks then
		return upload(client, method, path, spec, opts.body)
	end
	return c.call(client, method, path, spec)
end

---A response whose body is taken as it comes.
---@param client opsh.http.client
---@param path string|userdata
---@param opts table
---@return opsh.http.response response, userdata? stream nil in a plan
function M.stream(client, path, opts)
	local own = {}
	for name, v in pairs(opts) do
		if name ~= "method" then own[name] = v end
	end
	local method = opts.method or "GET"
	if opts.to or type(opts.body) == "function" then
		usage "a streamed call takes neither 'to' nor a function as 'body'"
	end
	local spec = M.spec(client, method, own)
	spec.stream = true
	local stream, withheld = c.open(client, method, path, spec)
	if not stream then return withheld end
	local fine, response = pcall(c.head, stream)
	if not fine then
		c.close_stream(stream)
		error(response, 0)
	end
	response.body = stream
	return response, stream
end

---The lines of a response.
---@param client opsh.http.client
---@param path string|userdata
---@param opts table
---@return fun(): string?, nil, nil, userdata?
function M.lines(client, path, opts)
	local _, stream = M.stream(client, path, opts)
	local rest, ended = "", stream == nil
	local at = 1
	local function next_line()
		while true do
			local stop = rest:find("\n", at, true)
			if stop then
				local line = rest:sub(at, stop - 1)
				at = stop + 1
				return (line:gsub("\r$", ""))
			end
			rest, at = rest:sub(at), 1
			if ended then
				local last = rest
				rest = ""
				return last ~= "" and last or nil
			end
			if #rest > MAX_LINE then
				error(err.new { kind = "limit", message =
					("a line of '%s' is longer than %d bytes"):format(
					c.origin(client), MAX_LINE) }, 0)
			end
			local chunk = c.read(stream)
			if chunk then rest = rest .. chunk else ended = true end
		end
	end
	return next_line, nil, nil, stream
end

-- --- a target's options -------------------------------------------------------------------

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

-- A client of the kind http.
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
	headers = headers_of(headers, "headers")
	o.headers = headers
	if o.verify == false then
		require("opsh.log").warn("target '%s': certificates are not verified",
			target:name())
	end
	return c.connect(target, o, { headers = headers })
end

-- --- certificates ---------------------------------------------------------------------

local function handshake(client, timeout)
	return c.call(client, "GET", "", { cert_only = true, timeout = timeout })
end

-- Of an address that is no target.
local function certificate_of(address, opts)
	check(opts, { server_name = true, ca = true, timeout = true })
	local host, port = address:match "^%[([%x:]+)%]:?(%d*)$"
	if not host then host, port = address:match "^([^:%s/]+):?(%d*)$" end
	if not host then usage("'%s' must be HOST:PORT", address) end
	local object = require("opsh.c.target").new { name = address:sub(1, 63),
		kind = "http" }
	local client = M.connect(object, { server_name = opts.server_name,
		ca = opts.ca, url = { scheme = "https", tls = true, host = host,
		port = port ~= "" and port or "443" } })
	local _ <close> = setmetatable({}, { __close = function()
		c.close(client)
	end })
	return handshake(client, opts.timeout)
end

---The certificate that a client's server shows, or that of an address.
---@param from opsh.http.client|string
---@param opts? table
---@return opsh.http.certificate
function M.certificate(from, opts)
	if type(from) == "string" then return certificate_of(from, opts or {}) end
	check(opts or {}, { timeout = true })
	return handshake(from, opts and opts.timeout)
end

return M
