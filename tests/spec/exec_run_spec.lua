-- exec_run_spec: opsh.c.exec.run with the system's own programs: what comes back,
-- what is refused, environment, input and output, limits, ends. Each program has
-- ended when its case has.
local exec = require "opsh.c.exec"
local target = require "opsh.c.target"
local task = require "opsh.task"
local secret = require "opsh.secret"

local host = target.host()

local function read(argv, opts)
	opts = opts or {}
	opts.class = opts.class or "read"
	return exec.run(host, { argv }, opts)
end

local function sh(text, opts) return read({ "sh", "-c", text }, opts) end

describe("exec.run", function()
	it("gives output, status and time", function()
		local r = sh "printf out; printf err >&2"
		eq(r.stdout, "out")
		eq(r.stderr, "err")
		eq(r.status, 0)
		eq(r.statuses, { 0 })
		eq(r.signal, nil)
		ok(r.seconds >= 0 and r.seconds < 10)
	end)
	it("raises what is not accepted, with all that is known", function()
		local e = raises("server", sh, "echo some; echo 'no such thing' >&2; exit 3")
		eq(e.code, "3")
		eq(e.message, "'sh' ended with status 3: no such thing")
		eq(e.status, 3)
		eq(e.stdout, "some\n")
		eq(e.stderr, "no such thing\n")
		eq(e.target, "local")
		eq(e.op, "sh")
		eq(e.outcome, "failed")
		eq(sh("exit 3", { accept = { 0, 3 } }).status, 3)
		eq(sh("exit 3", { accept = 3 }).status, 3)
		eq(sh("exit 77", { accept = true }).status, 77)
		raises("server", sh, "exit 0", { accept = { 1 } })
	end)
	it("names the signal that ended it", function()
		local e = raises("server", sh, "kill -9 $$")
		eq(e.code, "SIGKILL")
		eq(e.signal, "SIGKILL")
		eq(e.status, nil)
		eq(e.statuses, { "SIGKILL" })
	end)
	it("knows a clean environment, and what is given", function()
		local r = read({ "env" }, { env = { A = "b c", EMPTY = "",
			TOKEN = secret.value("a-secret-of-env", "token"), TERM = false } })
		local seen = {}
		for name, value in r.stdout:gmatch "([^\n=]+)=([^\n]*)" do
			seen[name] = value
		end
		eq(seen.A, "b c")
		eq(seen.EMPTY, "")
		eq(seen.TOKEN, "a-secret-of-env")
		eq(seen.TERM, nil)
		eq(seen.PWD, nil)
		eq(seen.OPSH_SPEC_MODE, nil)
		ok(seen.PATH)
		r = read({ "env" }, { inherit = { "PWD", "PATH" } })
		ok(r.stdout:find "PWD=")
		eq(select(2, r.stdout:gsub("%f[^\n\0]PATH=", "")), 1)
		ok(read({ "env" }, { inherit = true }).stdout:find "PWD=")
	end)
	it("starts in cwd", function()
		eq(read({ "pwd" }, { cwd = "/usr" }).stdout, "/usr\n")
		raises("io", read, { "pwd" }, { cwd = "/no/such/folder" })
		raises("io", read, { "pwd" }, { cwd = "/etc/passwd" })
	end)
	it("ends at the deadline, and says how", function()
		local began = task.now()
		local e = raises("timeout", sh, "sleep 30 & sleep 30", { timeout = 0.2 })
		eq(e.message, "'sh' did not end within 0.2 s: it was ended by TERM")
		ok(task.now() - began < 1)
		e = raises("timeout", sh, "trap '' TERM; echo x; sleep 30 & sleep 30 & wait",
			{ timeout = 0.2, kill_after = 0.2 })
		eq(e.message, "'sh' did not end within 0.2 s: it was killed (KILL) 0.2 s "
			.. "after TERM")
		eq(e.stdout, "x\n")
		ok(task.now() - began < 2.5)
	end, { plain = true })
	it("takes only what it knows", function()
		raises("unknown option", read, { "true" }, { stduot = "x" })
		raises("usage", exec.run, host, {}, {})
		raises("usage", exec.run, host, { {} }, {})
		raises("usage", exec.run, host, { { 1 } }, {})
		raises("usage", read, { "true", "a\0b" })
		raises("usage", read, { "true" }, { class = "reed" })
		raises("usage", read, { "true" }, { timeout = 0 })
		raises("usage", read, { "true" }, { stdin = 5 })
		raises("usage", read, { "true" }, { accept = { 256 } })
		raises("usage", read, { "true" }, { env = { ["a=b"] = "c" } })
	end)
end)
