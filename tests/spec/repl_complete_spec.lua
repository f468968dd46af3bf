-- Specs of repl.complete: what is offered where the cursor stands, and the signature
-- of the call it stands in. The cursor is `|` in the texts. Nothing is connected;
-- what a server would say is put into the catalog.
local complete = require "repl.complete"
local seen = require "repl.seen"
local task = require "opsh.task"

-- What looks through much text, or at playbooks: minutes with the collector at
-- every step, and Lua alone.
local PLAIN = { plain = true }

local TARGETS = { cache = { name = "cache", kind = "redis" },
	db = { name = "db", kind = "postgres" },
	events = { name = "events", kind = "kafka" },
	gateway = { name = "gateway", kind = "http" },
	orch = { name = "orch", kind = "compose" } }

local function context(more)
	local ctx = { env = {}, config = function() return { targets = TARGETS } end,
		dirs = { "playbooks" } }
	for name, value in pairs(more or {}) do ctx[name] = value end
	return ctx
end

local function at_mark(text, ctx)
	local at = text:find("|", 1, true)
	return complete.complete(text:sub(1, at - 1) .. text:sub(at + 1), at - 1,
		ctx or context())
end

-- The texts of the candidates, in order.
local function offered(text, ctx)
	local out, found = {}, at_mark(text, ctx)
	for n, one in ipairs(found.candidates) do out[n] = one.text end
	return out, found
end

local function set(list)
	local out = {}
	for _, one in ipairs(list) do out[one] = true end
	return out
end

local function hint(text, ctx)
	local found = at_mark(text, ctx).hint
	if not found then return nil end
	return found.text, found.from and found.text:sub(found.from, found.to),
		found.argument
end

describe("completion of names", function()
	it("offers no metamethod of a class", function()
		local class = { get = print, __call = print, __index = nil }
		class.__index = class
		local env = { client = setmetatable({}, class), class = class }
		eq(offered("client:|", context { env = env }), { "get" })
		eq(offered("client.__|", context { env = env }), {})
		eq(offered("class.__|", context { env = env }), { "__call", "__index" })
	end)

	it("offers globals, targets, local variables and keywords", function()
		local ctx = context { env = { alpha = 1, alphabet = "x", ["not a name"] = 1 } }
		eq(offered("al|", ctx), { "alpha", "alphabet" })
		eq(offered("print(ca|", ctx), { "cache" })
		eq(offered("local alto = 1\nreturn alt|", ctx), { "alto" })
		eq(offered("whi|", ctx), { "while" })
		eq(offered("tas|", ctx), { "task" })
		eq(set(offered("s|", ctx)).step, true)
		-- within a call its signature says more
		eq(offered("print(|", ctx), {})
		eq(offered("-- al|", ctx), {})
		eq(offered("--[[ al\nal|", ctx), {})
		eq(offered("x = 'al|", ctx), {})
	end)

	it("replaces the word, and says what all begin with", function()
		local _, found = offered("print(alp|) + 1",
			context { env = { alpha1 = 1, alpha2 = 2 } })
		eq({ found.from, found.to, found.common }, { 7, 9, "alpha" })
	end)

	it("indents an empty line of an entry that goes on", function()
		ok(at_mark("for i = 1, 3 do\n|").indent)
		ok(at_mark("for i = 1, 3 do\n\t|").indent)
		ok(not at_mark("for i = 1, 3 do\n\tpri|").indent)
	end)
end)

