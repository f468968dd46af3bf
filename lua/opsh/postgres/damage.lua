-- postgres.damage: is a cluster's data damaged, and what can be read of it? Asks the
-- server (checksum failures, amcheck, every row read once), its log, and the folder
-- of one that does not run (pg_controldata, pg_checksums). A copy may be started in
-- private, to see what is in it. Changes nothing but such a copy.
local err = require "opsh.c.err"
local exec = require "opsh.c.exec"
local fs = require "opsh.fs"
local sh = require "opsh.sh"
local task = require "opsh.task"

local M = {}

-- What a server says when its data is not what it has written.
local SIGNS <const> = { "invalid page in block", "page verification failed",
	"could not read block", "unexpected data beyond EOF", "missing chunk number",
	"unexpected chunk", "invalid memory alloc request size", "is corrupt",
	"corrupted", "could not access status of transaction", "unexpected zero page",
	"PANIC:", "could not locate a valid checkpoint", "invalid checkpoint record",
	"failed to re%-find parent", "right sibling", "contains unexpected",
	"could not open file \"base/", "Input/output error", "incorrect resource "
	.. "manager data checksum" }

---Is this line of a server's log a sign of damage? Statements are not.
---@param line string
---@return boolean
function M.is_sign(line)
	if line:find("LOG:  statement", 1, true) or line:find("STATEMENT:", 1, true)
		or line:find("LOG:  execute", 1, true) then
		return false
	end
	for _, sign in ipairs(SIGNS) do
		if line:find(sign) then return true end
	end
	return false
end

---The lines of a log that are signs: the last `max`, and how many there were.
---@param lines fun(): string|table|nil of sh.lines, or of an orchestrator's logs
---@param max integer
---@return string[] signs
---@return integer count
function M.signs(lines, max)
	local out, n = {}, 0
	for line in lines do
		local text = type(line) == "table" and line.text or line
		if M.is_sign(text) then
			n = n + 1
			out[(n - 1) % max + 1] = text
		end
	end
	if n <= max then return out, n end
	local from = n % max
	return table.move(out, 1, from, max - from + 1, table.move(out, from + 1, max,
		1, {})), n
end

-- --- a server that answers ---------------------------------------------------------

local function row(check, verdict, detail)
	return { check = check, verdict = verdict, detail = detail }
end

local CHECKSUMS <const> = [[
select coalesce(datname, 'shared objects') as name, checksum_failures as n,
  checksum_last_failure::text as last
from pg_stat_database where checksum_failures > 0 order by 2 desc]]

local function checksums(db, out)
	local on = db:value "show data_checksums" == "on"
	out[#out + 1] = row("data checksums", on and "ok" or "unknown", on
		and "on: a page that is damaged is noticed when it is read"
		or "off: a damaged page may be read as it is")
	local rows = on and db:query(CHECKSUMS) or {}
	for _, r in ipairs(rows) do
		out[#out + 1] = row("checksum failures", "bad", ("%s: %d, the last %s")
			:format(r.name, r.n, r.last or "?"))
	end
	if on and #rows == 0 then
		out[#out + 1] = row("checksum failures", "ok", "none since the statistics "
			.. "were reset")
	end
end

-- A program that reads the database: what it said is the finding.
local function reads(tools, out, check, program, args, opts)
	local accept = opts.accept
	opts.accept, opts.effect = true, "read"
	local r = tools:run(program, args, opts)
	local text = {}
	for line in (r.stdout .. "\n" .. r.stderr):gmatch "[^\r\n]+" do
		if #text < 4 then text[#text + 1] = line:gsub("^%s+", "") end
	end
	local bad = r.status ~= 0
	local unknown = bad and accept and not accept[r.status]
	out[#out + 1] = row(check, unknown and "unknown" or bad and "bad" or "ok", bad
		and table.concat(text, "; ") or ("nothing found, in %.1f s")
		:format(r.seconds))
end

local function amcheck(db, tools, out, timeout)
	if not db:value "select true from pg_extension where extname = 'amcheck'" then
		out[#out + 1] = row("amcheck", "unknown", "not installed in this database "
			.. "(create extension amcheck)")
		return
	end
	reads(tools, out, "amcheck", "pg_amcheck", { "--no-password" }, {
		connect = false, timeout = timeout, accept = { [0] = true, [2] = true } })
end

---What a server that answers shows: rows of check, verdict ("ok", "bad",
---"unknown"), detail. opts: read_all (every row is read once, by pg_dump into
---nothing), timeout.
---@param db opsh.postgres.client
---@param tools opsh.postgres.tools
---@param opts {read_all?: boolean, timeout?: number}
---@return {check: string, verdict: string, detail: string}[]
function M.assess(db, tools, opts)
	local out = {}
	amcheck(db, tools, out, opts.timeout or 7200)
	if opts.read_all then
		reads(tools, out, "all rows read", "pg_dump", { "--no-password",
			"--file=/dev/null" }, { timeout = opts.timeout or 7200 })
	end
	checksums(db, out)	-- last: what was just read may have been counted
	return out
