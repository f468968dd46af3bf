-- cli: from argv to an exit code. Dispatches to run.cmd.*, and ends the run:
-- the error is told, the end recorded. The first Lua that main runs, as the root
-- task; keep it short, start-up is most of it.
local session = require "run.session"

local cli = {}

local COMMANDS = { "run", "plan", "resume", "check", "list", "doc", "new",
	"targets", "runs", "timeline", "verify", "locks", "unlock", "completion",
	"help" }

local commands = setmetatable({}, { __index = function(t, name)
	for _, known in ipairs(COMMANDS) do
		if known == name then
			t[name] = require("run.cmd." .. name)
			return t[name]
		end
	end
end, __pairs = function()
	local all = {}
	for _, name in ipairs(COMMANDS) do all[name] = true end
	return next, all
end })

---The commands in the order of the help text: { {name, command}, ... }.
function cli.list()
	local list = {}
	for n, name in ipairs(COMMANDS) do list[n] = { name, commands[name] } end
	return list
end

-- -e, with or without a command. One that has nothing to do with code is no word
-- to be passed over: `plan` least of all.
local function given_code(parsed, ctx)
	local text, command = table.concat(parsed.globals.e, "\n"), parsed.command
	if command == "plan" then
		return require("run.runner").script(ctx(), { source = text,
			chunk = require("run.script").chunk(text) }, parsed.args, "plan")
	elseif command and command ~= "run" then
		require("run.fail").usage("'%s' takes no -e", command)
	end
	return require("run.script").code(text, parsed.args)
end

-- What every command gets (run.cmd.* take it as their first argument).
local function context()
	local term = require "opsh.c.term"
	local playbook = require "run.playbook"
	local sys = require "opsh.c.sys"
	local report = session.report
	local shipped = sys.playbook_dir()
	return {
		out = function(text) report:text(text) end,
		err = function(text) term.write(2, text) end,
		rows = function(rows, opts) report:rows(rows, opts) end,
		output = session.globals.output or "text",
		config = session.config, report = report, globals = session.globals,
		dirs = playbook.dirs(require("run.targets").path(
			session.globals.targets), shipped and sys.realpath(shipped)),
	}
end

local function dispatch(parsed)
	local args = require "run.args"
	local globals = parsed.globals
	session.report = require("run.report").new(globals.output)
	if globals.version then
		session.report:text("opsh " .. require("opsh.c.sys").version .. "\n")
		return 0
	elseif globals.help then
		local text = parsed.command
			and args.help(parsed.command, commands[parsed.command])
			or args.overview(cli.list())
		session.report:text(text)
		return 0
	elseif globals.e then
		return given_code(parsed, context)
	elseif parsed.command then
		return commands[parsed.command].run(context(), parsed.args)
	end
	-- as bash has it: prompts need a terminal to read from and to show them on
	local term = require "opsh.c.term"
	if term.is_tty(0) and term.is_tty(2) then
		return require "repl.repl".main()
	end
	return require("run.script").stdin()
end

---Runs the command line; argv[0] is the program. Its result is the exit code.
---@param argv string[]
---@return integer
function cli.main(argv)
	-- `opsh -e CODE` alone needs no parser
	if #argv == 2 and argv[1] == "-e" then
		session.report = false
		return require("run.script").code(argv[2], {})
	end
	collectgarbage "restart"
	-- filled as they are read: the form of a usage error is one of them
	local parsed = require("run.args").parse(argv, commands, session.globals)
	if not parsed.globals.timeout then return dispatch(parsed) end
	return require("opsh.task").timeout(parsed.globals.timeout, dispatch,
		parsed)
end

-- 74 promises that nothing was done: after a write it does not hold.
local function told(e, code, writes)
	local err = require "opsh.c.err"
	if writes == 0 or not err.is(e) or e.kind ~= "journal" then return code end
	e.hint = e.hint and e.hint:gsub("^nothing was done", "nothing more was done")
	return code == 74 and 75 or code
end

-- After a write whose reply is missing, whatever the run ended with.
local function tell_doubt(report, code)
	local status = require("opsh.c.effect").status()
	if code ~= 13 and (code == 0 or status.doubts == 0) then return end
	local read, intents = pcall(require("run.doubt").list)
	if code == 13 or not read or intents[1] then
		report:doubt(read and intents or {})
	end
end

local function end_run(report, code, e)
	local effect = require "opsh.c.effect"
	local err = require "opsh.c.err"
	local now = require("opsh.c.task").now
	local status = effect.status()
	local duration = now() - session.began.at
	if status.open and not status.dead then
		local ok, why = pcall(effect.record, "end", { exit = code,
			duration = duration, writes = status.writes,
			withheld = status.withheld, unverified = session.unverified,
			error = err.is(e) and { kind = e.kind, message = e.message,
				target = e.target, outcome = e.outcome } or e and tostring(e)
				or nil }, true)
		if not ok then
			code = told(why, 74, status.writes)
			-- once is enough
			if not (err.is(e) and e.kind == "journal") then
				report:error(why, code)
			end
		end
	end
	local kept = effect.close_run()
	if status.lost or not kept and status.writes > 0 then code = 75 end
	report:done { run = status.run, code = code, duration = duration,
		writes = status.writes, withheld = status.withheld,
		dir = status.open and status.dir or nil, quiet = session.quiet }
	return code
end

---Ends the run: tells the error, writes the end record. Called by main, outside
---of any task, whatever the root task ended with.
---@param code integer
---@param e any the error, nil when there was none
---@return integer exit code
function cli.finish(code, e)
	if session.exit then
		code, e = session.exit, nil	-- os.exit(code)
	end
	if not e and not session.began then return code end
	local term = require "opsh.c.term"
	local report = session.report
		or require("run.report").new(session.globals.output)
	term.status(nil)
	if session.began then
		code = told(e, code, require("opsh.c.effect").status().writes)
	end
	-- that the reader left is no news to anybody
	if e and not (require("opsh.c.err").is(e) and e.code == "SIGPIPE") then
		report:error(e, code)
	end
	if session.began then
		tell_doubt(report, code)
		code = end_run(report, code, e)
	end
	return code
end

return cli
