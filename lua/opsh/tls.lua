-- tls: the certificates that a system uses: where each is met (targets, services,
-- addresses, ingresses, files), how long it is good for, whether a client would
-- trust it. A handshake tells; files are read by the openssl program. Reads only.
-- Judges by the limits it is given; must not renew anything.
local err = require "opsh.c.err"
local fs = require "opsh.fs"
local sh = require "opsh.sh"
local task = require "opsh.task"

local M = {}

-- States, the worst first. unknown: nobody could say.
M.states = { "expired", "critical", "untrusted", "unknown", "warning", "ok" }
local RANK = {}
for n, state in ipairs(M.states) do RANK[state] = n end

local FILE_MAX <const> = 4 * 1024 * 1024
local DAY <const> = 86400

-- Where a certificate is met. One of address (a handshake) and file.
---@class opsh.tls.source
---@field held_by string[] "target api", "service admin", "file /etc/x.pem"
---@field address? string HOST:PORT
---@field target? string name of the target of kind http that asks
---@field ca? string PEM file to trust
---@field server_name? string
---@field file? string

-- One certificate, one row.
---@class opsh.tls.row
---@field state "expired"|"critical"|"untrusted"|"unknown"|"warning"|"ok"
---@field days_left? integer rounded down; negative when it has expired
---@field expires? string "2026-01-31T12:00:00Z"
---@field where string address, path or name
---@field names? string[] that it is for
---@field subject? string
---@field issuer? string
---@field held_by string[]
---@field verified? boolean nil where nobody checked (files)
---@field problem? string why it is not trusted, or could not be read
---@field code? string of the problem

local function iso(seconds)
	return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds))
end

-- --- where certificates are met ------------------------------------------------

