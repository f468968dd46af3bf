-- lock: what the specs of locks share: a run after which no lock is held and the
-- configuration is what it was, a write in it, a holder. Loaded with dofile. Must not
-- know the stores.
local clock = require "opsh.c.lock"
local effect = require "opsh.c.effect"
local holder = require "run.holder"
local journal = dofile "tests/lib/journal.lua"
local session = require "run.session"
local target = require "opsh.c.target"

local M = {}

-- Runs f(dir) as a run in write mode; its records.
function M.run(f)
	local config = session.configuration
	return (journal.run("write", function(dir)
		local _ <close> = setmetatable({}, { __close = function()
			clock.drop()
			session.configuration = config
		end })
		f(dir)
	end))
end

M.of, M.temp = journal.of, journal.temp

-- A write (or another class) on a target of the test's.
function M.write(class, verb)
	return effect.call(target.new { name = "cache", kind = "redis" },
		class or "write", verb or "SET", "SET k v", nil,
		function() return "sent" end)
end

function M.me()
	local m = holder.me "test/spec"
	m.run = m.run or "RUN"
	return m
end

return M
