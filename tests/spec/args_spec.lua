-- Specs of run.args: the command line: global options, commands and theirs, what
-- is said of a wrong one, and the help texts. Pure: no file, no target. Owns
-- nothing.
local args = require "run.args"

local COMMANDS = {
	run = { summary = "runs", usage = "PLAYBOOK", options = {} },
	targets = { summary = "lists", options = {
		{ name = "connect", help = "connects" },
		{ name = "limit", arg = "N", help = "at most",
		  convert = function(s) return math.tointeger(tonumber(s)), "an integer" end },
	} },
}

local function parse(...)
	return args.parse({ ... }, COMMANDS)
end

local function refused(...)
	local list = { ... }
	return raises("usage", function() args.parse(list, COMMANDS) end).message
end

describe("args.parse", function()
	it("takes global options before and after the command", function()
		local p = parse("--targets", "a.lua", "run", "x", "--approve", "cache",
			"k=v", "--approve=db", "--output=jsonl", "--write")
		eq(p.command, "run")
		eq(p.globals, { targets = "a.lua", approve = { "cache", "db" },
			output = "jsonl", write = true })
		eq(p.args[1], "x")
		eq(p.args[2], "k=v")
		eq(#p.args, 2)
	end)

	it("gives a command its own options", function()
		local p = parse("targets", "--connect", "--limit", "5")
		eq(p.args.options, { connect = true, limit = 5 })
		eq(p.globals, {})
		ok(refused("run", "--connect"):find("unknown option", 1, true))
		ok(refused("targets", "--limit=x"):find("expected an integer", 1, true))
	end)

	it("ends options at --", function()
		local p = parse("run", "x", "--", "--write", "-5")
		eq({ p.args[2], p.args[3] }, { "--write", "-5" })
		eq(p.globals.write, nil)
	end)

	it("takes code, and then arguments", function()
		local p = parse("-e", "x = 1", "-e", "y = 2", "one")
		eq(p.globals.e, { "x = 1", "y = 2" })
		eq(p.command, nil)
		eq(p.args[1], "one")
	end)

	it("knows neither command nor option: nothing", function()
		eq(parse(), { globals = {}, args = { options = {} } })
	end)

	it("reads help, version and durations", function()
		eq(parse("-h").globals.help, true)
		eq(parse("run", "--help").globals.help, true)
		eq(parse("--version").globals.version, true)
		eq(parse("--timeout", "10m").globals.timeout, 600)
		eq(parse("--detailed-exitcode").globals.detailed_exitcode, true)
	end)

	it("says what is wrong, and what is near", function()
		eq(refused("--wirte"),
			"unknown option '--wirte' (did you mean '--write'?)")
		eq(refused("rnu"), "unknown command 'rnu' (did you mean 'run'?)")
		ok(refused("--targets"):find("needs a value: FILE", 1, true))
		ok(refused("--write=yes"):find("takes no value", 1, true))
		ok(refused("--output", "xml"):find("text, jsonl", 1, true))
		ok(refused("--timeout", "0"):find("seconds above 0", 1, true))
		ok(refused("--timeout", "-1"):find("seconds above 0", 1, true))
		ok(refused("--target", "x"):find("NAME=VALUE", 1, true))
		ok(refused("--targets=a", "--targets=b"):find("twice", 1, true))
		ok(refused("-x"):find("unknown option '-x'", 1, true))
	end)

	it("takes an empty value and a lone dash as they are", function()
		eq(parse("--targets=", "run").globals.targets, "")
		eq(parse("run", "-").args[1], "-")
	end)
end)

describe("args.help", function()
	it("shows the command's options and the global ones", function()
		local text = args.help("targets", COMMANDS.targets)
		ok(text:find("usage: opsh targets", 1, true))
		ok(text:find("--limit N", 1, true))
		ok(text:find("--approve TARGET", 1, true))
	end)

	it("lists the commands", function()
		local text = args.overview { { "run", COMMANDS.run } }
		ok(text:find("run  runs", 1, true))
		ok(text:find("-e CODE", 1, true))
		ok(text:find("-h, --help", 1, true))
	end)
end)
