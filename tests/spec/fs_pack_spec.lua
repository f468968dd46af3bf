-- Specs of fs.hash, fs.gzip and fs.gunzip: the same as sha256sum and gzip say, and
-- what is damaged, cut off or a bomb is refused with its place, leaving nothing.
-- Owns a folder below os.tmpname.
require "harness"
local fs = require "opsh.fs"
local effect = require "opsh.c.effect"

local before = effect.mode()
effect.close_run()
effect.begin_run(os.getenv "XDG_STATE_HOME" .. "/opsh/runs")
effect.mode "write"

local BASE = os.tmpname() .. ".fs"
os.execute("mkdir " .. BASE)

local function with_dir(f)
	return function()
		local dir <close> = fs.tmpdir(BASE)
		f(dir.path)
	end
end

local function shell(command)
	local pipe = assert(io.popen(command))
	local text = pipe:read "a"
	pipe:close()
	return text
end

-- Bytes that no compressor makes small, the same each time.
local function noise(n)
	local t, x = {}, 12345
	for i = 1, n // 8 do
		x = x * 6364136223846793005 + 1442695040888963407
		t[i] = string.pack("<i8", x)
	end
	return table.concat(t)
end
local NOISE = noise(600000)

describe("fs.hash", function()
	it("agrees with the usual tools", with_dir(function(d)
		for _, data in ipairs { "", "abc", NOISE } do
			fs.write(d .. "/a", data)
			for _, name in ipairs { "sha256", "sha512", "sha1", "md5" } do
				eq(fs.hash(d .. "/a", name), shell(("%ssum '%s/a'"):format(name,
					d)):match "^%x+")
			end
		end
		eq(fs.hash(d .. "/a"), fs.hash(d .. "/a", "sha256"))
		raises("algorithm", fs.hash, d .. "/a", "crc32")
		raises("io", fs.hash, d)
		raises("io", fs.hash, d .. "/none")
	end))
end)

describe("fs.gzip and fs.gunzip", function()
	it("give back what was packed", with_dir(function(d)
		for _, data in ipairs { "", "abc", ("x"):rep(1000000), NOISE } do
			fs.write(d .. "/a", data, { mode = "0700" })
			local r = fs.gzip(d .. "/a", d .. "/a.gz")
			eq(r.count, #data)
			eq(r.bytes, fs.stat(d .. "/a.gz").size)
			eq(fs.stat(d .. "/a.gz").mode, "0700")
			eq(fs.gunzip(d .. "/a.gz", d .. "/b").bytes, #data)
			eq(fs.read(d .. "/b") == data, true)
			fs.remove(d .. "/a.gz")
			fs.remove(d .. "/b")
		end
	end))

	it("talk to gzip, and take several members", with_dir(function(d)
		fs.write(d .. "/a", "one\n")
		fs.gzip(d .. "/a", d .. "/a.gz", { level = 9, mode = "0600" })
		eq(shell(("gzip -dc '%s/a.gz'"):format(d)), "one\n")
		os.execute(("echo two | gzip >> '%s/a.gz'"):format(d))
		eq(fs.gunzip(d .. "/a.gz", d .. "/b").bytes, 8)
		eq(fs.read(d .. "/b"), "one\ntwo\n")
		local first = fs.hash(d .. "/a.gz")
		fs.gzip(d .. "/a", d .. "/c.gz", { level = 9 })
		fs.gzip(d .. "/a", d .. "/d.gz", { level = 9 })
		eq(fs.hash(d .. "/c.gz"), fs.hash(d .. "/d.gz"))
		ok(fs.hash(d .. "/d.gz") ~= first)
	end))

	it("say where a file is damaged, and leave nothing", with_dir(function(d)
		fs.write(d .. "/a", NOISE:sub(1, 40000) .. ("y"):rep(100000))
		fs.gzip(d .. "/a", d .. "/a.gz")
		local good = fs.read(d .. "/a.gz")
		local function bad(bytes, what)
			fs.write(d .. "/bad.gz", bytes)
			local e = raises("protocol", fs.gunzip, d .. "/bad.gz", d .. "/out")
			ok(e.message:find(what) and e.message:find "at byte %d+",
				e.message)
			eq(fs.exists(d .. "/out"), false)
			return e.message
		end
		bad("", "it is empty")
		bad("no gzip at all", "incorrect header check")
		ok(bad(good:sub(1, -2), "ends in the middle"):find("byte "
			.. #good - 1, 1, true))
		bad(good:sub(1, 5), "ends in the middle")
		bad(good:sub(1, 20000), "ends in the middle")
		bad(good:sub(1, -9) .. "\0\0\0\0" .. good:sub(-4),
			"incorrect data check")
		bad(good:sub(1, -5) .. "\1\2\3\4", "incorrect length check")
		bad(good .. "garbage", "incorrect header check")
		bad(good .. good:sub(1, 30), "ends in the middle")
		eq(fs.list(d), { "a", "a.gz", "bad.gz" })
	end))

	it("do not unpack more than they may", with_dir(function(d)
		fs.write(d .. "/a", ("\0"):rep(3000000))
		fs.gzip(d .. "/a", d .. "/a.gz")
		ok(fs.stat(d .. "/a.gz").size < 5000)
		local e = raises("limit", fs.gunzip, d .. "/a.gz", d .. "/b",
			{ max = 2999999 })
		ok(e.message:find("more than 2999999 bytes", 1, true))
		eq(fs.exists(d .. "/b"), false)
		eq(fs.gunzip(d .. "/a.gz", d .. "/b", { max = 3000000 }).bytes, 3000000)
	end))

	it("check their arguments", with_dir(function(d)
		fs.write(d .. "/a", "1")
		raises("level must be 1 to 9", fs.gzip, d .. "/a", d .. "/b",
			{ level = 0 })
		raises("usage", fs.gzip, d .. "/a", d .. "/a")
		raises("usage", fs.gunzip, d .. "/a", d .. "/a")
		raises("unknown option 'max'", fs.gzip, d .. "/a", d .. "/b",
			{ max = 1 })
		raises("unknown option 'level'", fs.gunzip, d .. "/a", d .. "/b",
			{ level = 1 })
		raises("io", fs.gzip, d .. "/none", d .. "/b")
		raises("io", fs.gzip, d, d .. "/b")
		raises("io", fs.gzip, d .. "/a", d .. "/none/b")
		eq(fs.list(d), { "a" })
	end))
end)

os.execute("rm -r " .. BASE .. " " .. BASE:sub(1, -4))
effect.close_run()
effect.mode(before)
