-- fuzz_pg_conninfo: connection strings, by the first byte as keywords, as a service
-- file or as part of a URL. A keyword string that libpq takes gives the same keywords
-- here, one that we take has no other meaning there; whatever comes, it is a table or
-- an error object. libpq's own parser is `native`.
local shared = require "shared"
local libpq = require "native"

local input = ""

package.loaded["opsh.c.fs"] = {
	exists = function() return true end,
	read = function() return input end,
}
os.getenv = function() return nil end	-- luacheck: ignore 122
local conninfo = require "opsh.postgres.conninfo"
local url = require "run.url"

local function secret() return "hidden" end

-- What we have read (nil: refused) against what libpq reads.
local function compare(text, got)
	if text:find "^postgres" then return end	-- libpq might take it for a URL
	local theirs = libpq.parse(text)
	if not theirs then return end
	if not got then error("libpq takes what we refuse", 0) end
	for k, v in pairs(theirs) do
		if got[k] ~= v then error("libpq reads another " .. k, 0) end
	end
	for k in pairs(got) do
		if not theirs[k] then error("libpq reads no " .. k, 0) end
	end
end

local ways = {
	conninfo.parse,
	function(text) input = text; return conninfo.service "s" end,
	function(text)
		return conninfo.options("t",
			{ url = url.parse("postgresql://" .. text, secret) })
	end,
	function(text) return conninfo.options("t", { conninfo = text }) end,
}

return function(data)
	local text = data:sub(2)
	if data == "" or text:find("\0", 1, true) then return end
	local way = data:byte() % #ways + 1
	local got = shared.judge(ways[way], text)
	if way == 1 then compare(text, got) end
end
