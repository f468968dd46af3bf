-- http.request: a call: its options, checked and brought into the form that
-- opsh.c.http takes, and the ways to make it: whole, as a stream, by lines, or its
-- handshake alone. Owns the lists of options.
local c = require "opsh.c.http"
local err = require "opsh.c.err"
local secret = require "opsh.secret"
local target = require "opsh.http.target"
local value = require "opsh.http.value"

local M = {}

local MAX_LINE <const> = 1024 * 1024
local usage = value.usage

-- --- options of a call ----------------------------------------------------------------

local OPTIONS = { headers = true, query = true, body = true, json = true,
	form = true, multipart = true, timeout = true, connect_timeout = true,
	expect = true, expect_result = true, effect = true,
	idempotency_key = true, retry = true, max_body = true, to = true,
	follow = true, auth = true }

local SAFE = { GET = true, HEAD = true, OPTIONS = true, TRACE = true }
local RETRY = { attempts = true, delay = true, factor = true,
	max_delay = true, each = true }

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
	value.check(retry, RETRY)
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
		value.check(part, PART)
		if type(part.name) ~= "string"
			or (part.value == nil) == (part.file == nil) then
			usage("part %d of 'multipart' needs a name, and a value or a file",
				i)
		end
		out[i] = { name = part.name, type = part.type, file = part.file,
			filename = part.filename or part.file
				and part.file:match "[^/]+$",
			value = part.value ~= nil and value.text(part.value, "value") or nil }
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
		spec.form = value.pairs(opts.form, "form")
		return "application/x-www-form-urlencoded"
	elseif given == "multipart" then
		spec.multipart = parts_of(opts.multipart)
		return nil
	elseif given == "body" then
		local body = opts.body
		if type(body) == "table" and not secret.is(body) then
			value.check(body, { file = true })
			if type(body.file) ~= "string" then
				usage "option 'body' must be a string, a function or {file = PATH}"
			end
			spec.body_file = body.file
		elseif type(body) == "function" then
			spec.chunks = true
		else
			spec.body = value.text(body, "body")
		end
		return "application/octet-stream"
	end
end

local function read_auth(auth)
	if auth == nil or auth == false then return auth end
	value.check(auth, { token = true, user = true, password = true })
	if auth.token then return { token = value.text(auth.token, "auth.token") } end
	if not auth.user then usage "option 'auth' needs 'token', or 'user'" end
	local password = auth.password and value.text(auth.password, "auth.password")
	return { user = value.text(auth.user, "auth.user"), password = password }
end

-- What opsh.c.http takes for the options of a call.
---@param client opsh.http.client
---@param method string
---@param opts table
---@return table spec
function M.spec(client, method, opts)
	value.check(opts, OPTIONS)
	local spec = { class = read_class(method, opts),
		expect = read_expect(opts.expect), expect_result = opts.expect_result,
		timeout = opts.timeout, connect_timeout = opts.connect_timeout,
		max_body = opts.max_body, to = opts.to, follow = opts.follow,
		auth = read_auth(opts.auth) }
	if opts.to then spec.host = require("opsh.c.target").host() end
	local own = opts.headers and value.headers(opts.headers, "headers")
	local kind = read_body(opts, spec)
	if opts.idempotency_key ~= nil then
		own = own or {}
		own[#own + 1] = "Idempotency-Key"
		own[#own + 1] = value.text(opts.idempotency_key, "idempotency_key")
		spec.keyed = true
	end
	if kind and not value.has(own or {}, "content-type") then
		own = own or {}
		own[#own + 1] = "Content-Type"
		own[#own + 1] = kind
	end
	if own then
		local state = c.state(client)
		spec.headers = value.merge(state.headers, own)
		if spec.auth == nil and value.has(own, "authorization") then
			spec.auth = false
		end
	end
	if opts.query then spec.query = value.pairs(opts.query, "query") end
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

-- --- certificates ---------------------------------------------------------------------

local function handshake(client, timeout)
	return c.call(client, "GET", "", { cert_only = true, timeout = timeout })
end

-- Of an address that is no target.
local function certificate_of(address, opts)
	value.check(opts, { server_name = true, ca = true, timeout = true })
	local host, port = address:match "^%[([%x:]+)%]:?(%d*)$"
	if not host then host, port = address:match "^([^:%s/]+):?(%d*)$" end
	if not host then usage("'%s' must be HOST:PORT", address) end
	local object = require("opsh.c.target").new { name = address:sub(1, 63),
		kind = "http" }
	local client = target.connect(object, { server_name = opts.server_name,
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
	value.check(opts or {}, { timeout = true })
	return handshake(from, opts and opts.timeout)
end

return M
