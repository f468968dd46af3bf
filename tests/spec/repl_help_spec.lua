-- Specs of repl.help: what help(x) says of values and of topics, from the same
-- documentation as hints, and what it says when there is nothing of that name. Owns
-- no target.
local err = require "opsh.c.err"
local help = require "repl.help"

-- It is Lua alone, much of it: with the collector at every step it takes minutes.
local PLAIN = { plain = true }

local TARGETS = { cache = { name = "cache", kind = "redis",
	address = "redis://127.0.0.1:1/0", role = "master" } }

local function context(env)
	local shown = {}
	return { env = env or {}, dirs = { "playbooks" },
		config = function() return { targets = TARGETS } end,
		out = function(text) shown[#shown + 1] = text end }, shown
end

local function said(value, env)
	local ctx, shown = context(env)
	help.new(ctx)(value)
	return table.concat(shown)
end

local function has(text, ...)
	for _, part in ipairs { ... } do
		ok(text:find(part, 1, true), ("'%s' is not in:\n%s"):format(part, text))
	end
end

describe("help of values", function()
	it("says what functions and modules of opsh do", function()
		has(said(require("opsh.fs").hash), "fs.hash(path, algorithm?, opts?)",
			"The checksum of a file", '"sha256"', "timeout?", "returns string")
		has(said(require "opsh.timer"), "opsh.timer", "every(seconds, opts?)",
			"guide: help \"tasks\"")
		has(said(require("opsh.task").spawn), "task.spawn(f, ...)")
		has(said(require("opsh.prometheus").of), "prometheus.of(client)")
		local string = { rep = string.rep }
		has(said(string.rep, { string = string }), "string.rep(s, n, sep?)")
	end, PLAIN)

	it("says what errors mean and what to do", function()
		local e = err.new { kind = "timeout", message = "no answer in 10 s",
			target = "cache", outcome = "unknown", hint = "is it up?" }
		has(said(e), "no answer in 10 s", "target   cache", "hint     is it up?",
			"a deadline passed", "look at the target")
	end, PLAIN)

	it("says of a target its kind, its state and its methods", function()
		local client = setmetatable({}, { __index = error })
		local ctx, shown = context { cache = client }
		ctx.target_of = function(v)
			return rawequal(v, client) and TARGETS.cache or nil
		end
		help.new(ctx)(client)
		has(shown[1], "cache: a target of kind redis at redis://127.0.0.1:1/0, "
			.. "role master, not connected yet", "scan(opts?)",
			'guide: help "redis"')
	end, PLAIN)

	it("says of any other value what it is, and runs nothing of it", function()
		has(said(42), "a integer: 42")
		has(said(true), "a boolean: true")
		has(said(nil), "a nil: nil")
		has(said { 1, 2, x = 3 }, "a table with 3 keys")
		has(said(function(a, b, ...) return a, b, ... end), "function(a, b, ...)",
			"repl_help_spec.lua:")
		local function boom() error "ran" end
		has(said(setmetatable({ 1 }, { __index = boom, __tostring = boom,
			__pairs = boom, __len = boom, __name = "x", __call = boom })),
			"a table with 1 key")
		has(said(setmetatable({}, { __name = "opsh.fs.tmpdir" })),
			"opsh.fs.tmpdir", "close()")
	end, PLAIN)
end)

describe("help of topics", function()
	it("finds functions, targets, playbooks, commands, guides", function()
		has(said "fs.read", "fs.read(path, opts?)")
		has(said "cache:scan", "cache:scan(opts?)", "match?")
		has(said "cache", "a target of kind redis")
		has(said "redis/cache-flush", "Remove cached entries", "pattern")
		has(said ":run", "usage: :run PLAYBOOK")
		has(said "errors", "# Errors and exit codes")
		has(said "sh", "# Processes")
		has(said "guard", "guard(client, opts)")
		has(said "opsh.git", "opsh.git", "of(")
		has(said "opsh.git.of", "opsh.git.of(")
		has(said "exit-codes", "TERM")
		has(said "string", "format(fmt, ...)")
		has(said "CONFIG GET", "CONFIG GET pattern", "cache:config_get")
		has(said "cache:expire", "EXPIRE key seconds")
		has(said "withheld", "plan needs", "withheld")
	end, PLAIN)

	it("says where a word is found, and what is near one that is not", function()
		has(said "cache-flu", 'help "redis/cache-flush"')
		local e = raises("usage", said, "tineout")
		ok(tostring(e):find("did you mean 'timeout'", 1, true), e)
		raises("usage", said, "")
		raises("usage", said, "qqqqqqqqqqqq")
	end, PLAIN)

	it("is an overview when it is shown or called with nothing", function()
		local ctx, shown = context()
		local own = help.new(ctx)
		own()
		has(shown[1], "help(x)", "cache", "guides")
		has(getmetatable(own).__show(), "help(x)")
		has(tostring(own), "help(x)")
		ok(help.topic(ctx, "errors"):find "^# Errors")
	end, PLAIN)
end)
