-- Specs of repl.prompt: what it shows of the session, without a terminal and so
-- without colours: the environment, the mode, targets that have changed. Leaves
-- the session's objects as they were.
local effect = require "opsh.c.effect"
local prompt = require "repl.prompt"
local session = require "run.session"

local function ctx(environment, protected)
	return { config = function()
		return { environment = environment or "", protected = protected or false }
	end }
end

local function target(name, role, changed)
	return { name = function() return name end, role = function() return role end,
		changed = function() return changed end }
end

describe("repl.prompt", function()
	it("says where, how, and which run", function()
		local mode = effect.mode()
		effect.mode "read"
		local text = prompt.first(ctx("production", true))
		ok(text:find "^production read ?%w*> $", text)
		effect.mode "plan"
		ok(prompt.first(ctx()):find "^plan", prompt.first(ctx()))
		effect.mode(mode)
	end)

	it("names who is not who it was", function()
		local db, cache, other = {}, {}, {}
		session.objects[db] = target("db", "standby", true)
		session.objects[cache] = target("cache", "", true)
		session.objects[other] = target("other", "primary", false)
		local text = prompt.first(ctx "stage")
		session.objects[db], session.objects[cache] = nil, nil
		session.objects[other] = nil
		ok(text:find("cache=changed! db=standby!", 1, true), text)
		ok(not text:find("other", 1, true), text)
	end)

	it("shows no foreign escapes", function()
		local text = prompt.first(ctx "a\27[31mb")
		ok(not text:find("\27", 1, true), text)
	end)

	it("goes on below its own end", function()
		eq(prompt.more "write ABCD> ", "       ...> ")
		eq(prompt.more "\1\27[31m\2ab\1\27[0m\2> ", "...> ")
		eq(prompt.more "", "...> ")
	end)
end)
