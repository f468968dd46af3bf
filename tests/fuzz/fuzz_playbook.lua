-- fuzz_playbook: the text of a playbook, a targets file, a URL or parameters, by the
-- first byte. Whatever it is, the loader gives a table or raises an error object.
-- Works on a system that holds only the input.
local shared = require "shared"

local input

package.loaded["opsh.c.sys"] = {
	stat = function() return { type = "file", mode = 384, uid = 1 } end,
	euid = function() return 1 end,
	getenv = function() return "value" end,
	readdir = function() return {} end,
	read = function() return input end,
	kinds = function()
		return { fake = "redis rediss redis+unix",
			other = "http postgresql kafka compose local" }
	end,
}
local kind = { name = "fake", options = {
	password = { type = "secret" }, user = { type = "string" },
	retries = { type = "integer", min = 0 }, tls = { type = "table" } } }
package.loaded["opsh.fake"] = { kind = kind }
package.loaded["opsh.other"] = { kind = kind }
local secret = {
	value = function() return { "secret" } end,
	env = function() return { "secret" } end,
	is = function(v) return type(v) == "table" and v[1] == "secret" end,
}
local playbook = require "run.playbook"
local targets = require "run.targets"
local params = require "run.params"
local url = require "run.url"
-- of a playbook's head; a targets file ends by lua_fuzz.c's limit
require("run.inert").max_instructions = 200000

local opts = { secret = secret }
local spec = {
	a = { type = "list", items = "integer" }, b = { type = "duration" },
	c = { type = "number", min = 1 },
	d = { type = "string", secret = true, pattern = "%a+" },
}

local ways = {
	function() return playbook.describe("x.lua", { problems = true }) end,
	function() return playbook.describe "x.lua" end,
	function() return targets.load("opsh.lua", opts) end,
	function()
		local u = url.parse(input, secret.value)
		assert(url.mask(u) == u.text)
		return u
	end,
	function() return targets.add(targets.empty(), "x=" .. input, opts) end,
	function()
		local args = {}
		for line in input:gmatch "[^\n]+" do args[#args + 1] = line end
		return params.parse(spec, args)
	end,
}

return function(data)
	input = data:sub(2)
	shared.judge(ways[(data:byte() or 0) % #ways + 1])
end
