-- sh_spec: opsh.sh as playbooks use it, with the system's own programs; writes
-- go to the journal of a run of its own. Each program has ended when its case
-- has.
local sh = require "opsh.sh"
local secret = require "opsh.secret"
local journal = dofile "tests/lib/journal.lua"

describe("sh.run", function()
	it("takes arguments and options in one table", function()
		local r = sh.run { "printf", "%s|", "a b", "$(id)", effect = "read" }
		eq(r.stdout, "a b|$(id)|")
		eq(r.ok, nil)
		raises("unknown option 'colour' of sh.run", sh.run,
			{ "true", colour = true })
		raises("usage", sh.run, "true")
		raises("usage", sh.run, {})
	end)
	it("asks a lazy secret for its value only here", function()
		eq(sh.run { "sh", "-c", "echo $TOKEN", effect = "read",
			env = { TOKEN = secret.command { "printf", "lazy-token-value" } } }
			.stdout, "lazy-token-value\n")
	end)
	it("is a write unless it is declared a read", function()
		local records = journal.run("write", function()
			local r = sh.run { "true" }
			eq(r.ok, true)
			eq(r.status, 0)
		end)
		eq(records[1].type, "intent")
		eq(records[1].verb, "true")
		eq(records[1].request, "true")
		eq(records[2].outcome, "done")
	end)
end)

describe("sh.pipe", function()
	it("joins argv lists", function()
		local r = sh.pipe { { "printf", "b\\na\\n" }, { "sort" }, { "head", "-n",
			"1" }, effect = "read" }
		eq(r.stdout, "a\n")
		eq(r.statuses, { 0, 0, 0 })
	end)
end)

describe("sh.shell", function()
	it("is destructive unless it says less", function()
		eq(sh.shell("echo $((1 + 2)) | cat", { effect = "read" }).stdout, "3\n")
		local e
		journal.run("write", function() e = raises("guard", sh.shell, "true") end)
		eq(e.op, "shell")
		raises("usage", sh.shell, { "true" })
	end)
end)

describe("sh.which", function()
	it("finds programs by PATH", function()
		ok(sh.which "sh":find "^/.*/sh$")
		eq(sh.which "no-such-program-here", nil)
	end)
end)

describe("sh.lines", function()
	it("gives lines as they come, and ends with the loop", function()
		local seen = {}
		for line in sh.lines { "printf", "a\\n\\nb", effect = "read" } do
			seen[#seen + 1] = line
		end
		eq(seen, { "a", "", "b" })
		local n = 0
		for line in sh.lines { "yes", effect = "read" } do
			eq(line, "y")
			n = n + 1
			if n == 3 then break end
		end
	end)
end)

describe("sh.start", function()
	it("gives a process to talk with", function()
		local p <close> = sh.start { "cat", stdin = true, effect = "read" }
		p:write "one\n"
		local next_line = p:lines()
		eq(next_line(p), "one")
		p:close_stdin()
		eq(p:wait().status, 0)
	end)
end)
