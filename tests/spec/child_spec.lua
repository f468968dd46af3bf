-- child_spec: programs that the runner asks: output, exit, limits, deadline. The
-- programs are the system's own (sh, cat, sleep). Owns no process: each has ended
-- when its case has.
local child = require "opsh.c.child"
local task = require "opsh.task"
local secret = require "opsh.secret"

describe("child.run", function()
	it("gives stdout and status", function()
		eq(child.run { "printf", "%s", "a b" }, { status = 0, stdout = "a b",
			stderr = "" })
		eq(child.run({ "sh", "-c", "echo x; exit 3" }, { timeout = 5 }),
			{ status = 3, stdout = "x\n", stderr = "" })
		eq(child.run { "sh", "-c", "kill -9 $$" }, { signal = 9, stdout = "",
			stderr = "" })
	end)
	it("has no input and none of our descriptors", function()
		eq(child.run({ "cat" }).stdout, "")
		eq(child.run({ "sh", "-c", "ls /proc/self/fd | wc -l" }).stdout:gsub(
			"%s", ""), "4")
	end)
	it("keeps the beginning of stderr, and drains the rest", function()
		local r = child.run { "sh", "-c",
			"echo why >&2; echo out; yes | head -c 200000 >&2; exit 1" }
		eq(r.status, 1)
		eq(r.stdout, "out\n")
		eq(#r.stderr, 1024)
		eq(r.stderr:sub(1, 6), "why\ny\n")
	end)
	it("returns though a grandchild holds stderr", function()
		local began = task.now()
		eq(child.run({ "sh", "-c", "exec >&-; sleep 20 & echo x >&2" }).stderr,
			"x\n")
		ok(task.now() - began < 2)
	end, { plain = true })
	it("says what can't be started", function()
		local e = raises("io", child.run, { "no-such-program-here" })
		ok(e.message:find("no-such-program-here", 1, true))
	end)
	it("refuses more than max, and misuse", function()
		raises("limit", child.run, { "sh", "-c", "yes | head -c 100000" },
			{ max = 1000 })
		raises("unknown option", child.run, { "true" }, { maximum = 1 })
		raises("a program", child.run, {})
	end)
	it("ends the group at the deadline, and returns", function()
		local began = task.now()
		local e = raises("timeout", child.run,
			{ "sh", "-c", "sleep 30 & sleep 30" }, { timeout = 0.2 })
		ok(e.message:find "did not end within 0.2 s")
		ok(task.now() - began < 1.5)
	end, { plain = true })
	it("returns though a grandchild holds the pipe", function()
		local began = task.now()
		eq(child.run({ "sh", "-c", "sleep 20 & echo x" }).stdout, "x\n")
		ok(task.now() - began < 2)
	end, { plain = true })
	it("is cancelled with its task", function()
		local h = task.spawn(child.run, { "sleep", "30" })
		task.sleep(0.05)
		h:cancel()
		raises("cancelled", h.wait, h)
	end)
end)

describe("secret.command", function()
	it("takes what a program prints", function()
		local s = secret.command { "printf", "%s\n", "from-a-program-1" }
		eq(tostring(s), "[secret printf]")
		eq(tostring(secret.resolve(s)), "[secret printf]")
		eq(require("opsh.c.effect").mask "x from-a-program-1 y", "x [secret] y")
	end)
	it("refuses a program that fails", function()
		local e = raises("config", secret.resolve,
			secret.command { "sh", "-c", "echo secretsecret; exit 4" })
		ok(e.message:find "exit status 4")
		ok(not e.message:find "secretsecret")
	end)
	it("tells the first line of what the program said", function()
		local e = raises("config", secret.resolve, secret.command { "sh", "-c",
			"printf 'no key \\033[31m\\nsecond line\\n' >&2; exit 2" })
		eq(e.message, "secret command 'sh' failed: exit status 2: "
			.. "no key \27[31m")
	end)
end)
