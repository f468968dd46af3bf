-- repl_command_spec: the `:` commands of a session without a terminal: the line, the
-- list, what each does and says, what is on record of it. Needs no server; those of
-- targets are in repl_target_spec.
require "harness"
local command = require "repl.command"
local effect = require "opsh.c.effect"
local session = require "run.session"
local target = require "opsh.c.target"
local task = require "opsh.task"
local journal = dofile "tests/lib/journal.lua"
local repl = dofile "tests/lib/repl.lua"

local function write()
	return effect.call(target.new { name = "t", kind = "k" }, "write", "SET",
		"SET x", nil, function() return true end)
end

describe("a line", function()
	it("is a command when it begins with a colon and a name", function()
		ok(command.is ":targets")
		ok(command.is "  :help")
		ok(command.is ":")
		ok(command.is ":?")
		ok(not command.is "::label::")
		ok(not command.is "x:y()")
		ok(not command.is "")
	end)
	it("is taken apart into words", function()
		eq(command.words [[a "b c" 'd "e' f\ g ""]],
			{ "a", "b c", 'd "e', "f g", "" })
		eq(command.words [[pattern='flights::*' x="\""]],
			{ "pattern=flights::*", 'x="' })
		eq(command.words "", {})
		raises("usage", command.words, "'open")
		eq(select(2, command.words " a  bc"), { 2, 5 })
		eq({ command.split ":write 10m a reason " }, { "write", "10m a reason" })
		eq({ command.split ":?run" }, { "help", "run" })
	end)
	it("names a command by its beginning, when that is one's alone", function()
		eq(command.find("targets").name, "targets")
		eq(command.find("tar").name, "targets")
		eq(command.find("wr").name, "write")
		local e = raises("usage", command.find, "re")
		eq(e.message, "':re' begins :read, :refresh, :resume")
		e = raises("usage", command.find, "tragets")
		eq(e.message, "unknown command ':tragets' (did you mean ':targets'?)")
		raises("unknown command ':zzz'", command.find, "zzz")
		raises("usage", command.run, repl.ctx(), ":")
	end)
	it("is checked against what the command takes", function()
		local ctx = repl.ctx()
		raises("unexpected argument 'b'", ctx.run, ":timeline a b")
		raises("NAME is missing", ctx.run, ":connect")
		raises("unknown option '%-%-pnig' %(did you mean '%-%-ping'%?%)", ctx.run,
			":targets --pnig")
		raises("takes no value", ctx.run, ":targets --ping=1")
		local e = raises("usage", ctx.run, ":targets a b")
		eq(e.hint, ":targets [NAME] [--ping]")
	end)
end)

