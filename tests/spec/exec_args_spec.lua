-- exec_args_spec: what reaches a child: arguments byte for byte, secrets never;
-- how a program is found, and what is said when it can't be; what is on record.
-- Each program has ended when its case has.
local exec = require "opsh.c.exec"
local target = require "opsh.c.target"
local secret = require "opsh.secret"
local journal = dofile "tests/lib/journal.lua"

local host = target.host()

local function read(argv, opts)
	opts = opts or {}
	opts.class = "read"
	return exec.run(host, { argv }, opts)
end

-- The arguments that a child got: it prints its own command line.
local function got(argv)
	local r = read { "sh", "-c", "cat /proc/$$/cmdline; :", table.unpack(argv) }
	local out = {}
	for s in r.stdout:gmatch "([^\0]*)\0" do out[#out + 1] = s end
	return { table.unpack(out, 4) }
end

local PIECES = { " ", "  ", "'", '"', "\\", "$(id)", "`id`", "$HOME", "\n", "\r\n",
	"\t", "-", "--", "-rf", "*", "?", "[a]", "~", "!", "#", ";", "&&", "|", ">f",
	"<", "{a,b}", "%s", "%n", "\27[31m", "\1", "\127", "\xff", "\xc3\xa9",
	"\xe2\x80\xae", "a", "B", "0", "=", "", "x y", "''", '""', "\\n", "$'x'" }

-- A generator of its own: the same lines in each run.
local state = 20260711
local function random(n)
	state = (state * 6364136223846793005 + 1442695040888963407)
	return (state >> 33) % n + 1
end

local function word()
	local parts = {}
	for n = 1, random(6) - 1 do parts[n] = PIECES[random(#PIECES)] end
	return table.concat(parts)
end

local function line()
	local words = {}
	for n = 1, random(8) do words[n] = word() end
	return words
end

local function temp(text, mode)
	local path = os.tmpname()
	local f = assert(io.open(path, "w"))
	f:write(text)
	f:close()
	os.execute(("chmod %s '%s'"):format(mode, path))
	return path
end

describe("exec.run arguments", function()
	it("reach the child byte for byte", function()
		for _ = 1, 5 do
			local words = line()
			eq(got(words), words)
		end
		eq(got { "", "-x", "--", "a\nb", "$(touch /tmp/no)", "'\"" },
			{ "", "-x", "--", "a\nb", "$(touch /tmp/no)", "'\"" })
	end)
	-- a child that writes its own arguments, each ended by NUL, for each of the
	-- 10,000 command lines
	it("reach 10,000 children byte for byte", function()
		for _ = 1, 10000 do
			local words = line()
			local r = read { "printf", "%s\\0", table.unpack(words) }
			if r.stdout ~= table.concat(words, "\0") .. "\0" then
				eq(r.stdout, table.concat(words, "\0") .. "\0")
			end
		end
	end, { plain = true })
	it("may be many and long", function()
		local words = {}
		for n = 1, 2000 do words[n] = ("w"):rep(20) .. n end
		eq(got(words), words)
		local e = raises("io", read, { "true", ("x"):rep(200000) })
		eq(e.code, "E2BIG")
	end)
end)

describe("exec.run secrets", function()
	local value = "s3cret-of-args-4711"
	local s = secret.value(value, "args")

	it("are refused as arguments", function()
		local e = raises("refused", read, { "true", "-p", s })
		eq(e.code, "SECRET")
		eq(e.message, "argument 2 of 'true' holds a secret: everybody on the "
			.. "machine can read arguments")
		eq(e.hint, "pass it by env or stdin")
		e = raises("refused", read, { "true", secret.env "NO_SUCH_VARIABLE" })
		eq(e.code, "SECRET")	-- also when it was not asked for yet
		e = raises("refused", read, { "true", "-p" .. value })
		ok(not tostring(e):find(value, 1, true))
		raises("refused", read, { "true", ("aHR0cDov%s"):format(value) })
		raises("refused", exec.run, host, { { "true" }, { "cat", value } },
			{ class = "read" })
		raises("refused", exec.start, host, { "cat", value })
	end)
	it("pass by environment and stdin, and show nowhere", function()
		local records = journal.run("write", function()
			local r = exec.run(host, { { "sh", "-c", [[
				cat /proc/$$/cmdline /proc/$PPID/cmdline; echo MARK; echo $TOKEN
				cat; echo "$TOKEN" >&2]] } }, { env = { TOKEN = s }, stdin = s })
			local shown, rest = r.stdout:match "^(.*)MARK\n(.*)"
			ok(shown:find "cat /proc" and not shown:find(value, 1, true))
			eq(rest, value .. "\n" .. value)
			local e = raises("server", exec.run, host, { { "sh", "-c",
				"echo \"bad $TOKEN\" >&2; exit 1" } }, { env = { TOKEN = s },
				cwd = "/" })
			eq(e.message, "'sh' ended with status 1: bad [secret]")
		end)
		ok(#records >= 4)
		ok(not records.text:find(value, 1, true))
		ok(records.text:find("bad [secret]", 1, true))
	end)
	it("are masked in errors also where the text is cut", function()
		local e = raises("server", read, { "sh", "-c",
			"printf '%0290d' 0 >&2; echo $TOKEN >&2; exit 1" },
			{ env = { TOKEN = s } })
		for n = 4, #value do
			ok(not e.message:find(value:sub(1, n), 1, true))
		end
	end)
end)

describe("exec.run finds programs", function()
	it("by PATH, and says where it looked", function()
		local e = raises("io", read, { "no-such-program" },
			{ env = { PATH = "/usr/bin:/bin" } })
		eq(e.code, "ENOENT")
		eq(e.outcome, "failed")
		eq(e.message, "cannot find the program 'no-such-program' (PATH searched: "
			.. "/usr/bin:/bin)")
		e = raises("io", read, { "/no/such/file" })
		eq(e.message, "cannot start '/no/such/file': no such file")
		-- the current folder is in no PATH, nor is what is relative
		raises("io", read, { "run.sh" }, { env = { PATH = ":.:tests/unit" } })
		eq(exec.which("sh", "/bin:/usr/bin"), "/bin/sh")
		eq(exec.which("sh", "/etc"), nil)
		eq(exec.which "/bin/sh", "/bin/sh")
		eq(exec.which "/etc/passwd", nil)
		eq(exec.which "", nil)
	end)
	it("says what may not be executed", function()
		local path = temp("#!/bin/sh\necho x\n", "644")
		local dir, name = path:match "^(.*)/([^/]+)$"
		local e = raises("io", read, { path })
		eq(e.code, "EACCES")
		e = raises("io", read, { name }, { env = { PATH = dir } })
		eq(e.code, "EACCES")
		ok(e.message:find("searched " .. dir, 1, true))
		eq(raises("io", read, { "/usr" }).code, "EACCES")
		os.remove(path)
	end)
	it("says what is no program", function()
		local path = temp("\127ELF no\n", "755")
		local e = raises("io", read, { path })
		eq(e.code, "ENOEXEC")
		os.remove(path)
		path = temp("#!/no/such/interpreter\n", "755")
		e = raises("io", read, { path })
		eq(e.code, "ENOENT")
		ok(e.message:find "interpreter")
		os.remove(path)
	end)
	it("is not started when it is another file than the one that was found",
		function()
		-- where its output goes it is emptied, between the two
		local path = temp("#!/bin/sh\necho x\n", "755")
		local records = journal.run("write", function()
			local e = raises("changed", exec.run, host, { { path } }, {
				class = "write", stdout = { file = path } })
			eq(e.code, "REPLACED")
			ok(e.message:find(path, 1, true))
		end)
		eq(records[2].outcome, "failed")
		os.remove(path)
	end)
	it("relative to cwd when its name says so", function()
		eq(read({ "./sh", "-c", "pwd" }, { cwd = "/usr/bin" }).stdout, "/usr/bin\n")
		raises("io", read, { "./sh", "-c", "pwd" }, { cwd = "/etc" })
	end)
end)

describe("exec.run records", function()
	it("the command as a shell would take it", function()
		local records = journal.run("write", function()
			exec.run(host, { { "printf", "%s", "a b", "it's", "" }, { "cat" } },
				{ cwd = "/usr", stdin = { file = "/dev/null" },
				stderr = { file = "/dev/null", append = true } })
			exec.run(host, { { "true" } }, { verb = "up", request = "all of it",
				timeout = 7 })
		end)
		eq(records[1].type, "intent")
		eq(records[1].verb, "cat")
		eq(records[1].class, "write")
		eq(records[1].target, "local")
		eq(records[1].request, [[cd /usr && printf %s 'a b' 'it'\''s' '' | cat]]
			.. " < /dev/null 2>> /dev/null")
		eq(records[2].outcome, "done")
		eq(records[3].verb, "up")
		eq(records[3].request, "all of it")
		eq(records[3].timeout, 7)
	end)
	it("what became of it", function()
		local records = journal.run("write", function()
			raises("server", exec.run, host, { { "false" } })
			raises("server", exec.run, host, { { "sh", "-c", "kill -9 $$" } })
			raises("timeout", exec.run, host, { { "sleep", "30" } },
				{ timeout = 0.05 })
			raises("timeout", exec.run, host, { { "sleep", "30" } },
				{ timeout = 0.05, class = "read" })
			raises("io", exec.run, host, { { "true" } },
				{ stdin = { file = "/no/such" } })
		end)
		local seen = {}
		for _, r in ipairs(records) do
			if r.outcome then seen[#seen + 1] = r.outcome end
		end
		eq(seen, { "failed", "unknown", "unknown", "failed", "failed" })
	end)
	it("a doubt where the program says so", function()
		local function say(text, opts)
			opts.doubt = { "no such", "unexpected EOF" }
			return raises("server", exec.run, host,
				{ { "sh", "-c", "echo '" .. text .. "' >&2; exit 1" } }, opts)
		end
		local records = journal.run("write", function()
			eq(say("lost: unexpected EOF", {}).outcome, "unknown")
			eq(say("lost: EOF", {}).outcome, "failed")
			eq(say("lost: unexpected EOF", { class = "read" }).outcome, "failed")
		end)
		eq(records[2].outcome, "unknown")
		raises("usage", exec.run, host, { { "true" } }, { doubt = { "" } })
		raises("usage", exec.run, host, { { "true" } }, { doubt = "EOF" })
	end)
	it("nothing of what a mode forbids", function()
		local path = os.tmpname()
		os.remove(path)
		local records = journal.run("read", function()
			raises("refused", exec.run, host, { { "touch", path } })
			eq(exec.run(host, { { "echo" } }, { class = "read" }).stdout, "\n")
			raises("refused", exec.run, host, { { "echo" } }, { class = "read",
				stdout = { file = path } })
		end)
		eq(records[1].type, "refused")
		records = journal.run("plan", function()
			local r = exec.run(host, { { "touch", path } })
			raises("withheld", function() return r.status end)
			eq(exec.run(host, { { "touch", path } },
				{ expect = { status = 0 } }).status, 0)
			tostring(exec.start(host, { "touch", path }))
			exec.run(host, { { "echo" } }, { stdout = { file = path } })
		end)
		for n = 1, 4 do eq(records[n].outcome, "withheld") end
		eq(io.open(path), nil)
		journal.run("write", function()
			raises("guard", exec.run, host, { { "touch", path } },
				{ class = "destructive" })
		end)
		eq(io.open(path), nil)
	end)
end)