describe("completion of members", function()
	local env = { t = { one = 1, two = function() end, deep = { [3] = { x = 1 } },
		["a b"] = 1, ["end"] = 1 } }

	it("walks tables by rawget", function()
		local ctx = context { env = env }
		eq(offered("t.|", ctx), { "deep", "one", "two" })
		eq(offered("t:|", ctx), { "two" })
		eq(offered("t.deep[3].|", ctx), { "x" })
		eq(offered("t['deep'][3].|", ctx), { "x" })
		eq(offered("t.one.|", ctx), {})
		eq(offered("nothing.|", ctx), {})
		eq(offered("#t.o|", ctx), { "one" })
		eq(offered("f(1, t.tw|", ctx), { "two" })
		eq(offered("('x'):re|", ctx), { "rep", "reverse" })
	end)

	it("offers methods of targets by kind, and of Redis its commands", function()
		local names = set(offered "cache:|")
		ok(names.scan and names.pipeline and names.hget and names.config_get)
		names = set(offered "db:|")
		ok(names.query and names.exec and names.transaction and not names.scan)
		names = set(offered "orch:|")
		ok(names.restart and names.logs and names.set_image)
		ok(set(offered "gateway:|").post)
		eq(offered "db:noti|", { "notify" })
	end)

	it("offers functions of modules, and what calls give by their docs", function()
		ok(set(offered "fs.|").read)
		eq(offered "fs.tmpd|", { "tmpdir" })
		eq(offered "fs.tmpdir():|", { "close" })
		eq(offered "local d <close> = fs.tmpdir()\nd:cl|", { "close" })
		ok(set(offered "gateway:get('/x', { timeout = 3 }).|").status)
		ok(set(offered "gateway:get('/x').certificate.|").days_left)
		ok(set(offered 'require("opsh.prometheus").|').of)
		ok(set(offered 'local p = require "opsh.prometheus".of(gateway)\np:|').query)
		ok(set(offered "db:transaction(function(tx) tx:|").copy_in)
		ok(set(offered "string.|").format)
		eq(offered "math.fl|", { "floor" })
	end)

	it("follows clients and modules in variables", function()
		local client = setmetatable({}, { __name = "opsh.git.repository" })
		local ctx = context { env = { c = client, f = require "opsh.fs" },
			target_of = function(v)
				return rawequal(v, client) and TARGETS.cache or nil
			end }
		ok(set(offered("c:|", ctx)).scan)
		ok(set(offered("f.|", ctx)).read)
		ctx.target_of = function() end
		ok(set(offered("c:|", context { env = { c = client } })).checkout)
	end)
end)

describe("completion runs nothing", function()
	local ran = 0
	local function boom() ran = ran + 1 error "ran" end
	local evil = setmetatable({ real = 1 }, { __index = boom, __newindex = boom,
		__call = boom, __pairs = boom, __len = boom, __tostring = boom,
		__name = setmetatable({}, { __tostring = boom }), __eq = boom,
		__concat = boom, __close = boom, __metatable = "locked", __lt = boom })
	local env = setmetatable({ x = evil, f = boom }, { __index = boom,
		__pairs = boom, __len = boom })

	it("whatever is typed", function()
		local ctx = context { env = env }
		ran = 0
		for _, text in ipairs { "x.|", "x:|", "x.a.b.|", "x['a'].|", "x().|", "f().|",
			"f():|", "f{ |", "f '|", "x + y.|", "y.|", "os.exit().|", "os.exit(|",
			"cache:flushall().|", "cache:flushall(|", "cache 'flushall |",
			"x.real.|", "_G.x.|", "x[f()].|", "x[x].|", "(x).|", "=x.|",
			"local y = x.z\ny.|", "for k in x.|", "x.real = f().|", "#x.|" } do
			offered(text, ctx)
		end
		eq(ran, 0)
		eq(offered("x.|", ctx), { "real" })
	end)

	it("of a metatable whose parts are odd", function()
		for _, mt in ipairs { { __index = 42 }, { __index = "x" }, { __name = 1 },
			{ __index = setmetatable({}, { __index = boom }) } } do
			offered("x.|", context { env = { x = setmetatable({ k = 1 }, mt) } })
		end
		local loop = {}
		setmetatable(loop, { __index = loop })
		loop.key = 1
		eq(offered("x.k|", context { env = { x = loop } }), { "key" })
		eq(ran, 0)
	end)
end)

describe("completion of options", function()
	it("offers those that are not given, with their types", function()
		eq(offered "cache:scan{ |", { "count = ", "match = ", "timeout = ", "type = " })
		eq(offered "cache:scan { match = 'x', t|", { "timeout = ", "type = " })
		-- no option: a value of the list
		eq(offered "cache:scan { match = 'x', tos|", { "tostring" })
		eq(offered "cache:scan({ match = 'x', count = 1, |",
			{ "timeout = ", "type = " })
		local _, found = offered "cache:scan{ ma|"
		eq(found.candidates[1].detail, "string  glob")
		eq({ found.from, found.to }, { 13, 14 })
	end)

	it("finds the table among the arguments, and in another", function()
		eq(offered "db:query('select $1', 1, { |", { "max = ", "savepoint = ",
			"timeout = " })
		eq(set(offered "gateway:post('/x', { retry = { |"), set { "attempts = ",
			"delay = ", "each = ", "factor = ", "max_delay = " })
		eq(set(offered "gateway:post('/x', { multipart = { { |"), set { "file = ",
			"filename = ", "name = ", "type = ", "value = " })
		eq(offered "task.map({}, {|", { "limit = " })
		ok(set(offered "sh.run { 'ls', |")["timeout = "])
		eq(offered "nobody{ |", {})
		eq(offered "nobody(1, { |", {})
	end)

	it("offers the values that are listed", function()
		eq(offered "db:transaction(f, { isolation = |", { '"read committed"',
			'"repeatable read"', '"serializable"' })
		eq(offered 'db:transaction(f, { isolation = "re|', { "read committed",
			"repeatable read" })
		eq(offered "fs.hash('/etc/passwd', 's|", { "sha1", "sha256", "sha512" })
		eq(offered "fs.mkdir('/x', { parents = |", { "false", "true" })
		eq(offered "fs.hash('x', |", {})
	end)
end)

