-- env_spec: what user code can reach, and what it can't: the real _G, the
-- registry, the C modules, the runner's own modules and functions, bytecode. Walks
-- everything that is reachable, and tries the known ways out.
require "harness"
local env = require "run.env"
local sys = require "opsh.c.sys"
local session = require "run.session"

local PROGRAM = sys.realpath "/proc/self/exe"

-- Runs text as user code; its results.
local function user(text, ...)
	local e = env.new(false)
	return assert(load(text, "=user", "t", e))(...)
end

-- Runs `opsh ARGS`; exit code, output of both streams.
local function opsh(args)
	local p = io.popen(("timeout -k 1 20 '%s' %s 2>&1 </dev/null"):format(PROGRAM,
		args))
	local out = p:read "a"
	local _, _, code = p:close()
	return code, out
end

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

-- What no user code may hold, by name.
local function forbidden()
	local out = {}
	local function add(name, v) if v ~= nil then out[v] = name end end
	add("_G", _G)
	add("registry", debug.getregistry())
	add("package", package)
	for _, name in ipairs { "loaded", "preload", "searchers", "loadlib",
		"searchpath" } do
		add("package." .. name, package[name])
	end
	for name, v in pairs(debug) do
		if name ~= "traceback" then add("debug." .. name, v) end
	end
	add("debug", debug)
	for _, name in ipairs { "load", "loadfile", "dofile", "require" } do
		add(name, _G[name])
	end
	for _, lib in ipairs { "string", "table", "math", "utf8", "coroutine", "io",
		"os" } do add(lib, _G[lib]) end
	for _, name in ipairs { "open", "popen", "tmpfile", "output" } do
		add("io." .. name, io[name])
	end
	for _, name in ipairs { "execute", "remove", "rename", "tmpname", "exit",
		"setlocale" } do
		add("os." .. name, os[name])
	end
	for name, module in pairs(package.loaded) do
		if name:find "^opsh%.c%." or name:find "^run%." then
			add(name, module)
		end
	end
	out[require "opsh.json"] = nil		-- the C module is the public one
	-- these are user functions as they are
	for _, name in ipairs { "run.step", "run.guard", "run.step_fail" } do
		out[package.loaded[name] or false] = nil
	end
	add("string metatable", debug.getmetatable "")
	add("file metatable", debug.getmetatable(io.stdout))
	return out
end

