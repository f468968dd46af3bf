-- exec_io_spec: input and output of programs: strings, files, functions, pipelines,
-- limits, what is shown live, lines with back-pressure, processes that go on. Each
-- program has ended when its case has.
local exec = require "opsh.c.exec"
local target = require "opsh.c.target"
local task = require "opsh.task"
local journal = dofile "tests/lib/journal.lua"

local host = target.host()

local function read(argv, opts)
	opts = opts or {}
	opts.class = opts.class or "read"
	return exec.run(host, { argv }, opts)
end

local function sh(text, opts) return read({ "sh", "-c", text }, opts) end

local function start(argv, opts)
	opts = opts or {}
	opts.class = opts.class or "read"
	return exec.start(host, argv, opts)
end

local function file_of(text)
	local path = os.tmpname()
	local f = assert(io.open(path, "w"))
	f:write(text)
	f:close()
	return path
end

local function text_of(path)
	local f = assert(io.open(path))
	local text = f:read "a"
	f:close()
	return text
end

describe("exec.run stdin", function()
	it("is empty unless it is given", function()
		eq(read({ "cat" }).stdout, "")
		eq(sh("tty; test -t 0 || echo none").stdout, "not a tty\nnone\n")
	end)
	it("is a string, also a long one", function()
		eq(read({ "cat" }, { stdin = "" }).stdout, "")
		eq(read({ "cat" }, { stdin = "a\0b\n" }).stdout, "a\0b\n")
		local long = ("0123456789abcdef"):rep(20000)
		ok(read({ "cat" }, { stdin = long }).stdout == long)
	end)
	it("is a file", function()
		local path = file_of "from a file\n"
		eq(read({ "cat" }, { stdin = { file = path } }).stdout, "from a file\n")
		os.remove(path)
		local e = raises("io", read, { "cat" }, { stdin = { file = path } })
		ok(e.message:find("cannot open '" .. path, 1, true))
	end)
	it("comes from a function, which may wait", function()
		local n = 0
		local r = read({ "cat" }, { stdin = function()
			n = n + 1
			if n == 2 then task.sleep(0.01) end
			if n <= 3 then return ("%d\n"):format(n) end
		end })
		eq(r.stdout, "1\n2\n3\n")
		n = 0
		r = read({ "wc", "-c" }, { stdin = function()
			n = n + 1
			if n <= 40 then return ("x"):rep(10000) end
		end })
		eq(r.stdout, "400000\n")
	end)
	it("ends the program when its function fails", function()
		local began = task.now()
		raises("no more", read, { "sleep", "30" }, { stdin = function()
			error "no more"
		end })
		raises("usage", read, { "sleep", "30" }, { stdin = function()
			return 7
		end })
		ok(task.now() - began < 5)
	end)
	it("that nobody reads is no error", function()
		local long = ("x"):rep(1000000)
		eq(read({ "true" }, { stdin = long }).status, 0)
		eq(read({ "head", "-c", "3" }, { stdin = long }).stdout, "xxx")
		eq(read({ "true" }, { stdin = function() return long end }).status, 0)
		raises("timeout", read, { "sleep", "30" }, { stdin = long,
			timeout = 0.1 })
	end)
end)

