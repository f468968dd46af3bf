-- postgres.tools: Postgres' own programs (pg_dump, pg_restore, pg_amcheck) for a
-- target: on this machine, or where the server runs, through an orchestrator. The
-- password goes by the environment. Knows versions, and says what a program that
-- failed said. Owns no connection.
local err = require "opsh.c.err"
local fs = require "opsh.fs"
local sh = require "opsh.sh"

local M = {}

---@class opsh.postgres.tools
local Tools = {}
Tools.__index = Tools

-- The images of Postgres keep the password in this variable.
local INSIDE <const> = 'PGPASSWORD=${PGPASSWORD:-${POSTGRES_PASSWORD:-}}; '
	.. 'export PGPASSWORD; exec "$@"'

---The programs for a client. opts: orchestrator and service (the programs are those
---of that instance, and connect from there by its socket), bin (their folder; by
---default that of Debian's packages for the server's version, else the PATH's).
---@param db opsh.postgres.client
---@param opts? {orchestrator?: opsh.orchestrator, service?: string, bin?: string}
---@return opsh.postgres.tools
function M.of(db, opts)
	opts = opts or {}
	if opts.service and not opts.orchestrator then
		error(err.new { kind = "config", message = ("service '%s' was given, "
			.. "and no target 'orchestrator'"):format(opts.service) }, 0)
	end
	return setmetatable({ db = db, service = opts.service,
		orchestrator = opts.service and opts.orchestrator or nil,
		bin = opts.bin, major = tonumber(db:identity().version:match "^%d+") },
		Tools)
end

---Where a program is: a path, or its name alone where it runs elsewhere.
---@param name string
---@return string
function Tools:path(name)
	if self.bin then return self.bin .. "/" .. name end
	if self.orchestrator then return name end
	local own = ("/usr/lib/postgresql/%d/bin/%s"):format(self.major, name)
	if fs.exists(own) then return own end
	return sh.which(name) or error(err.new { kind = "check", message = ("there is "
		.. "no program '%s' on the PATH (parameter 'bin' names its folder)")
		:format(name) }, 0)
end

---The version of a program: "15.18" and 15. Raises kind check where it is not.
---@param name string
---@return string version
---@return integer major
function Tools:version(name)
	local argv = { self:path(name), "--version" }
	local r
	if self.orchestrator then
		r = self.orchestrator:exec(self.service, argv, { effect = "read" })
	else
		argv.effect = "read"
		r = sh.run(argv)
	end
	local version = r.stdout:match "%(PostgreSQL%) (%S+)"
	if not version then
		error(err.new { kind = "check", message = ("'%s' does not say its "
			.. "version: %s"):format(name, r.stdout) }, 0)
	end
	return version, math.tointeger(tonumber(version:match "^%d+"))
end

-- A connection string, for programs that want one as an argument: a name alone
-- could be taken for another thing when it has '=' or '://' in it.
local function conninfo(env, inside)
	local words = { ("dbname='%s'"):format((env.PGDATABASE or "postgres"):gsub(
		"['\\]", "\\%0")) }
	if inside and env.PGUSER then
		words[2] = ("user='%s'"):format(env.PGUSER:gsub("['\\]", "\\%0"))
	end
	return table.concat(words, " ")
end

-- The first lines of what a program said, without its name.
local function said(name, stderr)
	local lines = {}
	for line in (stderr or ""):gmatch "[^\r\n]+" do
		line = line:gsub("^" .. name:gsub("%p", "%%%0") .. ": ", "")
			:gsub("^error: ", "")
		lines[#lines + 1] = line
		if #lines == 3 then break end
	end
	return #lines > 0 and table.concat(lines, "; ") or nil
end

---Runs a program that connects. args: its arguments; `--dbname` is put in front of
---them. opts: database, effect, timeout, stdin, stdout, verb, expect, accept.
---Raises what sh.run raises, with what the program said.
---@param name string
---@param args string[]
---@param opts table
---@return table result status stdout stderr seconds
function Tools:run(name, args, opts)
	local env = self.db:environment(opts.database)
	local argv = { self:path(name) }
	if opts.connect ~= false then
		argv[2] = "--dbname=" .. conninfo(env, self.orchestrator)
	end
	table.move(args, 1, #args, #argv + 1, argv)
	local ok, r
	if self.orchestrator then
		table.move({ "sh", "-c", INSIDE, "sh" }, 1, 4, 1, table.move(argv, 1,
			#argv, 5))
		local given = { effect = opts.effect or "write", timeout = opts.timeout,
			stdin = opts.stdin, expect = opts.expect, accept = opts.accept,
			stdout = opts.stdout and { file = opts.stdout } or nil }
		ok, r = pcall(self.orchestrator.exec, self.orchestrator, self.service,
			argv, given)
	else
		argv.env, argv.effect, argv.timeout = env, opts.effect, opts.timeout
		argv.stdin, argv.stdout, argv.verb = opts.stdin, opts.stdout, name
		argv.expect, argv.accept = opts.expect, opts.accept
		ok, r = pcall(sh.run, argv)
	end
	if ok then return r end
	if err.is(r) and r.kind == "server" then
		local text = said(name, r.stderr)
		r.message = text and ("%s: %s"):format(name, text) or r.message
	end
	error(r, 0)
end

---The archive's table of contents: entries, and what of it is in its head
---(dumped_from, dumped_by). Raises kind server when it is no archive, or is cut
---within its table; verify when it has the rows of fewer than `tables` tables.
---@param path string
---@param tables? integer
---@return {entries: integer, tables: integer, dumped_from?: string, dumped_by?: string}
function Tools:list(path, tables)
	local args = { "--list" }
	local opts = { effect = "read", connect = false, timeout = 600 }
	if self.orchestrator then
		opts.stdin = { file = path }
	else
		args[2] = path
	end
	local text = self:run("pg_restore", args, opts).stdout
	local out = { entries = 0, tables = 0,
		dumped_from = text:match "; *Dumped from database version: (%S+)",
		dumped_by = text:match "; *Dumped by pg_dump version: (%S+)" }
	for line in text:gmatch "[^\n]+" do
		if line:match "^%d+; " then
			out.entries = out.entries + 1
			local what = line:match "^%d+; %d+ %d+ (.*)" or ""
			if what:find "^TABLE DATA " or what:find "^MATERIALIZED VIEW DATA "
			then
				out.tables = out.tables + 1
			end
		end
	end
	if tables and out.tables < tables then
		error(err.new { kind = "verify", message = ("the dump has the rows of %d "
			.. "tables, %d were counted"):format(out.tables, tables) }, 0)
	end
	return out
end

return M
