-- Specs of run.docs: what is read from lua/meta and from the comments of lua/opsh,
-- and that every public function has its signature and its words. The one source
-- of help, completion and hints, so a gap here is one there.
local docs = require "run.docs"
local kinds = require "run.kinds"
local sys = require "opsh.c.sys"
local text = require "run.docs.text"

-- A sweep needs no second walk through all of it.
local ONCE = { plain = true }

local function signature(member, called) return (docs.signature(member, called)) end

describe("run.docs.text", function()
	it("splits types outside of brackets", function()
		eq(text.split("a, b<c, d>, fun(x: A, y: B): C, {e: F, g: H}", ","),
			{ "a", "b<c, d>", "fun(x: A, y: B): C", "{e: F, g: H}" })
		eq(text.split('"a|b"|"c"|nil', "|"), { '"a|b"', '"c"', "nil" })
		eq(text.split("", ","), {})
	end)

	it("reads a function with all that is said of it", function()
		local file = text.parse([[
---@meta opsh.c.x
-- x: a head.

---@class opsh.x
---@field n? integer how many,
---in all
local X = {}

---Does it. And more:
---of this.
---
---    x:go("a", 1)
---@param name string|fun(a: integer): string what
---@param opts? {a?: integer, b: table<string, integer>} some
---@param ... any rest
---@return integer count so many
function X:go(name, opts, ...) end

---@return string
function X.bare(a) end

return X
]], "lua/meta/x.lua")
		local class = file.classes["opsh.x"]
		eq(class.order, { "n", "go", "bare" })
		eq(class.members.n.text, "how many, in all")
		local go = class.members.go
		eq(go.summary, "Does it")
		eq(go.sep, ":")
		eq(go.params[1].type, "string|fun(a: integer): string")
		eq(go.params[1].text, "what")
		eq(go.params[2].optional, true)
		eq(go.params[2].type, "{a?: integer, b: table<string, integer>}")
		eq(go.returns[1].text, "count so many")
		eq(class.members.bare.params[1].name, "a")
		eq(file.returns, "opsh.x")
	end)

	it("never fails on what it can't read", function()
		for _, odd in ipairs { "", "---@class", "---@param\nfunction x.y(", "---@",
			"---@field\n---@return\nlocal", "---@class opsh.y: \nlocal y = {",
			"---@param f fun(\nfunction m:n(f)", "return", "---@return \"a\n" } do
			ok(text.parse(odd .. "\n", "lua/meta/odd.lua").classes, odd)
		end
	end)
end)

describe("run.docs", function()
	it("knows methods, what they extend, modules and what they hand on", function()
		eq(signature(docs.member("opsh.redis.client", "scan"), "cache:scan"),
			"cache:scan(opts?)")
		eq(signature(docs.member("opsh.compose.client", "set_image"),
			"o:set_image"), "o:set_image(service, image, opts?)")
		-- of opsh.orchestrator, which the backends extend
		ok(docs.member("opsh.local.client", "top"))
		eq(signature(docs.member(docs.module "opsh.fs", "read"), "fs.read"),
			"fs.read(path, opts?)")
		eq(signature(docs.member(docs.module "opsh.task", "spawn"), "task.spawn"),
			"task.spawn(f, ...)")
		eq(signature(docs.member(docs.module "opsh.json", "decode"),
			"json.decode"), "json.decode(text, opts?)")
		eq(docs.member(docs.module "opsh.fs", "rmtmp"), nil)
		eq(docs.member(docs.module "opsh.prometheus", "range"), nil)
		ok(docs.member("opsh.prometheus", "range"))
		ok(docs.member("opsh.pg.client", "transaction"))
		ok(docs.global "step" and docs.global "guard" and docs.global "pcall")
		eq(docs.class "opsh.nothing", nil)
		eq(docs.module "opsh.nothing", nil)
	end)

	it("gives fields and values of types", function()
		local names = {}
		for n, field in ipairs(docs.fields "opsh.redis.scan_options") do
			names[n] = field.name
		end
		eq(names, { "match", "count", "type", "timeout" })
		eq(docs.fields "{a?: integer}"[1].optional, true)
		eq(docs.fields "string", nil)
		eq(docs.values '"a"|"b c"|nil', { "a", "b c" })
		eq(docs.class_of "opsh.http.response?", "opsh.http.response")
		eq(docs.class_of "fun(): opsh.http.response", nil)
	end)

	-- What a module has below it (opsh.a.b) is for itself and its kin.
	local function check(name, member)
		local own = ("%s.%s"):format(name, member.name)
		ok(member.summary or #member.returns > 0 or name:find "^opsh%..*%.",
			own .. " has no description")
		ok(#signature(member, own) > 0)
	end

	it("has a signature and a sentence for each function", function()
		local n = 0
		for _, name in ipairs(docs.modules()) do
			for _, member in ipairs(docs.members(docs.module(name))) do
				if member.params then
					n = n + 1
					check(name, member)
				end
			end
		end
		ok(n > 250, n)
	end, ONCE)

	local function undescribed(name, missing)
		local module, class = require(name), docs.module(name)
		for field, value in next, type(module) == "table" and module or {} do
			if type(value) == "function" and field:find "^%l"
				and field ~= "install" and not docs.member(class, field) then
				missing[#missing + 1] = name .. "." .. field
			end
		end
	end

	it("has one for each function that a module really offers", function()
		local missing = {}
		for _, name in ipairs(docs.modules()) do undescribed(name, missing) end
		table.sort(missing)
		eq(missing, {})
	end, ONCE)

	it("describes the clients of each kind", function()
		for kind in pairs(kinds) do
			local class = docs.class(docs.of_kind(kind))
			ok(class, "no documentation of clients of kind " .. kind)
			local methods = 0
			for _, member in ipairs(docs.members(class)) do
				if member.params then methods = methods + 1 end
			end
			ok(methods > 2, kind)
		end
	end, ONCE)

	it("describes every global of user code", function()
		for name in pairs(require("run.env").names()) do
			local module = require("run.env").module_of(name)
			ok(docs.global(name) or docs.library(name)
				or module and docs.module(module) or name == "null"
				or name == "system" or name:find "^_", name)
		end
	end)

	it("finds each in the embedded files", function()
		ok(#sys.files "doc/opsh/" > 50)
		ok(not sys.file "doc/opsh/fs.lua":find "local function too_long")
	end)
end)
