-- postgres.conninfo: where a target of kind postgres is: its URL, libpq's keyword
-- strings, the service file and the PG* variables, in libpq's order of precedence.
-- Hosts come out apart: the loop resolves them, not libpq. What is not known here
-- (.pgpass, other PG* variables) libpq reads itself.
local err = require "opsh.c.err"

local M = {}

local function bad(fmt, ...)
	error(err.new { kind = "config", message = fmt:format(...) }, 0)
end

-- Keywords of libpq 15 that may be given; false: it is ours.
local KEYWORDS = { host = false, hostaddr = false, port = false, service = false,
	client_encoding = false, connect_timeout = false, fallback_application_name =
	false, replication = false, dbname = true, user = true, password = true,
	passfile = true, channel_binding = true, options = true, application_name =
	true, keepalives = true, keepalives_idle = true, keepalives_interval = true,
	keepalives_count = true, tcp_user_timeout = true, gssencmode = true, sslmode =
	true, requiressl = true, sslcompression = true, sslcert = true, sslkey = true,
	sslpassword = true, sslrootcert = true, sslcrl = true, sslcrldir = true,
	sslsni = true, requirepeer = true, ssl_min_protocol_version = true,
	ssl_max_protocol_version = true, krbsrvname = true, gsslib = true,
	target_session_attrs = true }

local function check(name, key)
	if KEYWORDS[key] == nil then
		bad("target '%s': unknown connection keyword '%s'", name, key)
	end
	return key
end

