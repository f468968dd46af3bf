-- launch: a playbook out of a session: `:run`, `:plan`, `:resume`. It is a run of its
-- own, a process with its own journal, lock and exit code, on this terminal: guards
-- ask here, Ctrl-C stops it and not the session, and it can be resumed whatever
-- becomes of either. It gets the session's targets and mode. Owns how it is started;
-- must not put a secret into its arguments.
local effect = require "opsh.c.effect"
local json = require "opsh.c.json"
local fail = require "run.fail"
local session = require "run.session"
local sys = require "opsh.c.sys"
local words = require "run.words"

local launch = {}

local NEWEST = 50	-- runs that are looked through for the child's
local GRACE = 10	-- seconds that a run gets to finish its record

local function global_options()
	local out, given = {}, session.globals
	local function add(name, value)
		out[#out + 1] = "--" .. name
		out[#out + 1] = value
	end
	if given.targets then add("targets", given.targets) end
	for _, name in ipairs { "target", "bind", "approve" } do
		for _, value in ipairs(given[name] or {}) do add(name, value) end
	end
	return out
end

-- What the child is told by its environment: run.inherited reads it.
local function environment()
	local env, targets = {}, {}
	for _, name in ipairs(words.sorted(session.added or {})) do
		local added = session.added[name]
		targets[#targets + 1] = name
		env["OPSH_SESSION_URL_" .. name] = added.url
		env["OPSH_SESSION_PASSWORD_" .. name] = added.password
	end
	env.OPSH_SESSION = json.encode { run = effect.status().run,
		mode = effect.mode(), targets = json.array(targets) }
	return env
end

-- The run that a process made, among the newest ones.
local function run_of(pid, began)
	local journal = require "run.journal"
	local runs = journal.runs()
	for n = #runs, math.max(1, #runs - NEWEST), -1 do
		local ok, first = pcall(function()
			return journal.records(session.runs_dir() .. "/" .. runs[n])()
		end)
		if ok and first and first.pid == pid and first.t
			and first.t >= began then
			return runs[n]
		end
	end
end

local function meaning(code)
	for _, exit in ipairs(sys.exits()) do
		if exit.code == code then return exit.text end
	end
	return "?"
end

---Gives the terminal to a program and waits for its end.
---@param ctx table
---@param argv string[]
---@param opts? table as of term.lend
---@return {status?: integer, signal?: integer, pid: integer}
function launch.lend(ctx, argv, opts)
	local program <close> = (ctx.lend or require("opsh.c.term").lend)(argv, opts)
	return program:wait()
end

---Runs `opsh VERB WORDS` on this terminal and waits for its end; the exit code is
---said and, with the child's run, on record here.
---@param ctx table
---@param verb "run"|"plan"|"resume"
---@param given string[]
---@return integer exit code
function launch.run(ctx, verb, given)
	local argv = { ctx.program or sys.realpath "/proc/self/exe", verb }
	table.move(global_options(), 1, 1000, #argv + 1, argv)
	table.move(given, 1, #given, #argv + 1, argv)
	local began = os.date "!%Y-%m-%dT%H:%M:%S"
	local ended = launch.lend(ctx, argv, { env = environment(), grace = GRACE })
	local code = ended.status or 128 + ended.signal
	local run = run_of(ended.pid, began)
	effect.record("ran", { command = verb, run = run, exit = code,
		how = "exit " .. code, text = ("%s %s%s"):format(verb, given[1],
		run and ": run " .. run or "") })
	if code ~= 0 then
		ctx.err(("exit %d: %s\n"):format(code, meaning(code)))
	end
	return code
end

---What a person hears before a run in a session that is read-only.
---@param ctx table
function launch.warn_read_only(ctx)
	if effect.mode() == "read" then
		ctx.err("read-only: the run's writes will be refused; "
			.. ":write 10m REASON is first\n")
	end
end

---The name of a playbook or a usage error.
---@param args string[]
---@param name string of the command
---@return string[]
function launch.words(args, name, what)
	if not args[1] then
		fail.usage(":%s: %s is needed", name, what)
	end
	return args
end

return launch