describe("completion in strings", function()
	it("offers commands of Redis, with their syntax", function()
		local names = offered 'cache "GE|'
		ok(set(names).GET and set(names).GETDEL)
		eq(offered 'cache "config g|', { "config get" })
		eq(offered 'cache("PEXP|', { "PEXPIRE" })
		eq(offered 'cache:cmd("PEXP|', { "PEXPIRE" })
		eq(offered 'cache "GET x|', {})
		eq(offered 'cache:get "GE|', {})
		eq((hint 'cache "EXPIRE key |'), "EXPIRE key seconds [NX|XX|GT|LT]")
		eq((hint "cache:hget(|"), "HGET key field")
		eq((hint "cache:config_get(|"), "CONFIG GET pattern ...")
	end)

	it("offers modules, files and programs", function()
		ok(set(offered 'require "opsh.prom|')["opsh.prometheus"])
		ok(set(offered 'fs.read "/etc/passw|').passwd)
		ok(set(offered 'fs.read "/et|')["etc/"])
		eq(offered 'fs.read "/no such folder/|', {})
		ok(set(offered 'io.open("/etc/host|').hosts)
		eq(select(2, offered 'fs.read "/etc/|').from, 15)
		ok(set(offered 'sh.run { "ls|').ls)
		ok(set(offered 'sh.run { "ls", "/et|')["etc/"])
		ok(set(offered 'sh.run { "ls", stdout = "/et|')["etc/"])
		eq(offered 'print "/nothing like this|', {})
	end)

	it("offers paths of http targets that were asked for before", function()
		local ctx = context()
		seen.entry(ctx, 'gateway "/health"')
		seen.entry(ctx, "return gateway:get('/actuator/health?x=1').json")
		seen.entry(ctx, "print '/etc/passwd'")
		eq(offered('gateway "/|', ctx), { "/actuator/health", "/health" })
		eq(offered('gateway:post("/ac|', ctx), { "/actuator/health" })
	end)
end)