---Reads "host=a port=5432 password='it''s'" as libpq does: values in quotes, \
---before a quote or a backslash.
---@param text string
---@return table<string, string>
function M.parse(text)
	local out, at = {}, 1
	while true do
		at = text:find("%S", at)
		if not at then return out end
		local key, after = text:match("^([%w_]+)%s*=%s*()", at)
		if not key then
			bad("connection string: expected KEYWORD=VALUE at byte %d", at)
		end
		local parts
		at = after
		if text:sub(at, at) == "'" then
			at, parts = at + 1, {}
			while true do
				local plain, stop = text:match("^([^'\\]*)()", at)
				parts[#parts + 1] = plain
				local c = text:sub(stop, stop)
				if c == "" then
					bad("connection string: the quote of '%s' is not closed",
						key)
				end
				at = stop + 1
				if c == "'" then break end
				parts[#parts + 1] = text:sub(at, at)
				at = math.min(at + 1, #text + 1)
			end
		else
			parts = {}
			while true do
				local plain, stop = text:match("^([^%s\\]*)()", at)
				parts[#parts + 1], at = plain, stop
				if text:sub(at, at) ~= "\\" then break end
				parts[#parts + 1] = text:sub(at + 1, at + 1)
				at = math.min(at + 2, #text + 1)
			end
		end
		out[key] = table.concat(parts)
	end
end

-- The section of a service file (its text), or nil.
local function section(path, text, service)
	local found
	for line in (text .. "\n"):gmatch "([^\n]*)\n" do
		line = line:match "^%s*(.-)%s*$"
		local name = line:match "^%[(.*)%]$"
		if name then
			if found then return found end
			found = name == service and {} or nil
		elseif found and line ~= "" and line:sub(1, 1) ~= "#" then
			local key, value = line:match "^([%w_]+)%s*=%s*(.*)$"
			if not key then
				bad("'%s': expected KEYWORD=VALUE, not '%s'", path, line)
			end
			found[key] = found[key] or value
		end
	end
	return found
end

---The keywords of a service, from $PGSERVICEFILE, ~/.pg_service.conf or
---$PGSYSCONFDIR/pg_service.conf, the first that has it.
---@param service string
---@return table<string, string>
function M.service(service)
	local files = {}
	local function add(path) files[#files + 1] = path end
	if os.getenv "PGSERVICEFILE" then
		add(os.getenv "PGSERVICEFILE")
	elseif os.getenv "HOME" then
		add(os.getenv "HOME" .. "/.pg_service.conf")
	end
	add((os.getenv "PGSYSCONFDIR" or "/etc/postgresql-common")
		.. "/pg_service.conf")
	local fs = require "opsh.c.fs"	-- most have no service: not loaded for them
	for _, path in ipairs(files) do
		local found = fs.exists(path) and section(path, fs.read(path), service)
		if found then return found end
	end
	bad("there is no service '%s' in %s", service, table.concat(files, ", "))
end

local function split(list)
	local out = {}
	for item in ((list or "") .. ","):gmatch "([^,]*)," do
		out[#out + 1] = item
	end
	return out
end

-- Lists of hosts, their addresses and ports, as libpq pairs them.
local function hosts_of(name, given)
	local hosts = split(given.hostaddr and given.hostaddr ~= ""
		and given.hostaddr or given.host)
	local ports = split(given.port)
	if #hosts == 1 and hosts[1] == "" then
		return #ports == 1 and ports[1] ~= "" and { { "", ports[1] } } or nil
	elseif #ports ~= 1 and #ports ~= #hosts then
		bad("target '%s': %d hosts, %d ports", name, #hosts, #ports)
	end
	local out = {}
	for i, host in ipairs(hosts) do
		local port = #ports == 1 and ports[1] or ports[i]
		if port ~= "" and not (port:match "^%d+$" and tonumber(port) >= 1
			and tonumber(port) <= 65535) then
			bad("target '%s': port must be 1 to 65535, not '%s'", name, port)
		end
		out[i] = { host, port }
	end
	return out
end

-- What the URL says, as keywords.
local function from_url(name, u, given)
	local hosts, ports = {}, {}
	for i, h in ipairs(u.hosts or {}) do
		hosts[i] = h.host
		ports[i] = h.port_given and tostring(h.port) or ""
	end
	if #hosts > 0 then
		given.host = table.concat(hosts, ",")
		given.port = table.concat(ports, ",")
		if given.port:match "^,*$" then given.port = nil end
	end
	given.dbname = u.database or given.dbname
	given.user = u.user or given.user
	given.password = u.password or given.password
	for key, value in pairs(u.query or {}) do
		if key == "ssl" and value == "true" then
			key, value = "sslmode", "require"
		end
		given[check(name, key)] = value
	end
end

local OPTION <const> = { user = "user", password = "password", database = "dbname",
	sslmode = "sslmode", ca = "sslrootcert", cert = "sslcert", key = "sslkey",
	service = "service", target_session_attrs = "target_session_attrs" }

local ENVIRONMENT <const> = { host = "PGHOST", hostaddr = "PGHOSTADDR",
	port = "PGPORT", service = "PGSERVICE", dbname = "PGDATABASE",
	user = "PGUSER", sslmode = "PGSSLMODE" }

---Everything that is known of where a target is: options over the URL, over the
---keyword string, over the service, over the environment.
---@param name string of the target
---@param options table of the targets file, with `url` parsed
---@return table keywords
function M.merge(name, options)
	local given = {}
	for key, value in pairs(options.conninfo and M.parse(options.conninfo)
		or {}) do
		given[check(name, key)] = value
	end
	if options.url then from_url(name, options.url, given) end
	for option, key in pairs(OPTION) do
		if options[option] ~= nil then given[key] = options[option] end
	end
	local service = given.service or os.getenv "PGSERVICE"
	for key, value in pairs(service and M.service(service) or {}) do
		if given[check(name, key)] == nil then given[key] = value end
	end
	given.service = nil
	for key, variable in pairs(ENVIRONMENT) do
		if key ~= "service" and given[key] == nil then
			given[key] = os.getenv(variable)
		end
	end
	if given.host and given.hostaddr and not options.url then
		-- both: the address counts, the name is for certificates
		given.name = given.host
	end
	return given
end

local PASSED <const> = { "timeout", "connect_timeout", "max", "pool", "unnamed" }

---The options of opsh.c.pg.connect.
---@param name string of the target
---@param options table of the targets file, with `url` parsed
---@return table
function M.options(name, options)
	local given = M.merge(name, options)
	local out = { hosts = hosts_of(name, given), keywords = {
		application_name = "opsh", gssencmode = "disable" } }
	for key, value in pairs(given) do
		if KEYWORDS[key] then out.keywords[key] = value end
	end
	for _, key in ipairs(PASSED) do out[key] = options[key] end
	if not options.connect_timeout and tonumber(given.connect_timeout) then
		out.connect_timeout = math.max(1, tonumber(given.connect_timeout))
	end
	return out
end

return M
