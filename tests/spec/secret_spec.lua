-- secret_spec: where secrets come from, and that none of them shows. Files are
-- below a throwaway folder. secret.command is in child_spec, typed ones in
-- tests/pty. Owns the folder; must not leave a value in the environment.
local secret = require "opsh.secret"
local effect = require "opsh.c.effect"
local sys = require "opsh.c.sys"
local env = require "run.env"

local function folder()
	local path = os.tmpname()
	os.remove(path)
	assert(sys.mkdir(path))
	return path
end

-- A file with this text and mode; gone with the second value's end.
local function file(text)
	local dir = folder()
	local path = dir .. "/secret"
	assert(sys.save(path, text, 384))	-- 0600
	return path, setmetatable({}, { __close = function()
		os.remove(path)
		os.remove(dir)
	end })
end

-- What a binding would send, by what is masked.
local function masked(text)
	return effect.mask("<" .. text .. ">") == "<[secret]>"
end

describe("a secret", function()
	it("of the environment is masked before it is used", function()
		local before = sys.getenv
		sys.getenv = function(name)
			return name == "OF_THE_SPEC" and "env-of-the-spec-7\n" or before(name)
		end
		local fine, e = pcall(secret.env, "OF_THE_SPEC")
		local none = pcall(secret.env, "NOT_SET_BY_ANYBODY")
		sys.getenv = before
		if not fine then error(e, 0) end
		ok(none)
		ok(masked "env-of-the-spec-7")
	end)
	it("prints as its name, everywhere", function()
		local s = secret.value("value-of-the-spec-1", "spec")
		eq(tostring(s), "[secret spec]")
		eq(("%s"):format(s), "[secret spec]")
		eq(require("opsh.table").format({ a = s }), "a  [secret spec]\n")
		ok(not pcall(function() return "x" .. s end))
		ok(not pcall(function() return #s end))
		ok(not pcall(function() return s.value end) or s.value == nil)
	end)
	it("can't be looked into or changed", function()
		for _, s in ipairs { secret.value("value-of-the-spec-2", "spec"),
			secret.env "OPSH_SPEC_NOT_SET" } do
			ok(type(getmetatable(s)) ~= "table", "its metatable is hidden")
			for _, name in ipairs { "value", "text", "source", 1 } do
				local fine, got = pcall(function() return s[name] end)
				ok(not fine or got == nil, name)
			end
		end
	end)
	it("is one", function()
		ok(secret.is(secret.value("value-of-the-spec-3")))
		ok(secret.is(secret.env "X"))
		for _, v in ipairs { "text", 1, {}, print, true } do
			ok(not secret.is(v))
		end
		ok(not secret.is(nil))
	end)
	it("is masked from then on", function()
		ok(not masked "value-of-the-spec-4")
		secret.value "value-of-the-spec-4"
		ok(masked "value-of-the-spec-4")
	end)
	it("is none when it is empty or no text", function()
		raises("is empty", secret.value, "", "spec")
		raises("is empty", secret.value, "\n", "spec")
		raises("string expected", secret.value, 12)
		raises("string expected", secret.value)
		raises("string expected", secret.value, {})
	end)
end)

describe("a lazy secret", function()
	it("asks for nothing before it is used", function()
		local s = secret.env "OPSH_SPEC_NOT_SET"
		eq(tostring(s), "[secret OPSH_SPEC_NOT_SET]")
		local e = raises("config", secret.resolve, s)
		ok(e.message:find("'OPSH_SPEC_NOT_SET' is not set", 1, true))
		eq(tostring(secret.file "/nope"), "[secret /nope]")
		eq(tostring(secret.command { "no-such-program-here" }),
			"[secret no-such-program-here]")
		eq(tostring(secret.prompt "Password: "), "[secret prompt]")
	end)
	it("is asked once", function()
		local path, _ <close> = file "only-once-of-the-spec\n"
		local s = secret.file(path)
		local first = secret.resolve(s)
		assert(os.remove(path))
		ok(rawequal(secret.resolve(s), first))
		assert(sys.save(path, "x"))
	end)
	it("lets anything else through", function()
		eq(secret.resolve "text", "text")
		eq(secret.resolve(nil), nil)
		eq(secret.resolve(5), 5)
		local s = secret.value "value-of-the-spec-5"
		ok(rawequal(secret.resolve(s), s))
	end)
	it("refuses a name that is none", function()
		for _, f in ipairs { secret.env, secret.file, secret.prompt } do
			raises("expected, got number", f, 1)
			raises("expected, got nil", f)
			raises("expected", f, "")
		end
		raises("secret.command", secret.command, "pass show x")
		raises("secret.command", secret.command, {})
		raises("secret.command", secret.command, { 1 })
	end)
	it("that is typed needs a terminal", function()
		local e = raises("config", secret.resolve, secret.prompt "Password: ")
		ok(e.message:find("no answer to 'Password: '", 1, true))
	end)
end)

describe("secret.file", function()
	it("drops one newline", function()
		for n, text in ipairs { "spec-file-a", "spec-file-b\n",
			"spec-file-c\r\n", " spec-file-d " } do
			local path, _ <close> = file(text)
			secret.resolve(secret.file(path))
			local bare = ({ "spec-file-a", "spec-file-b", "spec-file-c",
				"spec-file-d" })[n]
			ok(not effect.mask("< " .. bare .. " >"):find(bare, 1, true), text)
		end
	end)
	it("refuses one that others can read", function()
		local path, _ <close> = file("spec-file-open")
		os.execute(("chmod 644 '%s'"):format(path))	-- whatever the umask
		local e = raises("config", secret.resolve, secret.file(path))
		ok(e.message:find "everybody can read it")
		ok(not e.message:find "spec-file-open")
	end)
	it("refuses what is not there, a folder, too much, nothing", function()
		local e = raises("config", secret.resolve, secret.file "/nope/nope")
		ok(e.message:find("/nope/nope", 1, true))
		raises("config", secret.resolve, secret.file "/")
		local path, _ <close> = file(("x"):rep(70000))
		raises("config", secret.resolve, secret.file(path))
		local empty, _ <close> = file ""
		raises("is empty", secret.resolve, secret.file(empty))
	end)
end)

describe("secret in playbooks", function()
	it("is there, and gives no value away", function()
		local e = env.new(false)
		ok(e.secret.env)
		local s = e.secret.value("value-of-the-spec-6", "spec")
		eq(e.tostring(s), "[secret spec]")
		raises("config", function()
			e.secret.resolve(e.secret.env "OPSH_SPEC_NOT_SET")
		end)
	end)
end)