describe("the list", function()
	it("is made of the files, each with all that it needs", function()
		local names = command.names()
		ok(#names >= 20)
		for _, name in ipairs(names) do
			local spec = command.get(name)
			eq(spec.name, name)
			eq({ type(spec.summary), type(spec.run) }, { "string", "function" })
			ok(#spec.summary <= 64, name)
			ok(not spec.summary:find "%.$", name)
			ok(command.help(spec):find("usage: :" .. name, 1, true))
			ok(command.overview():find("\n  :" .. name, 1, true)
				or command.overview():find("^  :" .. name), name)
		end
		eq(command.get "../command", nil)
		eq(command.get "nothing", nil)
	end)
	it("is what :help shows", function()
		local ctx = repl.ctx()
		local said = ctx.run ":help"
		ok(said:find("  :targets   the targets: kind, address", 1, true), said)
		for line in said:gmatch "[^\n]+" do ok(#line <= 80, line) end
		ok(ctx.run(":help targets"):find(":targets [NAME] [--ping]", 1, true))
		ok(ctx.run(":help write"):find("^usage: :write"))
		ok(ctx.run(":help :run"):find("^usage: :run"))
	end)
	it("has the guides too", function()
		local ctx = repl.ctx()
		ok(ctx.run(":help redis"):find("^# Redis"))
		raises("no help on 'zzzz'", ctx.run, ":help zzzz")
	end, { plain = true })
end)

describe(":set", function()
	it("lists, shows one, sets", function()
		local ctx = repl.ctx()
		local said = ctx.run ":set"
		for name in pairs(ctx.settings) do ok(said:find("\n" .. name .. " "), name) end
		ok(ctx.run(":set rows"):find "100")
		eq(ctx.run ":set rows 5", "")
		eq(ctx.settings.rows, 5)
		ctx.run ":set rows=7"
		eq(ctx.settings.rows, 7)
		ctx.run ":set pager sh -c 'cat; true'"
		eq(ctx.settings.pager, "sh -c 'cat; true'")
		ctx.run ':set pager "less -N"'
		eq(ctx.settings.pager, "less -N")
		ctx.run ":set traceback off"
		eq(ctx.settings.traceback, false)
		ctx.run ":set interval 500ms"
		eq(ctx.settings.interval, 0.5)
	end)
	it("refuses what is no setting or no value of it", function()
		local ctx = repl.ctx()
		raises("unknown setting 'rws' %(did you mean 'rows'%?%)", ctx.run,
			":set rws 5")
		raises("expected an integer, got 'many'", ctx.run, ":set rows many")
		raises("usage", ctx.run, ":set rows -1")
		raises("usage", ctx.run, ":set expanded perhaps")
		eq(ctx.settings.rows, 100)
	end)
end)

describe(":note and :timeline", function()
	it("write a line and show it", function()
		local said
		local records = journal.run("write", function(dir)
			repl.with({}, { runs = dir }, function(ctx)
				eq(ctx.run ":timeline", "nothing is on record yet\n")
				raises("what is to be noted", ctx.run, ":note")
				ctx.run ":note the load is 40, \"quotes\" stay"
				write()
				said = ctx.run ":timeline"
				raises("no run '01ZZ'", ctx.run, ":timeline 01ZZ")
			end)
		end)
		eq(journal.of(records, "note")[1].text, 'the load is 40, "quotes" stay')
		ok(said:find 'note .* the load is 40, "quotes" stay', said)
		ok(said:find "write .* done .* SET x", said)
	end)
end)

describe(":write", function()
	it("needs a time and a reason, and is on record", function()
		local records = journal.run("read", function()
			local ctx = repl.ctx()
			eq(ctx.run ":write", "read mode\n")
			raises("a reason is needed", ctx.run, ":write 10m")
			raises("a reason is needed", ctx.run, ":write 10m --")
			raises("expected how long", ctx.run, ":write because")
			raises("10 of what%? such as '10m'", ctx.run, ":write 10 because")
			raises("at most 4h", ctx.run, ":write 1d because")
			eq(effect.mode(), "read")
			raises("refused", write)
			eq(ctx.run ":write 10m cache is stale", "write mode for 10m\n")
			eq(effect.mode(), "write")
			ok(write())
			ok(ctx.run(":write"):find "write mode for [56]%d%d more seconds")
			ctx.run ":write off"
			eq({ effect.mode(), effect.window() }, { "read" })
			raises("refused", write)
		end)
		local modes = journal.of(records, "mode")
		eq({ modes[1].mode, modes[1].seconds, modes[1].reason, modes[2].mode },
			{ "write", 600, "cache is stale", "read" })
		eq(#journal.of(records, "refused"), 2)
	end)
	it("ends by itself, told and on record", function()
		local records = journal.run("read", function()
			local ctx = repl.ctx()
			ctx.run ":write 50ms a moment"
			ok(write())
			task.sleep(0.2)
			eq({ effect.mode(), effect.window() }, { "read" })
			raises("refused", write)
		end)
		local modes = journal.of(records, "mode")
		eq({ modes[2].mode, modes[2].how }, { "read", "expired" })
	end)
	it("ends in a busy loop too", function()
		journal.run("read", function()
			repl.ctx().run ":write 30ms a moment"
			local till = task.now() + 0.1
			while task.now() < till do end
			raises("refused", write)
		end)
	end)
	it("is put off by a second one, and changes nothing where all may be written",
		function()
			journal.run("read", function()
				local ctx = repl.ctx()
				ctx.run ":write 60s one"
				ctx.run ":write 1h two"
				ok(effect.window() > 3000)
				ctx.run ":read"
				eq(effect.mode(), "read")
			end)
			journal.run("write", function()
				local ctx = repl.ctx()
				eq(ctx.run ":write 10m why",
					"the session is in write mode already\n")
				eq(effect.window(), nil)
				eq(ctx.run ":read", "the session is read-only\n")
				eq(effect.mode(), "read")
			end)
		end)
	it("is what refusals name in a session", function()
		journal.run("read", function()
			effect.session(true)
			local e = raises("refused", write)
			effect.session(false)
			eq(e.hint, ":write 10m REASON allows it for ten minutes")
			eq(raises("refused", write).hint, "start with --write to allow it")
		end)
	end)
	it("needs the record: without it the session stays read-only", function()
		effect.close_run()
		effect.begin_run "/dev/null/nowhere"
		local before = effect.mode "read"
		effect.mode "read"
		raises("journal", repl.ctx().run, ":write 10m why")
		eq(effect.mode(), "read")
		effect.mode(before)
	end)
end)

describe("jobs", function()
	local function session_of()
		local ctx = repl.ctx()
		ctx.env.task = task
		ctx.told = {}
		function ctx.quit(code) ctx.left = code end
		-- as the session does: what an entry leaves behind is a job
		function ctx.enter(text)
			local released = {}
			task.spawn(function()
				command.run(ctx, text)
				released = require("opsh.c.task").release()
			end):wait()
			ctx.entry = (ctx.entry or 0) + 1
			ctx.jobs:add(released, ctx.entry, text, function(job, e)
				ctx.told[job.id] = e and tostring(e) or "done"
			end)
			return ctx.said()
		end
		return ctx
	end
	it("are listed, told and cancelled", function()
		local ctx = session_of()
		eq(ctx.run ":jobs", "no jobs\n")
		eq(ctx.enter ":bg task.sleep(60)", "job 1\n")
		ok(ctx.run(":jobs"):find "1%s+1%s.* :bg task.sleep%(60%)")
		raises("there is no job '7' %(running: 1%)", ctx.run, ":cancel 7")
		raises("there is no job 'x'", ctx.run, ":cancel x")
		ctx.run ":cancel 1"
		task.sleep(0.01)
		ok(ctx.told[1]:find "cancelled", ctx.told[1])
		eq(ctx.run ":jobs", "no jobs\n")
		raises("what is to run", ctx.run, ":bg")
		raises("usage", ctx.run, ":bg ) (")
	end)
	it("give their results to the session, and fail alone", function()
		local ctx, got = session_of(), nil
		function ctx.show(results) got = results end
		ctx.enter ":bg 6 * 7"
		ctx.enter ":bg error 'no'"
		task.sleep(0.05)
		eq({ got[1], ctx.told[1] }, { 42, "done" })
		ok(ctx.told[2]:find "no$")
	end)
	it("keep :quit from ending, once", function()
		local ctx = session_of()
		ctx.enter ":bg task.sleep(60)"
		ok(ctx.enter(":quit"):find "a job is running")
		eq(ctx.left, nil)
		ctx.enter ":quit"
		eq(ctx.left, 0)
		ctx.run ":cancel all"
	end)
end)

describe(":watch", function()
	it("looks again and again", function()
		local ctx = repl.ctx()
		local n = 0
		ctx.env.f = function() n = n + 1 return { count = n } end
		ctx.looks = 3
		local said = ctx.run ":watch 100ms f()"
		ok(said:find "^every 0.1 s: f%(%)")
		ok(said:find "1" and said:find "2" and said:find "3")
		eq(n, 3)
	end)
	it("takes commands, goes on after a failure, never overlaps", function()
		local ctx = repl.ctx()
		ctx.looks = 2
		effect.close_run()
		local said = ctx.run ":watch 0.1 :timeline"
		eq(select(2, said:gsub("nothing is on record", "")), 2)
		local inside, most = 0, 0
		ctx.env.f = function()
			inside = inside + 1
			most = math.max(most, inside)
			task.sleep(0.15)
			inside = inside - 1
			error("away", 0)
		end
		said = ctx.run ":watch 0.1 f()"
		eq(select(2, said:gsub("failed: away", "")), 2)
		eq(most, 1)
	end)
	it("says what it needs", function()
		local ctx = repl.ctx()
		raises("what is to be watched", ctx.run, ":watch")
		raises("what is to be watched", ctx.run, ":watch 5")
		raises("at least 0.1 s", ctx.run, ":watch 1ms f()")
		raises("usage", ctx.run, ":watch 1 )(")
	end)
end)

describe(":chart", function()
	it("draws a list, or the result before", function()
		local ctx = repl.ctx()
		ctx.env._ = { 1, 5, 3 }
		local said = ctx.run ":chart"
		ok(said:find "min 1 .* max 5 .* 3 values", said)
		ok(ctx.run(":chart {2, 8}"):find "max 8")
		ctx.env._ = "text"
		raises("neither a number nor a list", ctx.run, ":chart")
		raises("usage", ctx.run, ":chart )(")
	end)
	it("draws a number over time", function()
		local ctx = repl.ctx()
		local n = 0
		ctx.env.f = function() n = n + 10 return n end
		ctx.looks = 3
		local said = ctx.run ":chart 100ms f()"
		ok(said:find "min 10 .* max 30 .* 3 values", said)
		ctx.env.f = function() n = n + 1 return n % 2 == 1 and n or "x" end
		raises("gave a string, not a number", ctx.run, ":chart 100ms f()")
	end)
end)

describe(":refresh", function()
	it("has completion ask again", function()
		local ctx = repl.ctx()
		ctx.catalog = { db = { tables = { value = { "x" }, at = task.now() } } }
		ok(ctx.run(":refresh"):find "asks the targets again")
		eq(ctx.catalog.db.tables.stale, true)
	end)
end)

describe(":edit", function()
	local function editor(ctx, change)
		ctx.lend = function(argv)
			ctx.argv = argv
			local path = argv[#argv]
			local st = require("opsh.c.sys").stat(path)
			eq(st.mode & 511, 384)		-- 0600
			if change then
				local file <close> = assert(io.open(path, "w"))
				file:write(change)
			end
			return setmetatable({ wait = function()
				return { status = ctx.status or 0, pid = 1 }
			end }, { __close = function() end })
		end
	end
	it("runs what was saved, and leaves no file", function()
		local ctx = repl.ctx()
		ctx.entries = { "0", "1 + 1", ":edit" }
		editor(ctx, "2 + 2\n\n")
		ctx.run ":edit"
		eq(ctx.next_entry, "2 + 2")
		eq(io.open(ctx.argv[#ctx.argv]), nil)
	end)
	it("runs nothing when nothing was changed, or the editor failed", function()
		local ctx = repl.ctx()
		ctx.entries = { "1 + 1" }
		editor(ctx)
		eq(ctx.run ":edit", "nothing has changed, nothing is run\n")
		editor(ctx, "")
		eq(ctx.run ":edit new", "nothing has changed, nothing is run\n")
		ctx.status = 1
		raises("ended with exit status 1", ctx.run, ":edit")
		raises("'new' or nothing", ctx.run, ":edit old")
		eq(io.open(ctx.argv[#ctx.argv]), nil)
	end)
end)

describe("a session", function()
	it("is put back as it was by this spec", function()
		local before = session.clients
		repl.with({ "x=http://127.0.0.1:1" }, {}, function() end)
		eq(session.clients, before)
	end)
end)
