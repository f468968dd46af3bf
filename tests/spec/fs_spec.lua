-- Specs of the files' binding: what is written is there, whole, with its mode;
-- what can't be is refused with the reason; what changes the machine is judged
-- and recorded. Each test has a journal, and works in a folder of its own, made
-- by fs.tmpdir.
require "harness"
local fs = require "opsh.fs"
local effect = require "opsh.c.effect"
local secret = require "opsh.c.secret"
local sys = require "opsh.c.sys"

local before = effect.mode()
effect.close_run()
effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
effect.mode "write"

-- All is below it: what failing allocations leave goes at the end.
local BASE = os.tmpname() .. ".fs"
os.execute("mkdir " .. BASE)

-- A test with a folder of its own.
local function with_dir(f)
	return function()
		local dir <close> = fs.tmpdir(BASE)
		f(dir.path)
	end
end

-- Another mode for the block.
local function mode(name)
	local back = setmetatable({}, { __close = function()
		effect.mode "write"
	end })
	effect.mode(name)
	return back
end

local function why(kind, f, ...)
	return raises(kind, f, ...).message
end

describe("fs.write and fs.read", function()
	it("gives back what was written", with_dir(function(d)
		for _, data in ipairs { "", "x", "a\0b\r\n", ("z"):rep(300000) } do
			local r = fs.write(d .. "/a", data)
			eq(r.bytes, #data)
			eq(r.ok, true)
			eq(r.path, d .. "/a")
			eq(fs.read(d .. "/a"), data)
		end
		eq(fs.list(d), { "a" })		-- nothing else is left
	end))

	it("keeps the mode of what it replaces, or takes the one given",
		with_dir(function(d)
		local p = d .. "/a"
		eq(fs.write(p, "1", { mode = "0640" }).replaced, false)
		eq(fs.stat(p).mode, "0640")
		eq(fs.write(p, "2").replaced, true)
		eq(fs.stat(p).mode, "0640")
		fs.write(p, "3", { mode = "600", sync = false })
		eq(fs.stat(p).mode, "0600")
		raises("octal", fs.write, p, "4", { mode = "0999" })
		raises("must be a string", fs.write, p, "4", { mode = 600 })
		eq(fs.read(p), "3")
	end))

	it("writes a secret for its owner only", with_dir(function(d)
		fs.write(d .. "/s", (secret.new("hidden-value-1", "S")))
		eq(fs.stat(d .. "/s").mode, "0600")
		eq(fs.read(d .. "/s"), "hidden-value-1")
		fs.append(d .. "/t", (secret.new("hidden-value-2", "S")))
		eq(fs.stat(d .. "/t").mode, "0600")
	end))

	it("follows a link to its file, and refuses one to nothing",
		with_dir(function(d)
		fs.write(d .. "/real", "1")
		os.execute(("ln -s real '%s/link'; ln -s none '%s/lost'"):format(d, d))
		fs.write(d .. "/link", "2")
		eq(fs.read(d .. "/real"), "2")
		eq(fs.stat(d .. "/link", { follow = false }).type, "symlink")
		local e = raises("io", fs.write, d .. "/lost", "x")
		eq(e.code, "ENOENT")
		ok(e.hint:find("symbolic link", 1, true))
	end))

	it("says what is in the way", with_dir(function(d)
		fs.mkdir(d .. "/dir")
		os.execute(("mkfifo '%s/fifo'"):format(d))
		ok(why("io", fs.read, d .. "/none"):find("cannot read '" .. d
			.. "/none': No such file", 1, true))
		eq(raises("io", fs.read, d .. "/none").code, "ENOENT")
		ok(why("io", fs.read, d .. "/dir"):find("it is a directory", 1, true))
		ok(why("io", fs.read, d .. "/fifo"):find("it is a fifo", 1, true))
		ok(why("io", fs.write, d .. "/fifo", "x"):find("it is a fifo", 1, true))
		ok(why("io", fs.append, d .. "/fifo", "x"):find("fifo", 1, true))
		ok(why("io", fs.write, d .. "/dir", "x"):find("directory", 1, true))
		ok(why("io", fs.write, d .. "/none/x", "x"):find("No such", 1, true))
		ok(why("io", fs.write, d .. "/dir/", "x"):find("directory", 1, true))
		ok(why("usage", fs.write, d .. "/..", "x"):find("a name", 1, true))
		ok(why("io", fs.read, ("x"):rep(5000)):find("too long", 1, true))
		raises("NUL", fs.read, "a\0b")
		raises("NUL", fs.write, d .. "/a\0b", "x")
		raises("empty", fs.read, "")
		raises("string expected", fs.write, d .. "/n", 5)
		raises("unknown option 'maxx'", fs.read, d .. "/none", { maxx = 1 })
		eq(fs.list(d), { "dir", "fifo" })
	end))

	it("reads no more than it may", with_dir(function(d)
		fs.write(d .. "/a", ("x"):rep(1000))
		eq(#fs.read(d .. "/a", { max = 1000 }), 1000)
		local e = raises("limit", fs.read, d .. "/a", { max = 999 })
		ok(e.message:find("more than 999 bytes", 1, true))
		ok(#fs.read "/proc/self/status" > 100)	-- a size of 0 is no size
	end))

	it("ends at its deadline", with_dir(function(d)
		fs.write(d .. "/a", ("x"):rep(1000))
		local fine, e = pcall(fs.read, d .. "/a", { timeout = 0 })
		ok(fine or e.kind == "timeout")
		raises("timeout", fs.read, d .. "/a", { timeout = -1 })
	end))
end)

describe("fs.append", function()
	it("adds at the end, and makes what is not there", with_dir(function(d)
		eq(fs.append(d .. "/log", "a\n", { mode = "0600" }).bytes, 2)
		fs.append(d .. "/log", "b\n")
		eq(fs.read(d .. "/log"), "a\nb\n")
		eq(fs.stat(d .. "/log").mode, "0600")
	end))
end)

describe("fs.lines", function()
	it("gives lines without their newline", with_dir(function(d)
		local function lines(text)
			fs.write(d .. "/a", text)
			local t = {}
			for line in fs.lines(d .. "/a") do t[#t + 1] = line end
			return t
		end
		eq(lines "", {})
		eq(lines "a", { "a" })
		eq(lines "a\n\nb\r\n", { "a", "", "b\r" })
		eq(lines "\n", { "" })
		local long = ("x"):rep(700000)
		eq(lines(long .. "\n" .. long), { long, long })
	end))

	it("may be left early, limits a line, checks its arguments",
		with_dir(function(d)
		fs.write(d .. "/a", ("x"):rep(300000) .. "\nb\n")
		for line in fs.lines(d .. "/a") do
			eq(#line, 300000)
			if line then break end
		end
		raises("limit", (fs.lines(d .. "/a", { max = 299999 })))
		eq(#fs.lines(d .. "/a", { max = 300000 })(), 300000)
		raises("unknown option 'size'", fs.lines, d .. "/a", { size = 1 })
		raises("max", fs.lines, d .. "/a", { max = 0 })
		raises("table of options", fs.lines, d .. "/a", 5)
		raises("io", fs.lines, d .. "/none")
	end))

	it("has a reader that is closed once", with_dir(function(d)
		fs.write(d .. "/a", "abc")
		local c = require "opsh.c.fs"
		local r = c.open(d .. "/a")
		eq(r:chunk(2), "ab")
		eq(r:chunk(), "c")
		eq(r:chunk(), nil)
		r:close()
		r:close()
		raises("usage", r.chunk, r)
	end))
end)

describe("fs.copy, fs.rename, fs.mkdir", function()
	it("copies contents and mode", with_dir(function(d)
		fs.write(d .. "/a", ("y"):rep(600000), { mode = "0700" })
		local r = fs.copy(d .. "/a", d .. "/b")
		eq(r.bytes, 600000)
		eq(r.path, d .. "/b")
		eq(fs.hash(d .. "/b"), fs.hash(d .. "/a"))
		eq(fs.stat(d .. "/b").mode, "0700")
		raises("usage", fs.copy, d .. "/a", d .. "/a")
		os.execute(("ln '%s/a' '%s/hard'"):format(d, d))
		raises("usage", fs.copy, d .. "/a", d .. "/hard")
		raises("io", fs.copy, d .. "/none", d .. "/c")
		eq(fs.list(d), { "a", "b", "hard" })
	end))

	it("renames, and makes folders", with_dir(function(d)
		fs.mkdir(d .. "/x")
		eq(raises("io", fs.mkdir, d .. "/x").code, "EEXIST")
		eq(raises("io", fs.mkdir, d .. "/p/q").code, "ENOENT")
		eq(fs.mkdir(d .. "/p/q//r/", { parents = true }).count, 3)
		eq(fs.mkdir(d .. "/p/q/r", { parents = true }).count, 0)
		fs.mkdir(d .. "/m", { mode = "0711" })
		eq(fs.stat(d .. "/m").mode, "0711")
		fs.write(d .. "/x/a", "1")
		eq(fs.rename(d .. "/x", d .. "/y").replaced, false)
		eq(fs.read(d .. "/y/a"), "1")
		eq(fs.exists(d .. "/x"), false)
		eq(raises("io", fs.rename, d .. "/x", d .. "/z").code, "ENOENT")
		fs.write(d .. "/a", "2")
		eq(raises("io", fs.mkdir, d .. "/a", { parents = true }).code, "EEXIST")
		eq(fs.rename(d .. "/a", d .. "/y/a").replaced, true)
		eq(fs.read(d .. "/y/a"), "2")
	end))
end)

describe("fs.stat, fs.exists, fs.list, fs.df", function()
	it("tells what is there", with_dir(function(d)
		fs.write(d .. "/a", "123")
		local s = fs.stat(d .. "/a")
		eq(s.type, "file")
		eq(s.size, 3)
		eq(s.links, 1)
		eq(s.uid, sys.euid())
		ok(math.abs(s.mtime - os.time()) < 100)
		eq(fs.stat(d).type, "directory")
		eq(fs.stat(d).mode, "0700")
		eq(fs.stat "/dev/null".type, "char")
		eq(raises("io", fs.stat, d .. "/none").code, "ENOENT")
		eq(fs.exists(d .. "/a"), true)
		eq(fs.exists(d .. "/none"), false)
		eq(fs.exists(d .. "/a/b"), false)
		raises("io", fs.exists, ("x/"):rep(3000))
		fs.write(d .. "/.b", "")
		fs.write(d .. "/Z", "")
		eq(fs.list(d), { ".b", "Z", "a" })
		eq(raises("io", fs.list, d .. "/a").code, "ENOTDIR")
	end))

	it("measures a file system", function()
		local df = fs.df "/"
		ok(df.size > 0 and df.used > 0 and df.used <= df.size)
		ok(df.percent > 0 and df.percent <= 100)
		eq(type(df.readonly), "boolean")
		raises("io", fs.df, "/none/none")
	end)
end)

describe("fs.glob", function()
	it("finds paths by pattern, sorted, without a shell", with_dir(function(d)
		fs.mkdir(d .. "/a/b/c", { parents = true })
		fs.mkdir(d .. "/.h")
		for _, name in ipairs { "1.log", "2.log", "x.txt", "a/3.log",
			"a/b/4.log", "a/b/c/5.log", ".h/6.log", "$(x) *.log", "[1].log" } do
			fs.write(d .. "/" .. name, "")
		end
		os.execute(("ln -s .. '%s/a/b/up'"):format(d))
		local function glob(pattern)
			local t = fs.glob(d .. "/" .. pattern)
			for i, path in ipairs(t) do t[i] = path:sub(#d + 2) end
			return t
		end
		eq(glob "?.log", { "1.log", "2.log" })
		eq(glob "[!1].log", { "2.log" })
		eq(glob "\\[1\\].log", { "[1].log" })
		eq(glob "*.none", {})
		eq(glob "x.txt", { "x.txt" })
		eq(glob "none/*", {})
		eq(glob "*/*.log", { "a/3.log" })
		eq(glob "a/b/up/3.log", { "a/b/up/3.log" })
		eq(glob "**/*.log", { "$(x) *.log", "1.log", "2.log", "[1].log",
			"a/3.log", "a/b/4.log", "a/b/c/5.log" })
		eq(glob "a/**", { "a/3.log", "a/b", "a/b/4.log", "a/b/c",
			"a/b/c/5.log", "a/b/up" })
		eq(glob "**/c/**/*.log", { "a/b/c/5.log" })
		eq(glob ".*/*", { ".h/6.log" })
		eq(glob "*/", { "a" })
		eq(fs.glob "/", { "/" })
		eq(fs.glob "/etc/host*s", fs.glob "//etc//host*s")
		raises("io", fs.glob, ("x"):rep(300) .. "*")
	end))
end)

describe("fs.remove and fs.tmpdir", function()
	it("removes files, empty folders, trees; never what a link names",
		with_dir(function(d)
		fs.mkdir(d .. "/t/u/v", { parents = true })
		fs.mkdir(d .. "/keep")
		fs.write(d .. "/keep/me", "1")
		fs.write(d .. "/t/u/f", "1")
		os.execute(("ln -s '%s/keep' '%s/t/u/link'"):format(d, d))
		local e = raises("io", fs.remove, d .. "/t")
		eq(e.code, "ENOTEMPTY")
		ok(e.hint:find("recursive", 1, true))
		eq(fs.remove(d .. "/t", { recursive = true }).count, 5)
		eq(fs.read(d .. "/keep/me"), "1")
		eq(fs.remove(d .. "/keep/me").count, 1)
		eq(fs.remove(d .. "/keep/").count, 1)
		eq(raises("io", fs.remove, d .. "/keep").code, "ENOENT")
		raises("usage", fs.remove, d .. "/.")
		raises("usage", fs.remove, "/")
		eq(fs.list(d), {})
	end))

	it("makes a folder for this user, gone with its scope", function()
		local path
		do
			local dir <close> = fs.tmpdir(BASE)
			path = dir.path
			eq(fs.stat(path).mode, "0700")
			eq(tostring(dir), path)
			eq(dir .. "/x", path .. "/x")
			fs.mkdir(dir .. "/a/b", { parents = true })
			fs.write(dir .. "/a/b/c", "1")
			local inner = fs.tmpdir(path)
			ok(fs.exists(inner.path))
			inner:close()
			inner:close()
			eq(fs.exists(inner.path), false)
		end
		eq(fs.exists(path), false)
		raises("io", fs.tmpdir, "/none")
	end)
end)

describe("fs behind the boundary", function()
	it("needs a guard for what is lost, not in its own folder",
		with_dir(function(d)
		-- the folder around is no tmpdir of ours
		local out = d .. ".out"
		local _ <close> = setmetatable({}, { __close = function()
			os.execute(("rm -r '%s'"):format(out))
		end })
		os.execute(("mkdir '%s' && echo 1 > '%s/a'"):format(out, out))
		eq(raises("guard", fs.write, out .. "/a", "2").op, "write")
		raises("guard", fs.remove, out .. "/a")
		raises("guard", fs.remove, out, { recursive = true })
		fs.write(out .. "/new", "1")
		raises("guard", fs.rename, out .. "/new", out .. "/a")
		raises("guard", fs.copy, out .. "/new", out .. "/a")
		raises("guard", fs.gzip, out .. "/new", out .. "/a")
		os.execute(("ln -s '%s' '%s/way'"):format(out, d))
		raises("guard", fs.remove, d .. "/way/a")
		raises("guard", fs.write, d .. "/way/a", "2")
		eq(fs.read(out .. "/a"), "1\n")
		fs.append(out .. "/a", "2\n")
		eq(fs.read(out .. "/a"), "1\n2\n")
	end))

	it("withholds in a plan, and makes no folder", with_dir(function(d)
		local _ <close> = mode "plan"
		local r = fs.write(d .. "/a", "1")
		raises("withheld", function() return r.bytes end)
		eq(fs.write(d .. "/a", "1", { expect = { bytes = 7 } }).bytes, 7)
		eq(fs.mkdir(d .. "/b", { expect = { count = 1 } }).count, 1)
		fs.append(d .. "/a", "1")
		eq(fs.list(d), {})
		local dir <close> = fs.tmpdir()
		eq(fs.exists(dir.path), false)
	end))

	it("refuses writes in read mode", with_dir(function(d)
		local _ <close> = mode "read"
		raises("refused", fs.write, d .. "/a", "1")
		raises("refused", fs.mkdir, d .. "/a")
		raises("refused", fs.tmpdir)
		eq(fs.list(d), {})
	end))
end)

os.execute("rm -r " .. BASE .. " " .. BASE:sub(1, -4))
effect.close_run()
effect.mode(before)
