-- Specs of repl.history: the format of the file, what may not be kept, trimming,
-- and the file itself: its mode, its lock, one that was put in its place. Files
-- are in a folder of the test's own.
local history = require "repl.history"
local line = require "opsh.c.line"
local sys = require "opsh.c.sys"

-- Files take their time, and locks theirs: no sweep.
local PLAIN = { plain = true }

local function plain(text) return text end

describe("repl.history", function()
	it("writes an entry as a line, and reads it back", function()
		for _, text in ipairs { "x = 1", "for n = 1, 2 do\n\tprint(n)\nend",
			"a\\nb\\", "tab\there", "cr\r\n", "日本 \xff", "" } do
			local stored = history.line(text, 1700000000)
			eq(select(2, stored:gsub("\n", "")), 1)
			eq(history.parse(stored), { { time = 1700000000, text = text } })
		end
		eq(history.parse(history.line("a\0b", 1))[1].text, "ab")
	end)

	it("passes over what it can't read", function()
		eq(history.parse "garbage\n12\tone\n\n\tx\n13\ttwo", {
			{ time = 12, text = "one" } })
	end)

	it("trims whole lines, the oldest", function()
		local all = {}
		for n = 1, 100 do all[n] = history.line("entry " .. n, n) end
		local contents = table.concat(all)
		eq(history.trim(contents, #contents), nil)
		local left = history.parse(history.trim(contents, 500))
		eq(left[#left].text, "entry 100")
		ok(#left > 5 and #left < 40, #left)
		eq(history.trim(("x"):rep(1000), 500), "")
	end)

	it("keeps no secret", function()
		for _, text in ipairs { "password = 'x'", "db_password = \"x\"",
			"t = { token = 'abc' }", "t['api_key'] = [[x]]", "secret = 'x'",
			"db:exec \"alter role a password 'x'\"", "PASSWD='x'",
			"sh.run { 'x', '--token', 'y' }", "sh.run { 'x', '--password=y' }",
			"db:connect 'postgresql://u:pw@h/d'", "secret.value('x')",
			"secret.value 'x'", "gateway:get '/x?token=abc'",
			"h = { [\"client_secret\"] = 'y' }", "passphrase = 'z'" } do
			eq(history.keeps(text, plain), false, text)
		end
		eq(select(2, history.keeps("password = 'x'", plain)), "secret")
		eq(history.keeps("x = 1", function() return "***" end), false)
	end)

	it("keeps what only speaks of one", function()
		for _, text in ipairs { "password = secret.env 'PGPASSWORD'",
			"token == nil", "cache:get 'k'", "db:query 'select token from t'",
			"gateway:get 'http://h:80/x'", "secret.env 'TOKEN'",
			"if password == x then end", "x = 'http://user@h/'",
			":set timing off", "print(tokens)" } do
			eq(history.keeps(text, plain), true, text)
		end
	end)

	it("leaves out what begins with a blank", function()
		eq({ history.keeps(" x = 1", plain) }, { false, "blank" })
	end)
end)

describe("the history's file", function()
	local function with(f)
		local dir = os.tmpname()
		os.remove(dir)
		assert(sys.mkdir(dir))
		local gone <close> = setmetatable({}, { __close = function()
			os.execute(("rm -rf '%s'"):format(dir))
		end })
		f(dir .. "/history", gone)
	end

	it("is appended to, readable by its owner alone", function()
		with(function(path)
			eq(line.append(path, "one\n"), 4)
			eq(line.append(path, "two\n"), 8)
			eq(sys.read(path, 100), "one\ntwo\n")
			eq(sys.stat(path).mode & 511, 384)
		end)
	end, PLAIN)

	it("is rewritten whole, or left", function()
		with(function(path)
			line.append(path, "one\ntwo\n")
			eq(line.rewrite(path, function(old) return old:sub(5) end), true)
			eq(sys.read(path, 100), "two\n")
			eq(sys.stat(path).mode & 511, 384)
			eq(line.rewrite(path, function() return nil end), true)
			eq(sys.read(path, 100), "two\n")
			raises("lua", line.rewrite, path, function() error "not now" end)
			eq(sys.read(path, 100), "two\n")
			eq(line.append(path, "three\n"), 10)	-- the lock is free again
		end)
	end, PLAIN)

	it("says why it can't be written", function()
		local size, why = line.append("/nowhere/history", "x\n")
		eq(size, nil)
		ok(why:find "/nowhere/history: No such file", why)
		eq(line.append("/dev", "x"), nil)
		eq(line.rewrite("/nowhere/history", plain), nil)
	end, PLAIN)

	it("follows no link that another has put there", function()
		with(function(path)
			line.append(path .. ".target", "kept\n")
			assert(os.execute(("ln -s '%s.target' '%s'"):format(path, path)))
			eq(line.append(path, "x\n"), nil)
			eq(sys.read(path .. ".target", 100), "kept\n")
		end)
	end, PLAIN)

	it("loses nothing when many append and one rewrites", function()
		with(function(path)
			local child = [[for n in $(seq 50); do flock "$0" sh -c '
				printf "%s\n" "$1" >> "$0"' "$0" "other $n"; done]]
			local other = io.popen(("sh -c '%s' '%s'; echo done"):format(
				child:gsub("'", "'\\''"), path))
			for n = 1, 50 do
				ok(line.append(path, "mine " .. n .. "\n"))
			end
			other:read "a"
			other:close()
			local count = 0
			for _ in (sys.read(path, 1 << 20)):gmatch "\n" do count = count + 1 end
			eq(count, 100)
		end)
	end, PLAIN)
end)
