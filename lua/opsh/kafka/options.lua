-- options: a Kafka target's options as librdkafka's properties: TLS, login, the
-- brokers or a mock cluster, and what else `conf` names. Reads no file, connects to
-- nothing. Must not show a password: those stay secrets.
local err = require "opsh.c.err"

local M = {}

local MECHANISMS <const> = { ["PLAIN"] = true, ["SCRAM-SHA-256"] = true,
	["SCRAM-SHA-512"] = true }

local function bad(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

local function of_url(u)
	if u.scheme == "mock" then return "mock://" .. (u.host or "") end
	local list = {}
	for n, h in ipairs(u.hosts or {}) do
		list[n] = ("%s:%s"):format(h.host:find(":", 1, true)
			and "[" .. h.host .. "]" or h.host, h.port)
	end
	return table.concat(list, ",")
end

local function security(p, name, o, user, password)
	local tls = o.tls
	if tls == nil then tls = (o.ca or o.cert or o.key) ~= nil end
	local sasl = o.sasl and o.sasl:upper() or user and "SCRAM-SHA-512" or nil
	if sasl and not MECHANISMS[sasl] then
		bad("target '%s': sasl is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not "
			.. "'%s'", name, o.sasl)
	elseif sasl and not (user and password) then
		bad("target '%s': sasl needs 'user' and 'password'", name)
	elseif not tls and (o.ca or o.cert or o.key or o.verify ~= nil) then
		bad("target '%s': tls is off, but ca, cert, key or verify is given",
			name)
	end
	p["security.protocol"] = (sasl and "sasl_" or "")
		.. (tls and "ssl" or "plaintext")
	if sasl then
		p["sasl.mechanism"], p["sasl.username"] = sasl, user
		p["sasl.password"] = password
	end
	if not tls then return end
	p["ssl.ca.location"] = o.ca
	p["ssl.certificate.location"], p["ssl.key.location"] = o.cert, o.key
	p["ssl.key.password"] = o.key_password
	if o.verify == false then
		p["enable.ssl.certificate.verification"] = "false"
	else
		p["ssl.endpoint.identification.algorithm"] = "https"
	end
end

---What opsh.c.kafka.connect takes, of a target's options.
---@param name string of the target
---@param options table as `kind.options` of opsh.kafka describes them
---@return {properties: table<string, string|userdata>, mock?: integer, timeout?: number, connect_timeout?: number}
function M.read(name, options)
	local u = options.url or {}
	if next(u.query or {}) then
		bad("URL of target '%s' has an unknown parameter '%s'", name,
			tostring(next(u.query)))
	end
	local brokers = options.brokers or of_url(u)
	local p = {}
	for key, value in pairs(options.conf or {}) do
		if type(key) ~= "string" or type(value) == "table" then
			bad("target '%s': conf is a table of librdkafka's properties: "
				.. "{ [\"linger.ms\"] = 20 }", name)
		end
		p[key] = type(value) == "userdata" and value or tostring(value)
	end
	local out = { properties = p, timeout = options.timeout,
		connect_timeout = options.connect_timeout }
	local mock = brokers:match "^mock://(.*)$"
	if mock then
		out.mock = math.tointeger(tonumber(mock))
		if not out.mock or out.mock < 1 then
			bad("target '%s': mock://N is a mock cluster of N brokers", name)
		end
	elseif brokers == "" then
		bad("target '%s' needs 'brokers' (\"host:port,host:port\") or a URL",
			name)
	else
		p["bootstrap.servers"] = brokers
	end
	security(p, name, options, options.user or u.user,
		options.password or u.password)
	return out
end

return M