-- Collects, so that an address that several know is asked once.
local function collector()
	local list, by = {}, {}
	return list, function(holder, source)
		local key = ("%s|%s|%s"):format(source.file or source.address,
			source.server_name or "", source.file and "file" or "")
		local known = by[key]
		if not known then
			known = source
			known.held_by = {}
			by[key] = known
			list[#list + 1] = known
		end
		known.target, known.ca = known.target or source.target,
			known.ca or source.ca
		table.insert(known.held_by, holder)
	end
end

local function join(host, port)
	return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

local function chosen(only)
	if not only or #only == 0 then return function() return true end end
	local set = {}
	for _, name in ipairs(only) do set[name] = true end
	return function(name) return set[name] end
end

---Every place of the system where a certificate is met: targets that speak TLS,
---services with `tls`, these addresses, these files (patterns as fs.glob takes
---them). Raises kind usage for an address that is none.
---@param system table
---@param opts? {only?: string[], addresses?: string[], files?: string[], ca?: string}
---@return opsh.tls.source[]
function M.sources(system, opts)
	opts = opts or {}
	local wanted = chosen(opts.only)
	local list, add = collector()
	for _, target in ipairs(system.targets()) do
		local tls = target.tls
		if tls and wanted(target.name) then
			add("target " .. target.name, { address = join(tls.host, tls.port),
				target = target.kind == "http" and target.built_in
					and target.name or nil,
				ca = tls.ca or opts.ca, server_name = tls.server_name })
		end
	end
	local names = {}
	for name in pairs(system.services or {}) do names[#names + 1] = name end
	table.sort(names)
	for _, name in ipairs(names) do
		local address = system.services[name].tls
		if address and wanted(name) then
			add("service " .. name, { address = address, ca = opts.ca })
		end
	end
	for _, address in ipairs(opts.addresses or {}) do
		if not address:find "^[^%s/]+:%d+$" then
			error(err.new { kind = "usage", message = ("address '%s' must be "
				.. "HOST:PORT"):format(address) }, 0)
		end
		add("address " .. address, { address = address, ca = opts.ca })
	end
	for _, pattern in ipairs(opts.files or {}) do
		local found = fs.glob(pattern)
		if #found == 0 then found = { pattern } end
		for _, path in ipairs(found) do
			add("file " .. path, { file = path })
		end
	end
	return list
end

---What a Kubernetes knows: rows of cert-manager's certificates, and the hosts of
---its ingresses as places to ask. Neither is there: nothing, and no error.
---@param client any a target of kind kubernetes
---@param name string of the target
---@param opts? {ca?: string}
---@return opsh.tls.row[] rows not judged yet
---@return opsh.tls.source[] sources
function M.cluster(client, name, opts)
	local rows, sources = {}, {}
	local issued, e = try(client.certificates, client)
	if not issued and not (err.is(e) and e.code == "UNSUPPORTED") then error(e, 0) end
	for _, c in ipairs(issued or {}) do
		rows[#rows + 1] = { where = "certificate " .. c.name,
			names = c.names,
			days_left = c.days_left and math.floor(c.days_left),
			expires = c.expires and iso(c.expires), issuer = "cert-manager",
			held_by = { ("%s: secret %s"):format(name, c.secret or "?") },
			verified = c.ready ~= false, problem = c.ready == false
				and (c.message or "not ready") or nil }
	end
	for _, ingress in ipairs(client:ingresses()) do
		local secured = ingress.secrets and #ingress.secrets > 0
		for _, host in ipairs(secured and ingress.hosts or {}) do
			if not host:find("*", 1, true) then
				sources[#sources + 1] = { address = host .. ":443",
					ca = opts and opts.ca, held_by = {
					("%s: ingress %s"):format(name, ingress.name) } }
			end
		end
	end
	return rows, sources
end

-- --- files ------------------------------------------------------------------------

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7,
	Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

-- Seconds since 1970 of a date in UTC: the machine's time zone does not matter.
local function utc(year, month, day, hour, min, sec)
	local y = month <= 2 and year - 1 or year
	local m = (month + 9) % 12
	local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5
		+ day - 1 - 719468
	return days * DAY + hour * 3600 + min * 60 + sec
end

-- "Jan  1 12:00:00 2029 GMT"
local function read_date(text)
	local month, day, hour, min, sec, year = (text or ""):match(
		"^(%a+)%s+(%d+)%s+(%d+):(%d+):(%d+)%s+(%d+)%s+GMT")
	if not MONTHS[month] then return nil end
	return utc(tonumber(year), MONTHS[month], tonumber(day), tonumber(hour),
		tonumber(min), tonumber(sec))
end

---What `openssl x509 -noout -subject -issuer -enddate -ext subjectAltName` printed.
---Raises kind protocol when it tells no end.
---@param text string
---@return {subject: string, issuer: string, names: string[], not_after: string, days_left: number}
function M.parse(text)
	local ends = read_date(text:match "notAfter=([^\n]*)")
	if not ends then
		error(err.new { kind = "protocol", message =
			"openssl told no end of the certificate" }, 0)
	end
	local names = {}
	for name in (text:match "Subject Alternative Name:[^\n]*\n([^\n]*)" or "")
		:gmatch "[^,%s][^,]*" do
		names[#names + 1] = name:gsub("^DNS:", ""):gsub("^IP Address:", "")
	end
	return { subject = text:match "subject=%s*([^\n]*)",
		issuer = text:match "issuer=%s*([^\n]*)", names = names,
		not_after = iso(ends),
		days_left = (ends - os.time()) / DAY }
end

---The certificates of a PEM file, as they stand in it; keys in it are not looked
---at. Raises kind io (no such file, no openssl), protocol (none in it).
---@param path string
---@param timeout? number seconds
---@return table[] of M.parse
function M.file(path, timeout)
	local text, blocks = fs.read(path, { max = FILE_MAX, timeout = timeout }), {}
	for block in text:gmatch
		"(%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-.-%-%-%-%-%-END CERTIFICATE%-%-%-%-%-)" do
		blocks[#blocks + 1] = block
	end
	if #blocks == 0 then
		error(err.new { kind = "protocol", message =
			("'%s' holds no certificate in PEM form"):format(path) }, 0)
	end
	return task.map(blocks, { limit = 8 }, function(block)
		local r = sh.run { "openssl", "x509", "-noout", "-subject", "-issuer",
			"-enddate", "-ext", "subjectAltName", "-nameopt", "RFC2253",
			stdin = block .. "\n", effect = "read", timeout = timeout }
		return M.parse(r.stdout)
	end)
end

-- --- asking ------------------------------------------------------------------------

-- A chain is good for as long as the first of it that ends.
local function shorten(row, chain)
	for n = 2, #(chain or {}) do
		local link = chain[n]
		if link.days_left and row.days_left
			and math.floor(link.days_left) < row.days_left then
			row.days_left, row.expires = math.floor(link.days_left),
				link.not_after
			row.problem = row.problem or ("'%s' of its chain ends first"):format(
				link.subject or "?")
		end
	end
	return row
end

local function row_of(where, held_by, cert)
	return shorten({ where = where, held_by = held_by, subject = cert.subject,
		issuer = cert.issuer, names = cert.names, expires = cert.not_after,
		days_left = cert.days_left and math.floor(cert.days_left),
		verified = cert.verified, code = cert.code, problem = cert.problem },
		cert.chain)
end

local function ask(system, source, timeout)
	if source.file then
		local rows = {}
		for n, cert in ipairs(M.file(source.file, timeout)) do
			rows[n] = row_of(n == 1 and source.file or ("%s (%d)"):format(
				source.file, n), source.held_by, cert)
		end
		return rows
	end
	local cert
	if source.target then
		cert = system.target(source.target):certificate { timeout = timeout }
	else
		cert = require("opsh.http").certificate(source.address, { ca = source.ca,
			server_name = source.server_name, timeout = timeout })
	end
	return { row_of(source.address, source.held_by, cert) }
end

---Asks all of these at once, in the time of the slowest; who does not answer
---within `timeout` (default 5 s) is a row of state "unknown".
---@param system table
---@param sources opsh.tls.source[]
---@param opts? {timeout?: number}
---@return opsh.tls.row[] not judged yet
function M.check(system, sources, opts)
	local timeout = opts and opts.timeout or 5
	local found = task.map(sources, { limit = math.max(1, #sources) },
		function(source)
			local rows, e = try(task.timeout, timeout + 0.2, ask, system, source,
				timeout)
			if rows then return rows end
			return { { state = "unknown", where = source.file or source.address,
				held_by = source.held_by, code = err.is(e) and e.kind or nil,
				problem = err.is(e) and e.message or tostring(e) } }
		end)
	local out = {}
	for _, rows in ipairs(found) do
		table.move(rows, 1, #rows, #out + 1, out)
	end
	return out
end

-- --- judging -----------------------------------------------------------------------

local function state_of(row, opts)
	local days = row.days_left
	if row.state == "unknown" or not days then return "unknown" end
	if days < 0 then return "expired" end
	if days < opts.critical then return "critical" end
	if row.verified == false and opts.verify ~= false then return "untrusted" end
	return days < opts.warn and "warning" or "ok"
end

---Gives each row its state: fewer days left than `warn` (30) or `critical` (7), or
---not trusted by a client (not with verify = false). Sorts them, the worst first.
---@param rows opsh.tls.row[]
---@param opts? {warn?: number, critical?: number, verify?: boolean}
---@return opsh.tls.row[] the same list
function M.judge(rows, opts)
	opts = opts or {}
	local limits = { warn = opts.warn or 30, critical = opts.critical or 7,
		verify = opts.verify }
	for _, row in ipairs(rows) do row.state = state_of(row, limits) end
	table.sort(rows, function(a, b)
		if a.state ~= b.state then return RANK[a.state] < RANK[b.state] end
		if a.days_left ~= b.days_left then
			return (a.days_left or 0) < (b.days_left or 0)
		end
		return a.where < b.where
	end)
	return rows
end

local function count(rows, ...)
	local names = {}
	for _, state in ipairs { ... } do
		for _, row in ipairs(rows) do
			if row.state == state then names[#names + 1] = row.where end
		end
	end
	return names
end

---One line that says it all: "1 of 5 expired: a:443 · 1 warning: b:443".
---@param rows opsh.tls.row[]
---@return string
function M.verdict(rows)
	local parts = {}
	for _, state in ipairs(M.states) do
		local names = count(rows, state)
		if #names > 0 and state ~= "ok" then
			parts[#parts + 1] = ("%d %s%s: %s"):format(#names, #parts == 0
				and ("of %d "):format(#rows) or "", state,
				table.concat(names, ", "))
		end
	end
	if #parts == 0 then return ("all %d certificates are good"):format(#rows) end
	return table.concat(parts, " · ")
end

---Raises kind server (exit 1) when one has expired, is critical or not trusted; with
---`strict` also when one could not be read; always when none could.
---@param rows opsh.tls.row[]
---@param strict? boolean
function M.demand(rows, strict)
	local bad = count(rows, "expired", "critical", "untrusted")
	local unknown = count(rows, "unknown")
	if #bad == 0 and (strict or #unknown == #rows) then bad = unknown end
	if #bad == 0 then return end
	error(err.new { kind = "server", code = "CERTIFICATE", message =
		("certificates are not good: %s"):format(table.concat(bad, ", ")),
		hint = "renew them, then restart what holds them" }, 0)
end

return M
