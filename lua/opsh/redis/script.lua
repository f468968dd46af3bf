-- redis.script: Lua scripts on the server. Sent by their hash; a server that
-- hasn't got one says NOSCRIPT, which is known not to have done anything, and
-- gets the text. Scripts are writes unless run by run_ro.
local c = require "opsh.c.redis"
local err = require "opsh.c.err"

local M = {}

---@class opsh.redis.script
---@field sha string SHA-1 of the text, as the server names it
local Script = {}
Script.__index = Script
Script.__name = "opsh.redis.script"

-- keys and args as lists, or as redis-cli takes them: number of keys, words.
local function words(keys, ...)
	if type(keys) == "table" or keys == nil then
		local args, opts = ...
		if args ~= nil and type(args) ~= "table" then
			error("lists of keys and of arguments expected", 3)
		end
		if opts == nil then return #(keys or {}), keys or {}, args or {} end
		return #(keys or {}), keys or {}, args or {}, opts
	end
	return keys, ...
end

local function call(client, command, text, ...)
	return c.cmd(client, command, text, words(...))
end

local function run(self, ro, ...)
	local suffix = ro and "_RO" or ""
	local r = table.pack(pcall(call, self.client, "EVALSHA" .. suffix,
		self.sha, ...))
	if r[1] then return r[2] end
	if not (err.is(r[2]) and r[2].code == "NOSCRIPT") then error(r[2], 0) end
	return call(self.client, "EVAL" .. suffix, self.text, ...)
end

-- run(keys, args [, opts]): a write.
function Script:run(...) return run(self, false, ...) end

-- run_ro(keys, args [, opts]): a read; the server refuses writes in it.
function Script:run_ro(...) return run(self, true, ...) end

Script.__call = Script.run

function M.install(Client)
	for method, command in pairs { eval = "EVAL", eval_ro = "EVAL_RO",
		evalsha = "EVALSHA", evalsha_ro = "EVALSHA_RO", fcall = "FCALL",
		fcall_ro = "FCALL_RO" } do
		Client[method] = function(self, text, ...)
			return call(self, command, text, ...)
		end
	end

	-- script(text): an object to run it with, by its hash.
	function Client:script(text)
		if type(text) ~= "string" then
			error("text of a script expected, got " .. type(text), 2)
		end
		return setmetatable({ client = self, text = text,
			sha = c.sha1(text) }, Script)
	end
end

return M
