-- url: the URLs of targets (DESIGN section 4). Owns the list of schemes and
-- their form. A password never stays in the table as text: it is handed to
-- `secret` at once, and no message shows it.
local fail = require "run.fail"
local words = require "run.words"

local url = {}

-- form: "hosts" (one or more host:port), "socket" (path of a unix socket),
-- "file" (path, may be relative), "place" (context/namespace), "none".
-- lone: what a user part without ':' is.
local SCHEMES = {
	redis = { form = "hosts", port = 6379, lone = "password", db = true },
	rediss = { form = "hosts", port = 6379, lone = "password", db = true,
		tls = true },
	["redis+unix"] = { form = "socket", lone = "password", db = true },
	postgresql = { form = "hosts", port = 5432, many = true,
		hostless = true },
	postgres = { form = "hosts", port = 5432, many = true, hostless = true,
		as = "postgresql" },
	kafka = { form = "hosts", port = 9092, many = true },
	mock = { form = "hosts", port = 9092 },
	http = { form = "hosts", port = 80 },
	https = { form = "hosts", port = 443, tls = true },
	["http+unix"] = { form = "socket" },
	compose = { form = "file" },
	kubernetes = { form = "place" },
	["local"] = { form = "none" },
}
url.schemes = SCHEMES

-- Query parameters whose value is not for showing (sslpassword of Postgres).
local function is_secret_key(key)
	key = key:lower()
	return key:find("password", 1, true) or key:find("passphrase", 1, true)
		or key:find("token", 1, true) or key:find("secret", 1, true)
end

