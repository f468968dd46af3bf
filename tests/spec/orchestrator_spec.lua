-- orchestrator_spec: what all orchestrators share: names, waiting until services
-- are ready, what one can't do. Owns a pretended orchestrator whose rows are told;
-- the real ones have specs of their own.
require "harness"
local orchestrator = require "opsh.orchestrator"

-- One whose status answers these lists of rows in turn, the last for ever.
local function pretend(...)
	local answers, asked = { ... }, 0
	return { status = function()
		asked = asked + 1
		return answers[math.min(asked, #answers)]
	end }, function() return asked end
end

local function row(service, state, ready, more)
	local r = { service = service, name = service .. "_1", state = state,
		ready = ready }
	for k, v in pairs(more or {}) do r[k] = v end
	return r
end

describe("orchestrator", function()
	it("takes a name, a list or nothing", function()
		eq(orchestrator.names("web"), { "web" })
		eq(orchestrator.names { "a", "b" }, { "a", "b" })
		eq(orchestrator.names(nil, function() return { "x" } end), { "x" })
		eq(orchestrator.names(nil), {})
	end)

	it("takes no name that a program would read as an option", function()
		for _, bad in ipairs { "-f", "", "a b", "a\nb", 7, true } do
			local e = raises("usage", orchestrator.names, { "web", bad })
			ok(e.message:find("number 2", 1, true))
		end
		raises("usage", orchestrator.names, 12)
	end)

	it("says what a backend can't do", function()
		local e = raises("usage", orchestrator.unsupported, "local", "scale",
			"a process has no copies")
		eq(e.code, "UNSUPPORTED")
		ok(e.message:find("'scale'", 1, true))
		ok(e.message:find("no copies", 1, true))
	end)

	it("waits until all are ready", function()
		local o, asked = pretend({ row("web", "starting", false) },
			{ row("web", "running", true), row("db", "running", false) },
			{ row("web", "running", true), row("db", "running", true) })
		local said = {}
		local took = orchestrator.wait_ready(o, { "web", "db" }, {
			interval = 0.01, on_wait = function(text) said[#said + 1] = text end })
		eq(asked(), 3)
		ok(took >= 0)
		eq(#said, 2)
		ok(said[1]:find("starting", 1, true))
	end)

	it("says what was not ready in time", function()
		local o = pretend { row("web", "restarting", false,
			{ reason = "CrashLoopBackOff", health = "unhealthy" }) }
		local e = raises("timeout", orchestrator.wait_ready, o, "web",
			{ timeout = 0.05, interval = 0.01 })
		eq(e.code, "NOT_READY")
		ok(e.message:find("web_1 is restarting", 1, true))
		ok(e.message:find("CrashLoopBackOff", 1, true))
		ok(e.message:find("0.05 s", 1, true))
	end)

	it("misses a service that has no instance", function()
		local o = pretend { row("web", "running", true) }
		local e = raises("timeout", orchestrator.wait_ready, o, { "web", "db" },
			{ timeout = 0 })
		ok(e.message:find("db is not there", 1, true))
	end)

	it("is called by one string: call", function()
		local said
		local o = setmetatable({}, { __index = function(_, name)
			if name == "undo" then return nil end
			return function(_, ...)
				said = { name, ... }
				if name == "logs" then
					return coroutine.wrap(function()
						coroutine.yield { text = "one" }
						coroutine.yield { text = "two" }
					end)
				end
				return name .. " done"
			end
		end })
		local function call(text)
			said = nil
			return orchestrator.call(o, text)
		end
		eq(call "status", "status done")
		eq(said, { "status" })
		call "restart api worker timeout=5"
		eq(said, { "restart", { "api", "worker" }, { timeout = 5 } })
		call "scale api 3"
		eq(said, { "scale", "api", 3 })
		call "set_env api LEVEL=debug"
		eq(said, { "set_env", "api", { LEVEL = "debug" } })
		call "exec cache redis-cli ping 7"
		eq(said, { "exec", "cache", { "redis-cli", "ping", "7" } })
		eq(#call "logs api", 2)
		eq(said, { "logs", { "api" }, { tail = 100 } })
		local e = raises("unknown word 'sttus'", call, "sttus")
		ok(e.hint:find("status", 1, true))
		raises("usage", call, "")
		raises("usage", orchestrator.call, o, 7)
		eq(raises("usage", call, "undo api").code, "UNSUPPORTED")
		raises("unknown word '__index'", call, "__index")
	end)
end)