describe("completion of what servers have", function()
	local function tables(...)
		local out = { tables = { ... }, by = {} }
		for _, one in ipairs(out.tables) do
			one.columns, one.visible = one.columns or {}, one.schema == "public"
			out.by[one.schema .. "." .. one.name] = one
			if one.visible then out.by[one.name] = one end
		end
		return out
	end

	local function connected(what, value)
		return context { catalog = { [what[1]] = { [what[2]] = { value = value,
			at = math.huge } } } }
	end

	local flights = { schema = "public", name = "flights", columns = {
		{ name = "id", type = "integer" }, { name = "callsign", type = "text" } } }
	local odd = { schema = "public", name = "Odd Name", columns = {
		{ name = "Mixed", type = "text" } } }
	local ctx = connected({ "db", "tables" }, tables(flights, odd,
		{ schema = "audit", name = "log" }))

	it("offers tables and columns where they stand", function()
		eq(offered('db "select * from fl|', ctx), { "flights" })
		eq(offered('db:query("select * from |', ctx), { '"Odd Name"', "flights",
			"audit", "public" })
		eq(offered('db "select * from audit.|', ctx), { "audit.log" })
		eq(offered('db "select call| from flights"', ctx), { "callsign" })
		eq(offered('db "select f.| from flights f"', ctx), { "f.callsign", "f.id" })
		eq(offered('db "select 1 from flights where i|', ctx), { "id", "if",
			"ilike", "in", "index", "inner", "insert", "intersect", "interval",
			"into", "is" })
		eq(offered('db "SEL|', ctx), { "SELECT" })
		eq(offered('db:exec([[update flights set c|', ctx)[1], "callsign")
		eq(offered('cache "select * from fl|', ctx), {})
	end)

	it("offers topics and groups", function()
		local topics = connected({ "events", "topics" }, { "orders", "orders-dlq" })
		eq(offered('events:watermarks("ord|', topics), { "orders", "orders-dlq" })
		eq(offered('events "watermarks orders-|', topics), { "orders-dlq" })
		eq(offered('cache:get("ord|', topics), {})
		local groups = connected({ "events", "groups" }, { "processor" })
		eq(offered('events:lag "pr|', groups), { "processor" })
		eq(offered('events "lag pr|', groups), { "processor" })
		eq(offered('events "wat|', groups), { "watermarks" })
		eq((hint('events "lag |', groups)), "lag [group] [topic=] [timeout=]")
		eq(offered('events "consume orders isol|', groups), { "isolation=" })
	end)

	it("offers services", function()
		local own = connected({ "orch", "services" }, { "gateway", "tracker" })
		eq(offered('orch "rest|', own), { "restart" })
		eq(offered('orch "logs ga|', own), { "gateway" })
		eq(offered('orch:restart("t|', own), { "tracker" })
		eq(offered('orch:restart({ "gateway", "t|', own), { "tracker" })
		eq(offered('orch:scale("|', own), { "gateway", "tracker" })
	end)

	it("reads COMMAND DOCS", function()
		local redis = require "repl.redis"
		local docs = redis.from_docs { "get", { "summary", "Gives it", "arguments",
			{ { "name", "key", "type", "key" } } }, "set", { "arguments", {
			{ "name", "key", "type", "key" }, { "name", "value", "type", "string" },
			{ "name", "condition", "type", "oneof", "flags", { "optional" },
			  "arguments", { { "name", "nx", "type", "pure-token", "token", "NX" },
			  { "name", "xx", "type", "pure-token", "token", "XX" } } },
			{ "name", "s", "type", "integer", "token", "EX", "flags",
			  { "optional" } } } }, "config", { "subcommands", { "config|get",
			{ "arguments", { { "name", "parameter", "type", "string", "flags",
			{ "multiple" } } } } } } }
		eq(docs.GET, { syntax = "key", summary = "Gives it" })
		eq(docs.SET.syntax, "key value [NX|XX] [EX s]")
		eq(docs["CONFIG GET"].syntax, "parameter ...")
		eq(docs.CONFIG, nil)
		for _, odd_reply in ipairs { {}, { "x" }, { "x", 1 }, { "x", { "arguments", 1 } },
			{ "x", { "subcommands", 1 } } } do
			ok(redis.from_docs(odd_reply))
		end
	end)
end)

describe("completion of commands", function()
	it("offers commands and what they take", function()
		eq(offered ":ru|", { "run" })
		eq(offered ":run redis/cache-fl|", { "redis/cache-flush" })
		local names = set(offered ":run redis/cache-flush |")
		ok(names["pattern="] and names["rate="])
		names = set(offered ":plan redis/cache-flush pattern=x |")
		ok(not names["pattern="] and names["rate="])
		eq(offered ":run redis/cache-flush whole=|", { "false", "true" })
		eq(offered ":connect ca|", { "cache" })
		eq(offered ":set pag|", { "pager" })
		eq(offered ":timeline --re|", { "--reads" })
		eq(offered ":bg cache:sca|", { "scan", "scan_batches", "scard" })
		eq(offered ":nothing |", {})
		eq((hint ":run |"), ":run PLAYBOOK [NAME=VALUE ...]")
		-- a method call at the beginning of a second line is no command
		eq(offered "x = 1\n:ru|", {})
	end, PLAIN)
end)

