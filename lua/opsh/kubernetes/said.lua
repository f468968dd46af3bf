-- kubernetes.said: what kubectl printed when it failed, as an error of ours: which
-- kind, which code of Kubernetes, may a write have been applied. And what it is to
-- be given: names, values, words for the record. Pure; runs nothing.
local err = require "opsh.c.err"

local M = {}

-- Text of kubectl -> kind, code, phase; the first that fits. `lost`: the answer
-- did not come, see M.doubts.
local SAYS = {
	{ "x509:", "tls", "X509", "tls" },
	{ "tls: ", "tls", nil, "tls" },
	{ "no such host", "connect", nil, "dns" },
	{ "TLS handshake timeout", "connect", nil, "tls" },
	{ "connection refused", "connect", "ECONNREFUSED", "connect" },
	{ "was refused - did you specify", "connect", "ECONNREFUSED", "connect" },
	{ "no route to host", "connect", nil, "connect" },
	{ "network is unreachable", "connect", nil, "connect" },
	{ "dial tcp", "connect", nil, "connect" },
	{ "(Forbidden)", "auth", "Forbidden" },
	{ "(Unauthorized)", "auth", "Unauthorized", "auth" },
	{ "must be logged in to the server", "auth", "Unauthorized", "auth" },
	{ "client to provide credentials", "auth", "Unauthorized", "auth" },
	{ "getting credentials", "auth", "Credentials", "auth" },
	{ "(Timeout)", "timeout", "Timeout", "wait", lost = true },
	{ "request timed out", "timeout", "Timeout", "wait", lost = true },
	{ "Client.Timeout", "timeout", "Timeout", "wait", lost = true },
	{ "context deadline exceeded", "timeout", "Timeout", "wait", lost = true },
	{ "read tcp", "connect", nil, "read", lost = true },
	{ "i/o timeout", "timeout", "Timeout", "wait" },
	{ "unexpected EOF", "connect", "EOF", "read", lost = true },
	{ ": EOF", "connect", "EOF", "read", lost = true },
	{ "connection reset by peer", "connect", "ECONNRESET", "read", lost = true },
	{ "client connection lost", "connect", nil, "read", lost = true },
	{ "http2: ", "connect", nil, "read", lost = true },
	{ "Unable to connect to the server", "connect", nil, "connect" },
	{ "doesn't have a resource type", "usage", "UNSUPPORTED" },
	{ "Metrics API not available", "usage", "UNSUPPORTED" },
	{ "could not find the requested resource", "usage", "UNSUPPORTED" },
	{ "context was not found", "config" },
	{ "no context exists", "config" },
	{ "cannot locate context", "config" },
	{ "Error loading config file", "config" },
	{ "invalid configuration", "config" },
	{ "Error in configuration", "config" },
}

---What kubectl prints when an answer did not come, or when a part was done before
---it failed: such a write may have been applied.
---@type string[]
M.doubts = { " restarted", " cordoned", "evicting pod", " configured", " created",
	" serverside-applied" }
for _, row in ipairs(SAYS) do
	if row.lost then M.doubts[#M.doubts + 1] = row[1] end
end

-- The line that says why: not the library's own log, nor what is in passing.
local function reason_of(stderr)
	local first, last
	for line in stderr:gmatch "[^\r\n]+" do
		-- "error when evicting" comes before a try that may go well
		if not first and (line:find "^[Ee]rror[: ]" and not line:find "will retry"
			or line:find "^Unable to "
			or line:find "^The connection ") then
			first = line
		end
		if not line:find "^[EWI]%d%d%d%d " and line:find "%S" then last = line end
	end
	-- "error when retrieving current configuration of:", and at the end what it was
	if first and last ~= first and first:find ":$" then
		return first .. " " .. last:gsub('^from server for: "[^"]*": ', "")
	end
	return first or last
end

---What a failure of kubectl is. nil when it said nothing that can be read.
---@param stderr string
---@return {kind: string, code?: string, phase?: string, message: string}?
function M.failure(stderr)
	local line = reason_of(stderr)
	if not line then return nil end
	local text = line:gsub("^[Ee]rror: ?", ""):gsub("^Error from server ?", "")
	text = text:gsub("^%((%w+)%): ", ""):gsub("%.$", "")
	for _, row in ipairs(SAYS) do
		if line:find(row[1], 1, true) then
			return { kind = row[2], code = row[3], phase = row[4],
				message = text }
		end
	end
	return { kind = "server", code = line:match "^Error from server %((%w+)%)",
		message = text }
end

---Does kubectl's stderr say that the program that it ran ended with this status?
---Then the stderr of that program alone, too.
---@param stderr string
---@param status integer
---@return boolean
---@return string stderr
function M.of_program(stderr, status)
	local rest, n = stderr:match "^(.-)command terminated with exit code (%d+)%s*$"
	if not rest or tonumber(n) ~= status then return false, stderr end
	return true, (rest:gsub("^Defaulted container [^\n]*\n", ""))
end

-- --- what it is given ---------------------------------------------------------------

-- Raises kind usage, with a text by its format.
local function usage(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end
M.usage = usage

---A name of Kubernetes (RFC 1123), such as "web-1" or "a.b"; raises kind usage.
---@param value any
---@param what string such as "pod"
---@return string
function M.name(value, what)
	if type(value) ~= "string" or #value > 253
		or not value:find "^[%l%d][%l%d.-]*$" or value:find "[.-]$" then
		usage("'%s' is no name of a %s", tostring(value), what)
	end
	return value
end

---A resource or "resource/name", such as "ingress", "pods/web-1".
---@param value any
---@return string
function M.resource(value)
	local kind, name
	if type(value) == "string" and #value <= 300 then
		kind, name = value:match "^(%a[%w.-]*)(.*)$"
	end
	if not kind or name ~= "" and name:sub(1, 1) ~= "/" then
		usage("'%s' is no resource: expected TYPE or TYPE/NAME", tostring(value))
	end
	if name ~= "" then M.name(name:sub(2), kind) end
	return value
end

---A word for kubectl that is no option and holds no blank.
---@param value any
---@param what string
---@return string
function M.word(value, what)
	if type(value) ~= "string" or value == "" or value:find "^-"
		or value:find "[%s%c]" then
		usage("'%s' is no %s", tostring(value), what)
	end
	return value
end

---Only the known options; raises kind usage for another one.
---@param opts? table
---@param what string the method
---@param names string "tail since"
---@return table
function M.options(opts, what, names)
	if opts ~= nil and type(opts) ~= "table" then
		usage("options of %s must be a table, not a %s", what, type(opts))
	end
	for key in pairs(opts or {}) do
		if type(key) ~= "string"
			or not (" " .. names .. " "):find(" " .. key .. " ", 1, true) then
			usage("unknown option '%s' of %s (known: %s)", tostring(key), what,
				(names:gsub(" ", ", ")))
		end
	end
	return opts or {}
end

---A whole number in a range.
---@param value any
---@param what string
---@param min integer
---@param max? integer
---@return integer
function M.integer(value, what, min, max)
	local n = type(value) == "number" and math.tointeger(value)
	if not n or n < min or n > (max or 1 << 31) then
		usage("%s must be an integer, %d or more, not '%s'", what, min,
			tostring(value))
	end
	return n
end

---Words as a shell would take them, for the record.
---@param words string[]
---@return string
function M.quoted(words)
	local out = {}
	for n, word in ipairs(words) do
		out[n] = word:find "^[%w_@%%+=:,./-]+$" and word
			or "'" .. word:gsub("'", "'\\''") .. "'"
	end
	return table.concat(out, " ")
end

return M
