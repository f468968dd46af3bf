-- Specs of `opsh help`: what it finds, and that each global of user code and each
-- public module is found. Owns nothing; the commands are run with a context that
-- keeps what they print.
local env = require "run.env"
local help = require "run.cmd.help"
local sys = require "opsh.c.sys"

local function topic(name)
	local text = ""
	help.run({ out = function(s) text = text .. s end,
		rows = function() text = text .. "rows" end }, { name })
	return text
end

describe("opsh help", function()
	it("finds guides, commands and other names of guides", function()
		ok(topic("errors"):find "^# Errors")
		ok(topic("check"):find "^usage: opsh check")
		-- both a command and a guide
		ok(topic("targets"):find "^usage: opsh targets.*\n\n# Targets\n")
		eq(topic "exit-codes", "rows")
		eq(topic "sh", topic "processes")
		eq(topic "kubectl", topic "orchestrators")
		ok(topic(nil):find "topics %(opsh help TOPIC%): chart, errors, exit%-codes")
		local e = raises("usage", topic, "kubctl")
		ok(tostring(e):find("kubectl", 1, true), e)
	end)

	it("knows each global of user code", function()
		for name in pairs(env.names()) do
			if rawget(_G, name) == nil then
				ok(pcall(topic, name), "no help on the global " .. name)
			end
		end
	end)

	it("knows each public module", function()
		local n = 0
		for _, path in ipairs(sys.files "lua/opsh/") do
			local name = path:match "^lua/opsh/([%w_]+)%.lua$"
			if name then
				n = n + 1
				ok(pcall(topic, name), "no help on the module " .. name)
			end
		end
		ok(n > 20, n)
	end)

	it("has no name for two guides", function()
		local seen = {}
		for _, path in ipairs(sys.files "lua/help/") do
			local names = sys.file(path):match "\nAlso found as: (.*)$" or ""
			for name in names:gmatch "[%w_-]+" do
				eq(seen[name], nil, name)
				seen[name] = path
			end
		end
		ok(seen.sh and seen.compose and seen.prometheus)
	end)
end)