-- The text with any password masked, also when it is no URL at all.
local function masked(text)
	local scheme = text:match("^%a[%w+.-]*:/?/?") or ""
	local user, rest = text:sub(#scheme + 1):match("^(.*)@([^@]*)$")
	if user then
		local name = user:match("^([^:]*):")
		text = ("%s%s***@%s"):format(scheme, name and name .. ":" or "", rest)
	end
	return (text:gsub("([?&])([^=&]*)=([^&]*)", function(mark, key)
		return is_secret_key(key) and mark .. key .. "=***" or nil
	end))
end

local function bad(text, fmt, ...)
	fail.config("cannot read URL '%s': %s", masked(text), fmt:format(...))
end

local function decode(text, whole, part)
	return (text:gsub("%%(%x?%x?)", function(hex)
		if #hex < 2 then
			bad(whole, "malformed %%XX in the %s", part)
		end
		return string.char(tonumber(hex, 16))
	end))
end

-- For what is shown and passed to C: no control characters.
local function decode_plain(text, whole, part)
	local out = decode(text, whole, part)
	if out:find("%c") then
		bad(whole, "control character in the %s", part)
	end
	return out
end

local function read_user(u, userinfo, scheme, whole, secret)
	local user, password = userinfo:match("^([^:]*):(.*)$")
	if not user then
		if scheme.lone == "password" then
			user, password = "", userinfo
		else
			user = userinfo
		end
	end
	if user ~= "" then
		u.user = decode_plain(user, whole, "user")
	end
	if password and password ~= "" then
		local text = decode(password, whole, "password")
		if text:find("\0", 1, true) then
			bad(whole, "NUL byte in the password")
		end
		u.password = secret(text)
	end
end

local function read_port(text, whole)
	local port = text:match("^%d+$") and tonumber(text)
	if not port or port < 1 or port > 65535 then
		bad(whole, "port must be 1 to 65535, not '%s'", text)
	end
	return math.tointeger(port)
end

local function read_host(text, scheme, whole)
	local host, port = text:match("^%[([^%]]*)%](.*)$")
	if host then
		host = decode_plain(host, whole, "host")
		local address = host:match("^([^%%]*)")
		if not address:match("^[%x:.]+$") or not address:find(":", 1, true) then
			bad(whole, "'[%s]' is no IPv6 address", host)
		elseif port ~= "" and not port:match("^:") then
			bad(whole, "unexpected '%s' after ']'", port)
		end
		port = port:sub(2)
	else
		host, port = text:match("^([^:]*):?(.*)$")
		if port:find(":", 1, true) then
			bad(whole, "an IPv6 address needs brackets: [%s]", text)
		end
		host = decode_plain(host, whole, "host")
	end
	if host == "" then
		bad(whole, "the host is missing")
	elseif host:find("[%s/\\'\"]") then
		bad(whole, "'%s' is no host name", host)
	end
	if port == "" then
		return { host = host, port = scheme.port, port_given = false }
	end
	return { host = host, port = read_port(port, whole), port_given = true }
end

local function read_hosts(u, authority, scheme, whole)
	u.hosts = {}
	if authority == "" and scheme.hostless then
		return
	end
	for part in (authority .. ","):gmatch("([^,]*),") do
		u.hosts[#u.hosts + 1] = read_host(part, scheme, whole)
	end
	if #u.hosts > 1 and not scheme.many then
		bad(whole, "only one host can be given")
	end
	u.host, u.port = u.hosts[1].host, u.hosts[1].port
end

local function read_query(u, query, whole, secret)
	u.query = {}
	for part in query:gmatch("[^&]+") do
		local key, value = part:match("^([^=]*)=?(.*)$")
		key = decode_plain(key, whole, "query")
		if key == "" or u.query[key] ~= nil then
			bad(whole, "parameter '%s' is empty or given twice", key)
		end
		if key == "password" then
			u.password = secret(decode(value, whole, "password"))
		elseif is_secret_key(key) then
			u.query[key] = secret(decode(value, whole, "query"))
		else
			u.query[key] = decode_plain(value, whole, "query")
		end
	end
end

local function read_db(u, text, whole)
	if not text:match("^%d%d?%d?%d?%d?$") then
		bad(whole, "the database must be a number such as 0, not '%s'", text)
	end
	u.db = math.tointeger(tonumber(text))
end

local FORMS = {}

function FORMS.hosts(u, authority, path, scheme, whole)
	read_hosts(u, authority, scheme, whole)
	local plain = decode_plain(path, whole, "path")
	u.path = path		-- as written: what %2F means is the server's
	if scheme.db then
		if path ~= "" and path ~= "/" then
			read_db(u, path:sub(2), whole)
		end
		u.path = nil
	elseif u.scheme == "postgresql" then
		u.database = plain ~= "" and plain ~= "/" and plain:sub(2) or nil
		u.path = nil
	elseif u.scheme == "kafka" then
		if path ~= "" and path ~= "/" then
			bad(whole, "unexpected path '%s'", path)
		end
		u.path = nil
	end
end

-- scheme:///path/of/socket, or the path percent-encoded in place of the host;
-- then the rest is the base path.
function FORMS.socket(u, authority, path, _, whole)
	if authority ~= "" then
		u.socket = decode_plain(authority, whole, "socket path")
		u.path = path ~= "" and path or nil
	else
		u.socket = decode_plain(path, whole, "path")
	end
	if u.socket:sub(1, 1) ~= "/" or #u.socket < 2 then
		bad(whole, "the path of the socket must be absolute: %s:///run/x.sock",
			u.scheme)
	elseif #u.socket > 107 then
		bad(whole, "the path of the socket is longer than 107 bytes")
	end
end

function FORMS.file(u, authority, path, _, whole)
	u.path = decode_plain(authority .. path, whole, "path")
	if u.path == "" then
		u.path = nil
	end
end

function FORMS.place(u, authority, path, _, whole)
	path = decode_plain(path, whole, "namespace")
	u.context = authority ~= "" and decode_plain(authority, whole, "context")
		or nil
	u.namespace = path:match("^/([^/]+)/?$")
	if path ~= "" and path ~= "/" and not u.namespace then
		bad(whole, "expected kubernetes://CONTEXT/NAMESPACE")
	end
end

function FORMS.none(u, authority, path, _, whole)
	if authority ~= "" or path ~= "" and path ~= "/" then
		bad(whole, "expected '%s:' and nothing after it", u.scheme)
	end
end

---Parses the URL of a target. Raises kind config; no message has the password.
---@param text string
---@param secret fun(text: string): any makes an opaque secret of a password
---@return table u scheme, text (masked), tls, user, password (secret), host,
---port, hosts {host, port}, path, query, db, database, socket, context, namespace
function url.parse(text, secret)
	if text:find("[%c ]") then
		bad(text, "space or control character in it")
	end
	local name, rest = text:match("^(%a[%w+.-]*):(.*)$")
	local scheme = name and SCHEMES[name:lower()]
	if not name or rest:match("^%d*$") and not scheme then
		bad(text, "expected SCHEME://..., with one of: %s",
			words.list(SCHEMES))
	elseif not scheme then
		bad(text, "unknown scheme '%s'%s", name, words.hint(name, SCHEMES))
	end
	local wired = scheme.form == "hosts" or scheme.form == "socket"
	if wired and rest:match("^//[^/?#]*[/?#].*@") then
		bad(text, "'@' can't stand there: in a user or password write "
			.. "%%2F for '/', %%3F for '?', %%23 for '#', %%40 for '@'")
	end
	local u = { scheme = scheme.as or name:lower(), text = masked(text),
		tls = scheme.tls or false }
	local fragment
	rest, fragment = rest:match("^([^#]*)(.*)$")
	if fragment ~= "" then
		bad(text, "'#' must be written as %%23")
	end
	local before, query = rest:match("^([^?]*)%??(.*)$")
	read_query(u, query, text, secret)
	local authority, path = before:match("^//([^/]*)(.*)$")
	if not authority then
		if wired then
			bad(text, "expected '//' after '%s:'", name)
		end
		authority, path = "", before
	end
	local userinfo, place = authority:match("^(.*)@([^@]*)$")
	if userinfo then
		if not wired then
			bad(text, "'%s' has no user", u.scheme)
		end
		read_user(u, userinfo, scheme, text, secret)
		authority = place
	end
	FORMS[scheme.form](u, authority, path, scheme, text)
	if scheme.db and u.query.db then
		read_db(u, u.query.db, text)
		u.query.db = nil
	end
	u.text = url.mask(u)
	return u
end

local function encode(text, keep)
	return (text:gsub("[^%w%-._~" .. keep .. "]", function(c)
		return ("%%%02X"):format(c:byte())
	end))
end

local function mask_place(u)
	if u.socket then
		return encode(u.socket, u.path and "" or "/") .. (u.path or "")
	elseif u.hosts then
		local list = {}
		for n, h in ipairs(u.hosts) do
			local host = h.host:find(":", 1, true)
				and "[" .. encode(h.host, ":") .. "]" or encode(h.host, "")
			list[n] = h.port_given and host .. ":" .. h.port or host
		end
		return table.concat(list, ",") .. encode(u.path or "", "/%%:@!$&'()*+,;=")
	elseif u.context or u.namespace then
		return (u.context or "") .. (u.namespace and "/" .. u.namespace or "")
	end
	return u.path or ""
end

---The URL as it may be shown: a password is '***'.
---@param u table as url.parse returns it
---@return string
function url.mask(u)
	local parts = { u.scheme, ":" }
	local function add(s) parts[#parts + 1] = s end

	if SCHEMES[u.scheme].form ~= "none" then
		add "//"
	end
	if u.user or u.password then
		add(encode(u.user or "", ""))
		add(u.password and ":***@" or "@")
	end
	add(mask_place(u))
	if u.db then
		add((u.socket and "?db=" or "/") .. u.db)
	elseif u.database then
		add("/" .. encode(u.database, ""))
	end
	local query = {}
	for _, key in ipairs(words.sorted(u.query or {})) do
		if u.query[key] then
			local value = u.query[key]
			query[#query + 1] = encode(key, "") .. "=" .. (is_secret_key(key)
				and "***" or encode(value, "/:,"))
		end
	end
	if #query > 0 then
		add((u.socket and u.db and "&" or "?") .. table.concat(query, "&"))
	end
	return table.concat(parts)
end

return url