local function every_name()
	local names = {}
	for name in pairs(env.names()) do names[#names + 1] = name end
	table.sort(names)
	return names
end

describe("user code reaches", function()
	it("nothing that is not its own", function()
		local e = env.new(false)
		local seen, bad = {}, {}
		local no = forbidden()
		local function walk(v, path, depth)
			if no[v] then bad[#bad + 1] = path .. " is " .. no[v] end
			local kind = type(v)
			if kind ~= "table" and kind ~= "userdata" and kind ~= "string"
				or seen[v] then return end
			if kind ~= "string" then seen[v] = true end
			-- as user code would ask
			local meta = getmetatable(v)
			if type(meta) == "table" then
				walk(meta, path .. "<meta>", depth + 1)
			end
			if kind ~= "table" then return end
			for k, item in next, v do
				walk(k, path .. "<key>", depth + 1)
				walk(item, path .. "." .. tostring(k), depth + 1)
			end
		end
		for _, name in ipairs(every_name()) do walk(e[name], name, 0) end
		for _, path in ipairs(sys.files "lua/opsh/") do
			local name = path:gsub("^lua/(.*)%.lua$", "%1"):gsub("/", ".")
			if env.is_module(name) and name ~= "opsh.redis" then
				local fine, module = pcall(e.require, name)
				if fine then walk(module, name, 0) end
			end
		end
		walk(e, "_ENV", 0)
		walk("", "''", 0)
		eq(bad, {})
	end)

	it("every name that it is promised", function()
		local e = env.new(false)
		for _, name in ipairs(every_name()) do
			ok(e[name] ~= nil, name .. " is missing")
		end
		eq(e._G, e)
		eq(e.nothing, nil)
	end)

	it("its own globals, and no other's", function()
		user "x = 1 _G.y = 2 assert(_G.x == 1 and y == 2) string.z = 1"
		user "assert(x == nil and y == nil and string.z == nil)"
		eq(rawget(_G, "x"), nil)
		eq(rawget(string, "z"), nil)
	end)
end)

describe("ways out that are closed:", function()
	it("private and C modules, files, odd names", function()
		for _, name in ipairs { "opsh.c.effect", "opsh.c.task", "run.session",
			"run.env", "string", "_G", "debug", "opsh.c", "opsh",
			"opsh..c.effect", "opsh.c/effect", "opsh/c/effect", "/etc/passwd",
			"opsh.task/../../run/session", "", "opsh.\0task", "harness" } do
			raises("cannot require", user, "return require(...)", name)
		end
		for _, v in ipairs { 1, true, {} } do
			raises("cannot require", user, "return require(...)", v)
		end
		eq(user "return require 'opsh.task' == task", true)
		eq(select("#", user [[
			return table.unpack { package.loaded, package.preload,
				package.path, package.cpath, package.loadlib }]]), 0)
	end)

	it("bytecode, whatever the mode says", function()
		for _, mode in ipairs { "nil", "'b'", "'bt'", "'t'" } do
			local f, why = user(([[
				return load(string.dump(function() return 1 end), "=x", %s)
			]]):format(mode))
			eq(f, nil, mode)
			ok(why:find "attempt to load a", why)
			f = user(([[
				local code, at = string.dump(function() return 1 end), 0
				return load(function() at = at + 1 return code:sub(at, at) end,
					"=x", %s)]]):format(mode))
			eq(f, nil, mode)
		end
		local path = os.tmpname()
		local f = io.open(path, "wb")
		f:write(string.dump(function() return 1 end))
		f:close()
		eq((user("return (loadfile(...))", path)), nil)
		raises("", user, "return dofile(...)", path)
		os.remove(path)
	end)

	it("load and its kin keep the environment", function()
		eq(user "x = 7 return load 'return x'()", 7)
		eq(user "return load('return _G == ...')(_G)", true)
		eq(user "return load('return _G', '=x', 't', {})()", nil)
		eq(user "return load('return 1', '=x', 't', nil)()", 1)
		local path = os.tmpname()
		local f = io.open(path, "w")
		f:write "y = (y or 0) + 1 return _G, ..."
		f:close()
		eq(user("local g = dofile(...) return g == _G and y", path), 1)
		eq(user("return loadfile(...)(5) == _G and y", path), 1)
		eq(user("return loadfile(..., 't', {})()", path), nil)
		os.remove(path)
	end)

	it("the metatables of strings and files", function()
		eq(user "return getmetatable ''", "protected")
		eq(user "return getmetatable(io.stdin)", "protected")
		raises("table expected", user, "setmetatable('', {})")
		raises("", user, "getmetatable('').__index = nil")
		user "string.upper = function() return 'mine' end"
		eq(("a"):upper(), "A")
		eq(user "return ('a'):upper()", "A")
	end)

	it("the metatable of the environment and of handles", function()
		eq(user "return getmetatable(_G)", false)
		raises("protected", user, "setmetatable(_G, {})")
		eq(user [[
			local h = task.spawn(function() end)
			return getmetatable(h)]], "protected")
		raises("protected", user, "setmetatable(select(2, try(error, 'x')), {})")
	end)

	it("debug: no functions of others, no hooks, no upvalues", function()
		eq(user [[
			local names = {}
			for name in pairs(debug) do names[#names + 1] = name end
			table.sort(names)
			return names]], { "getinfo", "traceback" })
		for level = 0, 30 do
			eq(user([[
				local level = ...
				local function deep(n) if n > 0 then return (deep(n - 1)) end
					local info = debug.getinfo(level)
					return info and info.func
				end
				return deep(3)]], level), nil)
		end
		eq(user "return debug.getinfo(print, 'f').func", nil)
		eq(user "return debug.getinfo(1, 'f').func", nil)
		eq(user [[
			local co = coroutine.create(function() coroutine.yield() end)
			coroutine.resume(co)
			return debug.getinfo(co, 1, "f").func]], nil)
	end)

	it("debug.getinfo still tells where one is", function()
		eq(user "\nreturn debug.getinfo(1, 'l').currentline", 2)
		eq(user "return debug.getinfo(1, 'S').short_src", "user")
		eq(user("local function f() return debug.getinfo(1, 'n').name end "
			.. "local n = f() return n"), "f")
		eq(user("\n\nlocal function f() local i = debug.getinfo(2, 'l') return i end "
			.. "local i = f() return i.currentline"), 3)
		eq(user "return debug.getinfo(print, 'S').what", "Lua")
		eq(user "return debug.getinfo(99)", nil)
		eq(user [[
			local co = coroutine.create(function()
				coroutine.yield() end)
			coroutine.resume(co)
			return debug.getinfo(co, 1, "l").currentline]], 2)
		raises("bad argument", user, "debug.getinfo(1, '?')")
		raises("bad argument", user, "debug.getinfo()")
	end)

	it("the coroutine of the program", function()
		local code, out = opsh("-e " .. quote [[
			local co = coroutine.running()
			task.all(function()
				print(coroutine.status(co), coroutine.resume(co))
				print(pcall(coroutine.close, co))
			end)]])
		eq(code, 0)
		ok(out:find "^normal\tfalse\tcannot resume non%-suspended", out)
		ok(out:find "\nfalse\tcannot close a normal coroutine", out)
	end, { plain = true })

	it("error objects carry no functions", function()
		eq(user [[
			local _, e = try(error, "x")
			for k, v in pairs(e) do
				if type(v) ~= "string" then return k end
			end]], nil)
	end)

	it("an exit code that would wrap around to 0", function()
		for _, code in ipairs { 256, 512, -256, 65536, 1 << 32 } do
			local got = opsh("-e " .. quote(([[
				local _, e = try(error, "x")
				e.exit_code = %d
				error(e)]]):format(code)))
			eq(got, 1, code)
		end
		eq((opsh("-e 'os.exit(256)'")), 1)
		eq((opsh("-e 'os.exit(7)'")), 7)
		eq((opsh("-e 'pcall(os.exit, 7) print(1)'")), 7)
		eq((opsh("-e 'os.exit(true)'")), 0)
		eq((opsh("-e 'os.exit(false)'")), 1)
		eq(select(2, opsh("-e 'local x <close> = setmetatable({}, "
			.. "{__close = function() print [[closed]] end}) os.exit(3)'")),
			"closed\n")
	end, { plain = true })
end)

describe("os and io", function()
	-- A session whose journal lies in a folder of its own.
	local function guarded(mode, text, ...)
		local effect = require "opsh.c.effect"
		local dir = os.tmpname()
		os.remove(dir)
		effect.close_run()
		effect.begin_run(dir .. "/runs")
		local before = effect.mode()
		effect.mode(mode)
		session.here, session.configuration = nil, { targets = {} }
		local out = table.pack(pcall(user, text, ...))
		effect.mode(before)
		effect.close_run()
		session.here, session.configuration = nil, nil
		local records = {}
		for run in io.popen("cat " .. dir .. "/runs/*/journal.jsonl 2>/dev/null")
			:lines() do records[#records + 1] = run end
		os.execute("rm -rf " .. dir)
		if not out[1] then error(out[2], 0) end
		return records, table.unpack(out, 2, out.n)
	end

	local function folder(f)
		local dir = os.tmpname()
		os.remove(dir)
		assert(sys.mkdir(dir))
		local _ <close> = setmetatable({}, { __close = function()
			os.execute("rm -rf " .. dir)
		end })
		f(dir)
	end

	it("reading is free and leaves no record", function()
		folder(function(dir)
			local f = io.open(dir .. "/a", "w")
			f:write "one\ntwo\n"
			f:close()
			local records, text, n = guarded("read", [[
				local dir = ...
				local f = io.open(dir .. "/a")
				local text = f:read "a"
				f:close()
				local n = 0
				for line in io.lines(dir .. "/a") do n = n + 1 end
				assert(io.open(dir .. "/none") == nil)
				assert(os.time() and os.date() and os.clock())
				assert(io.type(io.stdout) == "file")
				return text, n]], dir)
			eq(#records, 0)
			eq(text, "one\ntwo\n")
			eq(n, 2)
		end)
	end)

	local WRITES = {
		{ "write", "local f = io.open((...) .. '/new', 'w') f:write 'x' f:close()" },
		{ "write", "local f = io.open((...) .. '/new', 'a') f:write 'x' f:close()" },
		{ "write", "io.open((...) .. '/a', 'a'):close()" },
		{ "write", "io.open((...) .. '/a', 'r+'):close()" },
		{ "destructive", "io.open((...) .. '/a', 'w'):close()" },
		{ "destructive", "io.open((...) .. '/a', 'w+b'):close()" },
		{ "destructive", "os.remove((...) .. '/a')" },
		{ "destructive", "os.rename((...) .. '/a', (...) .. '/b')" },
		{ "destructive", "os.execute('echo > ' .. (...) .. '/c')" },
		{ "destructive", "io.popen('echo > ' .. (...) .. '/c'):close()" },
	}

	for _, row in ipairs(WRITES) do
		local class, text = table.unpack(row)

		it("read mode refuses: " .. text, function()
			folder(function(dir)
				io.open(dir .. "/a", "w"):close()
				local e = raises("refused", guarded, "read", text, dir)
				eq(e.outcome, "refused")
				eq(#sys.readdir(dir), 1)
				eq(sys.stat(dir .. "/a").size, 0)
			end)
		end)

		it("a plan withholds: " .. text, function()
			folder(function(dir)
				local f = io.open(dir .. "/a", "w")
				f:write "kept"
				f:close()
				local fine, e = pcall(guarded, "plan", text, dir)
				if not fine then eq(e.kind, "withheld") end
				eq(#sys.readdir(dir), 1)
				eq(sys.stat(dir .. "/a").size, 4)
			end)
		end)

		it("write mode records it, or asks for a guard: " .. text, function()
			folder(function(dir)
				local f = io.open(dir .. "/a", "w")
				f:write "kept"
				f:close()
				if class == "destructive" then
					raises("guard", guarded, "write", text, dir)
					eq(#sys.readdir(dir), 1)
					eq(sys.stat(dir .. "/a").size, 4)
				else
					local records = guarded("write", text, dir)
					eq(#records, 2)
					ok(records[1]:find('"type":"intent"', 1, true))
					ok(records[2]:find('"outcome":"done"', 1, true))
				end
			end)
		end)
	end

	it("a failure of the call is its outcome", function()
		local records, f, why = guarded("write",
			"return io.open('/nonexistent/x/y', 'w')")
		eq(f, nil)
		ok(why:find "No such file")
		ok(records[2]:find('"outcome":"failed"', 1, true))
	end)

	it("arguments are checked before anything is judged", function()
		for _, text in ipairs { "io.open(1)", "io.open()", "io.open('x', 'zz')",
			"os.remove(1)", "os.remove()", "os.rename('x')", "os.execute({})",
			"io.popen()", "os.setlocale('C')", "io.output('x')" } do
			raises("", guarded, "write", text)
		end
	end)
end)

describe("odd error values end the program safely:", function()
	for _, row in ipairs {
		{ "error()", "nil" }, { "error(nil)", "nil" }, { "error(false)", "false" },
		{ "error(42)", "42" }, { "error({})", "" }, { "error(print)", "" },
		{ "error(io.stdout)", "" }, { "error(coroutine.create(print))", "" },
		{ "error(setmetatable({}, {__tostring = function() return 1 end}))", "" },
		{ "error(setmetatable({}, {__tostring = function() error 'x' end}))", "" },
		{ "error(setmetatable({}, {__tostring = function() error() end}))", "" },
		{ "error(setmetatable({}, {__name = 'X'}))", "" },
		{ "error(setmetatable({}, {__index = function() error 'i' end}))", "" },
		{ "error(setmetatable({}, {__pairs = function() error 'p' end}))", "" },
		{ "error(('x'):rep(100000))", "xxx" },
		{ "error('a\\0b')", "a" }, { "error('\\27[31mred')", "red" },
		{ "error('\\xff\\xfe')", "" },
		{ "local t = {} t.t = t error(t)", "" },
		{ "local _, e = try(error, 'x') e.message = nil error(e)", "" },
		{ "local _, e = try(error, 'x') e.kind = {} error(e)", "" },
		{ "local _, e = try(error, 'x') e.message = {} e.hint = {} error(e)", "" },
		{ "local _, e = try(error, 'x') e.suppressed = e error(e)", "" },
		{ "local _, e = try(error, 'x') e.traceback = 1 e.where = {} error(e)", "" },
		{ "xpcall(error, function() error 'y' end, 'x') error 'end'", "end" },
		{ "local function f() return f() + 1 end f()", "stack overflow" },
		{ "string.rep('x', 1 << 30)", "not enough memory" },
		{ "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end",
			"not enough memory" },
		{ "coroutine.wrap(error)('in co')", "in co" },
		{ "task.spawn(error, 'in task')", "in task" },
		{ "task.spawn(error)", "nil" },
		{ "local x <close> = setmetatable({}, {__close = function() error 'c' end})"
			.. " error 'b'", "" },
		{ "setmetatable({}, {__gc = function() error 'gc' end}) collectgarbage() "
			.. "error 'end'", "end" },
		{ "error(error)", "" }, { "coroutine.yield()", "outside a coroutine" },
	} do
		it(row[1], function()
			for _, form in ipairs { "", "--output jsonl " } do
				local code, out = opsh(form .. "-e " .. quote(row[1]))
				eq(code, 1, out)
				ok(out:find(row[2], 1, true), out)
				ok(not out:find "opsh:run/", out)
				ok(#out < 200000)
			end
		end, { plain = true })
	end
end)
