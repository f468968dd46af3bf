-- repoint: leads clients and siblings to another server: the pooler's file of databases,
-- a sibling's primary_conninfo. What changes a text is pure. Owns no decision: whom to
-- lead where is the caller's.
local conninfo = require "opsh.postgres.conninfo"

local M = {}

-- A value of a connection string, quoted when it must be.
local function value(text)
	if text:match "^[%w_%.:/%-]+$" then return text end
	return "'" .. text:gsub("[\\']", "\\%0") .. "'"
end

---A text of pgbouncer's databases in which each line that leads to one address leads to
---another.
---@param text string
---@param from {host: string, port: integer}
---@param to {host: string, port: integer}
---@return string text, integer changed how many lines
function M.pgbouncer(text, from, to)
	local changed = 0
	local out = (text .. "\n"):gsub("([^\n]*)\n", function(line)
		if line:match "^%s*[;#%[%%]" or not line:find("=", 1, true) then
			return line .. "\n"
		end
		local host = line:match "[%s=]host%s*=%s*'?([^%s']+)"
		local port = line:match "[%s=]port%s*=%s*'?(%d+)" or "5432"
		if host ~= from.host or tonumber(port) ~= from.port then
			return line .. "\n"
		end
		changed = changed + 1
		line = line:gsub("([%s=]host%s*=%s*)'?[^%s']+'?",
			function(head) return head .. value(to.host) end, 1)
		local n
		line, n = line:gsub("([%s=]port%s*=%s*)'?%d+'?",
			function(head) return head .. to.port end, 1)
		return line .. (n == 0 and " port=" .. to.port or "") .. "\n"
	end)
	return out:sub(1, -2), changed
end

---A connection string (keywords) that leads to another address; all else stays.
---@param text string
---@param to {host: string, port: integer}
---@return string
function M.conninfo(text, to)
	local given, out = conninfo.parse(text), {}
	given.host, given.port, given.hostaddr = to.host, tostring(to.port), nil
	for key, v in pairs(given) do out[#out + 1] = key .. "=" .. value(v) end
	table.sort(out)
	return table.concat(out, " ")
end

return M
