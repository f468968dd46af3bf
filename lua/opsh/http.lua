-- http: targets of kind http. `api:get "/health"`, `api:post("/x", {json = {}})`.
-- What a call's options mean, checked and brought into the form that the C module
-- takes; resending, judging, recording and waiting are below, in C. Owns the
-- options of the kind.
local c = require "opsh.c.http"
local err = require "opsh.c.err"
local request = require "opsh.http.request"

local M = {}

---@class opsh.http.client
local Client = {}

local function raise(kind, fmt, ...)
	error(err.new { kind = kind, message = fmt:format(...) }, 0)
end

-- --- responses -----------------------------------------------------------------

-- The fields that are made when they are first asked for.
c.response_index(function(response, name)
	if name ~= "json" then return nil end
	local body = rawget(response, "body")
	if type(body) ~= "string" then return nil end
	local fine, value = pcall(require("opsh.json").decode, body)
	if not fine then
		raise("protocol", "the response of '%s' (status %s) is no JSON: %s",
			tostring(response.url),
			tostring(response.status),
			err.is(value) and value.message or tostring(value))
	end
	rawset(response, "json", value)
	return value
end)

-- --- calls -----------------------------------------------------------------------

---Any method by its name.
---@param method string in capitals: "GET", "PROPFIND"
---@param path string|userdata begins with '/', after the URL's own path
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:request(method, path, opts)
	if opts == nil then return c.call(self, method, path) end
	return request.call(self, method, path, opts)
end

local function method(name)
	return function(self, path, opts)
		if opts == nil then return c.call(self, name, path or "") end
		return request.call(self, name, path or "", opts)
	end
end

Client.get = method "GET"
Client.head = method "HEAD"
Client.options = method "OPTIONS"
Client.delete = method "DELETE"
Client.post = method "POST"
Client.put = method "PUT"
Client.patch = method "PATCH"

-- gateway "/health"
function Client:__call(path, opts) return Client.get(self, path, opts) end

---A response whose `body` is an iterator over its bytes, as they come: memory
---stays small whatever the size. `timeout` is for each wait. It can be closed.
---opts.method: another method than GET.
---@param path string|userdata
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:stream(path, opts)
	return (request.stream(self, path, opts or {}))
end

---The lines of a response as they come, without their ends. A line is at most
---1 MiB.
---@param path string|userdata
---@param opts? opsh.http.options
---@return fun(): string?
function Client:lines(path, opts)
	return request.lines(self, path, opts or {})
end

---The certificate that the server shows, also when it is not trusted: then
---`verified` is false and `problem` says why. A handshake, no request.
---@param opts? {timeout?: number}
---@return opsh.http.certificate
function Client:certificate(opts)
	return request.certificate(self, opts)
end

---What is known of the target.
---@return {origin: string, address: string}
function Client:identity()
	return { origin = c.origin(self), address = c.target(self):address() }
end

---Calls after it raise; those under way end as they would.
function Client:close() c.close(self) end

c.methods(Client)

---The certificate that a server shows, for an address without a target; see
---client:certificate.
---@param address string "HOST:PORT", or "HOST" for port 443
---@param opts? {server_name?: string, ca?: string, timeout?: number}
---@return opsh.http.certificate
function M.certificate(address, opts)
	return request.certificate(address, opts or {})
end

-- --- the kind ----------------------------------------------------------------------

M.kind = {
	name = "http",
	schemes = { "http", "https", "http+unix" },
	connect = require("opsh.http.target").connect,
	ping = function(client) client:head("", { expect = "any" }) end,
	options = {
		token = { type = "secret", help = "sent as a bearer token" },
		user = { type = "string", help = "of basic authentication" },
		password = { type = "secret", help = "of basic authentication" },
		headers = { type = "table", help = "sent with each request" },
		ca = { type = "string", help = "PEM file of the authorities to trust "
			.. "(default: the system's)" },
		cert = { type = "string", help = "PEM file of our certificate" },
		key = { type = "string", help = "PEM file of its key" },
		server_name = { type = "string",
			help = "name that the server's certificate must carry" },
		verify = { type = "boolean",
			help = "false takes any certificate (default true)" },
		netrc = { type = "boolean",
			help = "user and password from ~/.netrc" },
		proxy = { type = "string", help = "http://HOST:PORT, "
			.. "socks5h://HOST:PORT, or 'env'" },
		http2 = { type = "boolean", help = "speak HTTP/2 (default false)" },
		timeout = { type = "duration",
			help = "for a call, in seconds (default 30)" },
		connect_timeout = { type = "duration",
			help = "to connect, DNS and TLS included (default 10)" },
		max_body = { type = "integer", min = 0,
			help = "bytes of a response, at most (default 64 MiB)" },
	},
}

return M