describe("exec.run output", function()
	it("may go to files, made for us alone", function()
		local path = os.tmpname()
		os.remove(path)
		journal.run("write", function()
			local r = sh("echo out; echo err >&2", { stdout = { file = path } })
			eq(r.stdout, "")
			eq(r.stderr, "err\n")
			eq(r.ok, true)		-- a file is a write
			eq(text_of(path), "out\n")
			eq(sh("stat -c %a " .. path).stdout, "600\n")
			sh("echo more", { stdout = { file = path, append = true } })
			eq(text_of(path), "out\nmore\n")
			sh("echo new; echo bad >&2", { stdout = { file = path },
				stderr = "stdout" })
			eq(text_of(path), "new\nbad\n")
			sh("echo e >&2", { stderr = { file = path } })
			eq(text_of(path), "e\n")
			raises("io", sh, "echo", { stdout = { file = "/no/such/file" } })
		end)
		os.remove(path)
	end)
	it("may be joined", function()
		local r = sh("echo a; echo b >&2; echo c", { stderr = "stdout" })
		eq(r.stdout, "a\nb\nc\n")
		eq(r.stderr, "")
	end)
	it("has a limit", function()
		eq(sh("printf 12345", { max = 5 }).stdout, "12345")
		local e = raises("limit", sh, "printf 123456", { max = 5 })
		eq(e.message, "'sh' wrote more than 5 bytes to stdout (option 'max')")
		eq(e.stdout, "12345")
		e = raises("limit", sh, "printf 123456 >&2", { max = 5 })
		ok(e.message:find "stderr")
		local began = task.now()
		raises("limit", read, { "yes" }, { max = 100000 })
		ok(task.now() - began < 5)
	end)
	it("of a write is drained, so that what became of it is known", function()
		local records = journal.run("write", function()
			local e = raises("limit", sh, "yes | head -c 300000; echo end >&2",
				{ class = "write", max = 1000 })
			eq(e.outcome, "done")
			eq(e.stderr, "end\n")
			eq(#e.stdout, 1000)
		end)
		eq(records[2].outcome, "done")
		eq(records[2].bytes, 300000)
	end)
	it("ends though somebody holds the pipe", function()
		local began = task.now()
		eq(sh("sleep 20 & echo x", { kill_after = 0.1 }).stdout, "x\n")
		eq(sh("setsid sleep 2 & echo y", { kill_after = 0.1 }).stdout, "y\n")
		ok(task.now() - began < 2)
	end, { plain = true })
	it("is shown live, masked as all output is", function()
		local term = require "opsh.c.term"
		local real, shown = term.write, {}
		term.write = function(fd, text)
			eq(fd, 2)
			task.sleep(0)
			shown[#shown + 1] = text
		end
		local r = sh("echo one; echo two >&2; printf part", { live = true })
		term.write = real
		eq(r.stdout, "one\npart")
		local all = table.concat(shown)
		ok(all:find "one\n" and all:find "two\n" and all:find "part\n")
	end)
end)

describe("exec.run pipelines", function()
	local function pipe(commands, opts)
		opts = opts or {}
		opts.class = "read"
		return exec.run(host, commands, opts)
	end
	it("are joined by the kernel", function()
		local r = pipe({ { "cat" }, { "tr", "a-z", "A-Z" }, { "rev" } },
			{ stdin = "abc\n" })
		eq(r.stdout, "CBA\n")
		eq(r.statuses, { 0, 0, 0 })
	end)
	it("fail with the first that fails", function()
		local e = raises("server", pipe, { { "sh", "-c", "echo why >&2; exit 3" },
			{ "sh", "-c", "cat; exit 4" } })
		eq(e.code, "3")
		eq(e.statuses, { 3, 4 })
		eq(e.message, "'sh' (1 of 2) ended with status 3: why")
		e = raises("server", pipe, { { "true" }, { "false" } })
		eq(e.message, "'false' (2 of 2) ended with status 1")
		eq(pipe({ { "false" }, { "cat" } }, { accept = { 0, 1 } }).statuses,
			{ 1, 0 })
	end)
	it("may stop reading early", function()
		local r = pipe { { "yes" }, { "head", "-n", "2" } }
		eq(r.stdout, "y\ny\n")
		eq(r.status, 0)
		eq(r.statuses, { "SIGPIPE", 0 })
	end)
	it("end together at the deadline", function()
		local began = task.now()
		raises("timeout", pipe, { { "sleep", "30" }, { "sleep", "31" }, { "cat" } },
			{ timeout = 0.1 })
		ok(task.now() - began < 3)
	end)
	it("are found as a whole before one is started", function()
		local path = os.tmpname()
		os.remove(path)
		raises("io", pipe, { { "touch", path }, { "no-such-program" } })
		eq(io.open(path), nil)
	end)
end)

describe("exec.start lines", function()
	it("come one by one, and its end", function()
		local p <close> = start { "printf", "a\\nb\\n\\nc" }
		local seen = {}
		for line in p:lines() do seen[#seen + 1] = line end
		eq(seen, { "a", "b", "", "c" })
		eq(p:wait().status, 0)
	end)
	it("end the program with the loop", function()
		local p = start { "yes" }
		local n = 0
		for line in p:lines() do
			n = n + 1
			eq(line, "y")
			if n == 1000 then break end
		end
		eq(p:pid(), nil)
		eq(p:wait().signal, "SIGTERM")
	end)
	it("pass in little memory", function()
		local bytes = 0
		local before = collectgarbage "count"
		local p <close> = start { "sh", "-c", "yes 0123456789abcdef | head -c 30000000" }
		for line in p:lines() do bytes = bytes + #line + 1 end
		eq(bytes, 30000000 + 1)		-- 17 bytes a line: the last is cut
		ok(collectgarbage "count" - before < 20000)
	end, { plain = true })
	it("have a limit", function()
		local p <close> = start({ "sh", "-c", "echo ok; head -c 100000 /dev/zero" },
			{ max = 1000 })
		local next_line = p:lines()
		eq(next_line(p), "ok")
		local e = raises("limit", next_line, p)
		eq(e.message, "a line of 'sh' is longer than 1000 bytes (option 'max')")
		-- all of it is there, its end too, before it is asked for
		local r <close> = start({ "sh", "-c", "head -c 5000 /dev/zero" },
			{ max = 1000 })
		task.sleep(0.2)
		raises("limit", r:lines(), r)
		local q <close> = start({ "sh", "-c", "head -c 700000 /dev/zero; echo" })
		eq(#q:lines()(q), 700000)
	end)
end)

describe("exec.start", function()
	it("talks", function()
		local p <close> = start({ "cat" }, { stdin = true })
		ok(math.type(p:pid()) == "integer")
		ok(tostring(p):find "^process 'cat' %(%d+%)$")
		local next_line = p:lines()
		for n = 1, 3 do
			p:write(n .. "\n")
			eq(next_line(p), tostring(n))
		end
		p:write "rest"
		p:close_stdin()
		local r = p:wait()
		eq(r.stdout, "rest")
		eq(r.status, 0)
		eq(tostring(p), "process 'cat' (ended)")
		eq(raises("io", p.write, p, "x").code, "EPIPE")
		eq(p:wait().stdout, "rest")
	end)
	it("is ended by its variable, by kill, by its time", function()
		local pid
		do
			local p <close> = start { "sleep", "30" }
			pid = p:pid()
		end
		ok(not sh("kill -0 " .. pid, { accept = true }).stdout:find "x")
		eq(sh("kill -0 " .. pid .. " && echo alive", { accept = true }).stdout, "")
		local p <close> = start { "sleep", "30" }
		p:kill()
		eq(p:wait().signal, "SIGTERM")
		p:kill()
		local q <close> = start { "sleep", "30" }
		q:kill "KILL"
		eq(q:wait().signal, "SIGKILL")
		local u <close> = start { "sleep", "30" }
		u:kill "SIGUSR1"
		eq(raises("server", u.wait, u).code, "SIGUSR1")
		raises("signal expected", u.kill, u, "NOPE")
		local t <close> = start({ "sleep", "30" }, { timeout = 0.05 })
		raises("timeout", t.wait, t)
	end)
	it("goes on when a wait for it has no more time", function()
		local p <close> = start { "sleep", "30" }
		local e = raises("timeout", p.wait, p, { timeout = 0.05 })
		eq(e.message, "'sleep' has not ended within 0.05 s, and goes on")
		ok(p:pid())
	end)
	it("is ended when it is collected", function()
		local pid = start({ "sleep", "30" }):pid()
		collectgarbage()
		collectgarbage()
		eq(sh("kill -0 " .. pid .. " && echo alive", { accept = true }).stdout, "")
	end)
	it("is recorded with its end", function()
		local records = journal.run("write", function()
			do
				local p <close> = start({ "sleep", "30" }, { class = "write" })
				ok(p)
			end
			raises("oops", function()
				local p <close> = start({ "sleep", "30" }, { class = "write" })
				error("oops " .. p:pid())
			end)
		end)
		eq(records[1].type, "intent")
		eq(records[2].outcome, "done")
		eq(records[4].outcome, "unknown")
	end)
end)

describe("programs", function()
	it("are ended with their task", function()
		local h = task.spawn(read, { "sh", "-c", "sleep 30 & sleep 30" })
		task.sleep(0.05)
		local began = task.now()
		h:cancel()
		raises("cancelled", h.wait, h)
		ok(task.now() - began < 2)
		h = task.spawn(function()
			local p <close> = start { "sleep", "30" }
			p:wait()
		end)
		task.sleep(0.05)
		h:cancel()
		raises("cancelled", h.wait, h)
	end)
	it("run at once", function()
		local list = {}
		for n = 1, 20 do list[n] = n end
		local began = task.now()
		local out = task.map(list, function(n)
			return sh("sleep 0.2; echo " .. n).stdout
		end)
		for n = 1, 20 do eq(out[n], n .. "\n") end
		ok(task.now() - began < 3)
	end, { plain = true })
	it("leave no zombie and no descriptor", function()
		-- a moment later: the one that looks is being started by us as well
		local function open()
			return sh("sleep 0.2; ls -l /proc/$PPID/fd"
				.. " | sed 's/.* \\([0-9]* ->\\)/\\1/'").stdout
		end
		local before = open()
		for _ = 1, 20 do read { "true" } end
		pcall(read, { "sleep", "9" }, { timeout = 0.01 })
		local after = open()
		eq(select(2, after:gsub("\n", "")), select(2, before:gsub("\n", "")),
			before .. after)
		eq(sh("ps -o stat= --ppid $PPID | grep -c Z; :").stdout, "0\n")
	end, { plain = true })
end)
