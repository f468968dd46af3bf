-- fs_fault: files when the machine says no: a full disk, a mounted file system in
-- a tree, Ctrl-C and deadlines in the middle of a gigabyte, and how much memory
-- that takes; and what stands in the journal. Plain tests: they measure time and
-- start programs. Owns a folder below os.tmpname, and what is mounted in it.
require "harness"
local fs = require "opsh.fs"
local effect = require "opsh.c.effect"
local json = require "opsh.c.json"
local secret = require "opsh.c.secret"
local sys = require "opsh.c.sys"
local task = require "opsh.task"

local PLAIN = { plain = true }
local GB = 1 << 30

local before = effect.mode()
local BASE = os.tmpname() .. ".fs"
local RUNS = BASE .. "/runs"
os.execute("mkdir " .. BASE)

local function shell(command)
	local pipe = assert(io.popen(command))
	local text = pipe:read "a"
	pipe:close()
	return text
end
local OPSH = shell "readlink /proc/$PPID/exe":gsub("\n", "")

-- f(folder); returns the records that it left.
local function recorded(f)
	effect.close_run()
	local run = effect.begin_run(RUNS)
	effect.mode "write"
	do
		local dir <close> = fs.tmpdir(BASE)
		f(dir.path)
	end
	effect.close_run()
	effect.mode(before)
	local records = {}
	for line in fs.lines(RUNS .. "/" .. run .. "/journal.jsonl") do
		records[#records + 1] = json.decode(line, { binary = "escape" })
	end
	return records
end

local function with_dir(f)
	return function() recorded(f) end
end

-- A file system of its own, of 1 MiB: f(folder).
local function with_disk(f)
	return with_dir(function(d)
		fs.mkdir(d .. "/t/disk", { parents = true })
		local done <close> = setmetatable({}, { __close = function()
			os.execute(("umount '%s/t/disk'"):format(d))
		end })
		assert(done and os.execute(
			("mount -t tmpfs -o size=1m none '%s/t/disk'"):format(d)))
		f(d .. "/t/disk", d)
	end)
end

local can_mount = sys.euid() == 0 and os.execute(("mount -t tmpfs none '%s' "
	.. "2>/dev/null && umount '%s'"):format(BASE, BASE))

if not can_mount then
	skip("fs on a full disk", "mounting a tmpfs needs root")
else
	describe("fs on a full disk", function()
		it("leaves the old file as it was", with_disk(function(disk, d)
			fs.write(d .. "/big", ("x"):rep(2 << 20))
			fs.gzip(d .. "/big", d .. "/big.gz")
			fs.write(disk .. "/a", "old", { mode = "0640" })
			local function full(f, ...)
				local e = raises("io", f, ...)
				eq(e.code, "ENOSPC")
				eq(e.outcome, "failed")
				ok(e.message:find(disk .. "/a': No space left", 1, true),
					e.message)
				eq(fs.list(disk), { "a" })
				eq(fs.read(disk .. "/a"), "old")
				eq(fs.stat(disk .. "/a").mode, "0640")
			end
			full(fs.write, disk .. "/a", ("x"):rep(2 << 20))
			full(fs.copy, d .. "/big", disk .. "/a")
			full(fs.gunzip, d .. "/big.gz", disk .. "/a")
			full(fs.append, disk .. "/a", ("x"):rep(2 << 20))
			eq(fs.df(disk).size, 1 << 20)
		end), PLAIN)

		it("is not entered when a tree is removed", with_disk(function(disk, d)
			fs.write(disk .. "/a", "1")
			local e = raises("io", fs.remove, d .. "/t",
				{ recursive = true })
			eq(e.code, "EXDEV")
			ok(e.hint:find("mounted", 1, true))
			eq(fs.read(disk .. "/a"), "1")
			e = raises("io", fs.rename, disk .. "/a", d .. "/b")
			eq(e.code, "EXDEV")
			ok(e.hint:find("copy", 1, true))
		end), PLAIN)
	end)
end

-- A file of a gigabyte that takes no room.
local function sparse(path)
	assert(os.execute(("truncate -s 1G '%s'"):format(path)))
	return path
end

-- Only these names are there, at once or soon: a thread may still clean up.
local function left(d, names)
	for _ = 1, 100 do
		if #fs.list(d) == #names then break end
		task.sleep(0.02)
	end
	eq(fs.list(d), names)
end

describe("fs in the middle of a gigabyte", function()
	it("stops at once, and leaves no half file", with_dir(function(d)
		sparse(d .. "/a")
		fs.write(d .. "/old", "old")
		local calls = {
			{ fs.hash, d .. "/a" }, { fs.copy, d .. "/a", d .. "/b" },
			{ fs.copy, d .. "/a", d .. "/old" },
			{ fs.gzip, d .. "/a", d .. "/b" },
		}
		for _, call in ipairs(calls) do
			local t0 = task.now()
			raises("timeout", task.timeout, 0.1, function()
				call[1](table.unpack(call, 2))
			end)
			ok(task.now() - t0 < 0.6, "took " .. task.now() - t0)
			left(d, { "a", "old" })
			eq(fs.read(d .. "/old"), "old")
		end
	end), PLAIN)

	it("ends at its deadline, known as not applied", with_dir(function(d)
		sparse(d .. "/a")
		local t0 = task.now()
		local e = raises("timeout", fs.gzip, d .. "/a", d .. "/b",
			{ timeout = 0.1 })
		ok(task.now() - t0 < 0.1 + 0.25, "took " .. task.now() - t0)
		ok(e.message:find("'gzip' of '" .. d .. "/a' did not end within 0.1 s",
			1, true), e.message)
		eq(e.outcome, "failed")
		e = raises("timeout", fs.hash, d .. "/a", "sha1", { timeout = 0.05 })
		eq(e.outcome, nil)
		left(d, { "a" })
	end), PLAIN)

	it("lets other tasks go on", with_dir(function(d)
		sparse(d .. "/a")
		local ticks, longest, last = 0, 0, task.now()
		local busy = task.spawn(function() return fs.hash(d .. "/a", "md5") end)
		local ticker = task.spawn(function()
			while true do
				task.sleep(0.01)
				local now = task.now()
				ticks, longest, last = ticks + 1, math.max(longest, now - last),
					now
			end
		end)
		eq(busy:wait(), "cd573cfaace07e7949bc0c46028904ff")
		ticker:cancel()
		pcall(ticker.wait, ticker)
		ok(ticks > 20 and longest < 0.6, ticks .. " ticks, longest " .. longest)
	end), PLAIN)

	-- A program of its own that gets the signal after half a second: its exit
	-- status, the seconds that it took after it.
	local function signalled(d, signal, code)
		fs.write(d .. "/s.lua", code, { sync = false })
		local t0 = task.now()
		local status = shell(("XDG_STATE_HOME=%s timeout --preserve-status -s %s "
			.. "0.5 %s run %s/s.lua --approve local 2>/dev/null; echo $?"):format(
			BASE, signal, OPSH, d))
		fs.remove(d .. "/s.lua")
		return tonumber(status:match "%d+"), task.now() - t0 - 0.5
	end

	it("obeys Ctrl-C, and a killed process leaves nothing", with_dir(function(d)
		sparse(d .. "/a")
		fs.write(d .. "/old", "old")
		for _, to in ipairs { "/new", "/old" } do
			local code = ("fs.gzip(%q, %q)"):format(d .. "/a", d .. to)
			local status, took = signalled(d, "INT", code)
			eq(status, 130)
			ok(took < 1.5, "took " .. took)
			eq(fs.list(d), { "a", "old" })
			status = signalled(d, "KILL", code)
			eq(status, 137)
			eq(fs.list(d), { "a", "old" })
			eq(fs.read(d .. "/old"), "old")
		end
	end), PLAIN)

	-- once is enough: it takes seconds
	if (os.getenv "OPSH_SPEC_MODE" or "") == "" then
	it("takes no memory for it", with_dir(function(d)
		sparse(d .. "/a")
		local script = ([[
			local function high()
				local text = fs.read "/proc/self/status"
				return tonumber(text:match "VmHWM:%%s*(%%d+)")
			end
			fs.exists "/"
			local base = high()
			fs.hash(%q, "md5")
			fs.copy(%q, %q, { sync = false })
			fs.gzip(%q, %q, { level = 1 })
			fs.gunzip(%q, %q, { sync = false })
			for line in fs.lines(%q) do assert(#line == 99) end
			print((high() - base) // 1024)]]):format(d .. "/a", d .. "/a",
			d .. "/b", d .. "/a", d .. "/c.gz", d .. "/c.gz", d .. "/d",
			d .. "/lines")
		os.execute(("yes 2>/dev/null $(printf '%%099d' 0) | "
			.. "head -c 1000000000 > '%s/lines'"):format(d))
		fs.write(d .. "/s.lua", script)
		local grown = tonumber(shell(("XDG_STATE_HOME=%s %s run %s/s.lua"):format(
			BASE, OPSH, d)))
		-- the sanitizers keep what was freed
		local most = OPSH:find("/asan/", 1, true) and 512 or 64
		ok(grown and grown < most, tostring(grown) .. " MiB more")
		eq(fs.stat(d .. "/b").size, GB)
		eq(fs.stat(d .. "/d").size, GB)
	end), PLAIN)
	end
end)

describe("fs in the journal", function()
	it("tells path, size and checksum, never the data", function()
		local value = "kept-from-sight-42"
		local records = recorded(function(d)
			fs.write(d .. "/plain", "public text", { mode = "0600" })
			fs.write(d .. "/s", (secret.new(value, "S")))
			fs.write(d .. "/mixed", "password=" .. value .. "\n")
			fs.read(d .. "/s")
			fs.stat(d .. "/s")
			pcall(fs.write, d .. "/none/x", "x")
			fs.remove(d .. "/plain")
		end)
		local seen = {}
		for _, r in ipairs(records) do
			local text = json.encode(r, { binary = "escape" })
			ok(not text:find(value, 1, true) and not text:find("public text", 1,
				true), text)
			if r.type == "intent" then
				seen[#seen + 1] = r.verb .. " " .. r.request:gsub("^%b\"\"", "")
			end
		end
		eq(seen, { "tmpdir " .. BASE .. "/opsh-", "write  bytes=11 mode=0600 "
			.. "sha256=" .. shell("printf 'public text' | sha256sum")
			:match "^%x+", "write  bytes=18", "write  bytes=28", "remove ",
			seen[6] })
		ok(seen[6]:find("^remove " .. BASE, 1), seen[6])
		local outcome = records[#records]
		eq(outcome.type, "outcome")
		eq(outcome.outcome, "done")
	end, PLAIN)

	it("has the outcome of what failed", function()
		local records = recorded(function(d)
			fs.mkdir(d .. "/x")
			raises("io", fs.mkdir, d .. "/x")
			fs.write(d .. "/x/f", "1")
			raises("io", fs.remove, d .. "/x")
		end)
		local outcomes = {}
		for _, r in ipairs(records) do
			if r.type == "outcome" then
				outcomes[#outcomes + 1] = r.outcome
			end
		end
		eq(outcomes, { "done", "done", "failed", "done", "failed", "done" })
	end, PLAIN)
end)

os.execute("rm -r " .. BASE .. " " .. BASE:sub(1, -4))
effect.mode(before)