end

-- --- a folder whose server does not run -----------------------------------------------

---@class opsh.postgres.folder
local Folder = {}
Folder.__index = Folder

---A data folder of this machine. bin: where the programs are; by default Debian's
---for its version, else on the PATH. Raises kind check when it is none.
---@param path string
---@param bin? string
---@return opsh.postgres.folder
function M.folder(path, bin)
	path = path:gsub("(.)/+$", "%1")
	if not fs.exists(path .. "/PG_VERSION") then
		error(err.new { kind = "check", message = ("'%s' is no data folder of "
			.. "Postgres (there is no PG_VERSION in it)"):format(path) }, 0)
	end
	local version = fs.read(path .. "/PG_VERSION"):match "%S+"
	local own = "/usr/lib/postgresql/" .. version .. "/bin"
	return setmetatable({ path = path, version = version, bin = bin
		or fs.exists(own) and own or nil, uid = fs.stat(path).uid,
		gid = fs.stat(path).gid }, Folder)
end

---The argv of a program, as the user that the folder belongs to: Postgres' programs
---refuse to be root. That user may pass through folders that are root's own.
---@param name string
---@param ... string
---@return string[]
function Folder:argv(name, ...)
	local argv = {}
	if fs.stat("/proc/self").uid == 0 and self.uid ~= 0 then
		argv = { "setpriv", "--reuid=" .. self.uid, "--regid=" .. self.gid,
			"--clear-groups", "--inh-caps=-all,+dac_override",
			"--ambient-caps=-all,+dac_override" }
	end
	argv[#argv + 1] = self.bin and self.bin .. "/" .. name or name
	return table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
end

---The process that serves the folder, when it runs.
---@return integer? pid
function Folder:pid()
	local path = self.path .. "/postmaster.pid"
	local pid = fs.exists(path) and tonumber(fs.read(path):match "%d+")
	return pid and fs.exists("/proc/" .. math.tointeger(pid)) and pid or nil
end

-- A program that only reads the folder.
local function look(self, ...)
	local argv = self:argv(...)
	argv.effect, argv.accept, argv.timeout = "read", true, 7200
	argv.env = { LC_ALL = "C" }
	return sh.run(argv)
end

---What the folder's own files say: rows as assess has them, and the location of the
---last checkpoint. pg_checksums reads every page where checksums are on.
---@return {check: string, verdict: string, detail: string}[]
---@return string? checkpoint
function Folder:check()
	local out = {}
	local control = look(self, "pg_controldata", "-D", self.path)
	local state = control.stdout:match "Database cluster state: *([^\n]+)"
	local redo = control.stdout:match "Latest checkpoint location: *(%S+)"
	local version = control.stdout:match "Data page checksum version: *(%d+)"
	out[1] = row("control file", control.status == 0 and state
		and not control.stdout:find "WARNING" and "ok" or "bad", state
		and ("%s; last checkpoint %s"):format(state, redo)
		or control.stderr:match "[^\n]+" or "unreadable")
	if version == "0" then
		out[2] = row("page checksums", "unknown", "off: pages can't be checked")
	elseif state ~= "shut down" and state ~= "shut down in recovery" then
		out[2] = row("page checksums", "unknown", "pages can't be checked: it was "
			.. "not shut down cleanly")
	else
		local r = look(self, "pg_checksums", "--check", "-D", self.path)
		local bad = r.stdout:match "Bad checksums: *(%d+)"
		local first = r.stderr:match "[^\n]+"
		out[2] = row("page checksums", r.status == 0 and "ok" or "bad", bad
			and ("%s of %s blocks are bad%s"):format(bad, r.stdout:match
			"Blocks scanned: *(%d+)" or "?", first and ": " .. first or "")
			or first or "pg_checksums says nothing")
	end
	return out, redo
end

---Copies the folder as it is, sharing blocks where the file system can. A write.
---@param to string
---@param timeout? number
function Folder:copy(to, timeout)
	sh.run { "cp", "-a", "--reflink=auto", "-T", "--", self.path, to,
		timeout = timeout or 7200, verb = "copy",
		expect = { status = 0, stdout = "", stderr = "" } }
end

---Is the copy the same, byte for byte?
---@param to string
---@return boolean
---@return string? difference
function Folder:same(to)
	local r = sh.run { "diff", "-rq", "--no-dereference", "--", self.path, to,
		effect = "read", accept = { 0, 1 }, timeout = 7200 }
	return r.status == 0, r.stdout:match "[^\n]+"
end

---What pg_resetwal would write, as it says itself. Reads only.
---@return string
function Folder:reset_preview()
	local r = look(self, "pg_resetwal", "--dry-run", "--force", "-D", self.path)
	return r.stdout .. r.stderr
end

---Makes a WAL that begins anew: what was only in the old one is lost, and what is in
---the tables may contradict itself. Destructive, on the machine, verb "pg_resetwal".
function Folder:reset()
	local argv = self:argv("pg_resetwal", "--force", "-D", self.path)
	argv.effect, argv.verb, argv.timeout = "destructive", "pg_resetwal", 600
	argv.expect = { status = 0, stdout = "", stderr = "" }
	sh.run(argv)
end

-- --- a copy that is started to see what is in it ----------------------------------------

local function answers(self, env)
	local argv = self:argv("pg_isready", "-q")
	argv.env, argv.effect, argv.accept = env, "read", true
	return sh.run(argv).status == 0
end

-- Names of the databases that can be connected to.
local function databases(self, env)
	local argv = self:argv("psql", "-XAtqc", "select datname from pg_database "
		.. "where datallowconn and datname <> 'template1' order by 1")
	if not self.bin then argv[#argv - 2] = exec.which "psql" or "psql" end
	argv.env, argv.effect = env, "read"
	local out = {}
	for name in sh.run(argv).stdout:gmatch "[^\n]+" do out[#out + 1] = name end
	return out
end

---Starts a server on the folder, which has to be a copy: nobody can reach it but
---this run. Reads every row of each database, then stops it. user: a superuser.
---Writes to the folder, as recovery does.
---@param user string
---@param timeout number
---@return {check: string, verdict: string, detail: string}[]
function Folder:trial(user, timeout)
	local dir <close> = fs.tmpdir()
	local run = dir .. "/run"
	fs.mkdir(run)
	fs.write(dir .. "/hba", "local all all trust\n", { mode = "0644" })
	if fs.stat("/proc/self").uid == 0 then
		sh.run { "chown", ("%d:%d"):format(self.uid, self.gid), run }
	end
	local argv = self:argv("postgres", "-D", self.path, "-p", "5432", "-c",
		"listen_addresses=", "-c", "unix_socket_directories=" .. run, "-c",
		"hba_file=" .. dir .. "/hba", "-c", "archive_mode=off", "-c",
		"primary_conninfo=", "-c", "restore_command=", "-c",
		"logging_collector=off", "-c", "log_statement=none", "-c", "autovacuum=off")
	argv.stderr, argv.verb = dir .. "/log", "trial"
	local env = { PGHOST = run, PGPORT = "5432", PGUSER = user,
		PGDATABASE = "postgres" }
	local server <close> = sh.start(argv)
	local until_ = task.now() + timeout
	while not answers(self, env) do
		if not server:pid() or task.now() > until_ then
			local text = fs.read(dir .. "/log"):match "[^\n]*FATAL[^\n]*"
			return { row("start of the copy", "bad", text or "it does not start") }
		end
		task.sleep(0.1)
	end
	local out = { row("start of the copy", "ok", "it starts and answers") }
	for _, name in ipairs(databases(self, env)) do
		local dump = self:argv("pg_dump", "--no-password", "--file=/dev/null")
		env.PGDATABASE = name
		dump.env, dump.effect, dump.accept, dump.timeout = env, "read", true, timeout
		local r = sh.run(dump)
		out[#out + 1] = row("all rows of '" .. name .. "'", r.status == 0 and "ok"
			or "bad", r.status == 0 and "can be read" or r.stderr:match "[^\n]+")
	end
	server:kill "INT"
	pcall(server.wait, server, { timeout = 30 })
	return out
end

---Raises (exit 1) when one of the rows is bad.
---@param rows {check: string, verdict: string}[]
function M.demand(rows)
	local names = {}
	for _, r in ipairs(rows) do
		if r.verdict == "bad" then names[#names + 1] = r.check end
	end
	if #names == 0 then return end
	error(err.new { kind = "server", code = "DAMAGED", message = "signs of damage: "
		.. table.concat(names, ", "), hint = "copy the data folder before anything "
		.. "else: to=FOLDER; then opsh run postgres/restore" }, 0)
end

---The worst verdict of rows.
---@param rows {verdict: string}[]
---@return "ok"|"bad"|"unknown"
function M.worst(rows)
	local worst = "ok"
	for _, r in ipairs(rows) do
		if r.verdict == "bad" then return "bad" end
		if r.verdict == "unknown" then worst = "unknown" end
	end
	return worst
end

return M