describe("the hint", function()
	it("is the signature, with the argument that is typed", function()
		local text, current, argument = hint "fs.hash('x', |"
		eq(text, "fs.hash(path, algorithm?, opts?)")
		eq(current, "algorithm?")
		ok(argument:find "sha256")
		eq(select(2, hint "fs.hash(|"), "path")
		eq(select(2, hint "db:query('select $1', 1, |"), "...")
		eq(select(2, hint "db.query(db, |"), "sql")
		eq(select(2, hint "('x'):rep(|"), "n")
		eq((hint "print(fs.read('x', { max = |"), "fs.read(path, opts?)")
		eq((hint "step('x', function() local a, b = fs.stat(|"),
			"fs.stat(path, opts?)")
		eq(hint "step('x', function() local a, b = |", nil)
		eq(hint "nobody(|", nil)
		eq(hint "fs.read('x')|", nil)
		eq(hint "function f(|", nil)
		eq(select(3, hint "cache:scan{ match = |"), "match?: string  glob")
		eq((hint "guard(cache, { |"), "guard(client, opts)")
		eq(complete.hint("fs.stat(", 8, context()).text, "fs.stat(path, opts?)")
	end)

	it("offers runs, to resume only those that a playbook has begun", function()
		local session, sys = require "run.session", require "opsh.c.sys"
		local dir, before = os.tmpname(), session.runs_dir
		assert(os.remove(dir))
		assert(sys.mkdir(dir))
		for name, first in pairs {
			["01AAAAAAAAAAAAAAAAAAAAAAA1"] = '{"name":"a/b","mode":"write"}',
			["01AAAAAAAAAAAAAAAAAAAAAAA2"] = '{"name":"a/b","mode":"plan"}',
			["01AAAAAAAAAAAAAAAAAAAAAAA3"] = '{"command":"repl","mode":"write"}',
			["01AAAAAAAAAAAAAAAAAAAAAAA4"] = "no JSON" } do
			assert(sys.mkdir(dir .. "/" .. name))
			local file = assert(io.open(dir .. "/" .. name .. "/journal.jsonl", "w"))
			assert(file:write(first, "\n"))
			file:close()
		end
		session.runs_dir = function() return dir end
		local fine, resumable, all = pcall(function()
			return offered ":resume |", offered ":timeline |"
		end)
		session.runs_dir = before
		if not fine then error(resumable, 0) end
		eq(resumable, { "last", "01AAAAAAAAAAAAAAAAAAAAAAA1" })
		eq(#all, 5)
	end)
end)

describe("large tables", function()
	it("10,000 globals are a matter of milliseconds", function()
		local env = {}
		for n = 1, 10000 do env[("g%05d"):format(n)] = n end
		local ctx = context { env = env }
		offered("g|", ctx)
		local best = math.huge
		for _ = 1, 5 do
			local began = task.now()
			local _, found = offered("g|", ctx)
			best = math.min(best, task.now() - began)
			eq(#found.candidates, 1000)
			ok(found.more >= 9000, found.more)
			eq(found.common, "g")
			began = task.now()
			eq(#offered("g0001|", ctx), 10)
			best = math.min(best, task.now() - began)
		end
		ok(best < 0.2, best)
	end, PLAIN)

	it("says what all begin with, also those that it does not keep", function()
		local env = {}
		for n = 1, 5000 do env[("abc%04d"):format(n)] = n end
		local _, found = offered("ab|", context { env = env })
		eq(found.common, "abc")
		eq(found.more, 4000)
	end, PLAIN)

	it("of 100,000 keys so many are looked at, and that is said", function()
		local t = {}
		for n = 1, 100000 do t["k" .. n] = n end
		local _, found = offered("t.|", context { env = { t = t } })
		ok(found.note:find "20000 keys")
		ok(#found.candidates <= 1000)
	end, PLAIN)
end)

describe("broken text", function()
	it("never fails, wherever it ends", function()
		local text = [==[
local a <const>, b = f{ x = 1, "y", [3] = { z } }, "s\"t" .. 'q' -- comment
for k, v in pairs(t) do cache:scan{ match = "x*", count = (1 + 2) * 3 } end
if a[1]["x"]:y(2, function(c) return c:z() end) then goto e end ::e::
db:query([[select "x" from t where a = $1]], 0x1F, { timeout = 1e3 }) --[=[ long
]=] return ~1 // 2 >> 3, "é€😀", fs.]==]
		local ctx = context { env = { t = { x = 1 }, a = {} } }
		for at = 0, #text do complete.complete(text, at, ctx) end
		for _, odd in ipairs { "", ")", "}}}", "]]", "((((", "{{{{", "end end", "a.:b",
			"a..", "a.b.", "..", ":", "::", ":x :y", "'", '"', "[[", "--[[", "\0",
			"\xff\xfe.", "x.\xff", "function", "local", "local =", "= =", "f(,", "f{,",
			"{ a = ", "[", "a[", "a[[", "a['", "1.", "1..", "...:", "a.1" } do
			complete.complete(odd, #odd, ctx)
			complete.complete(odd, 0, ctx)
			complete.hint(odd, #odd, ctx)
		end
	end, PLAIN)
end)
