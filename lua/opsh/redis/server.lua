-- redis.server: what takes a server a while, waited for: replicas that catch up,
-- a copy on its disk. Polls; the deadline is the caller's. Must not decide what
-- follows when time is up.
local task = require "opsh.task"
local err = require "opsh.c.err"

local M = {}

local EVERY = 0.1	-- seconds from one look to the next

local function replicas(client)
	local r = client:info "replication"
	local list = {}
	for n = 0, (r.connected_slaves or 0) - 1 do
		list[#list + 1] = r["slave" .. n]
	end
	return list, r.master_repl_offset
end

-- Waits until every replica has what the master has now.
--
-- Example: local ok, how = require("opsh.redis.server").in_sync(cache, 10)
---@param client opsh.redis.client
---@param seconds number at most
---@return boolean in_sync
---@return string how "none", "2 in sync", or which is how far behind
function M.in_sync(client, seconds)
	local list, wanted = replicas(client)
	local deadline = task.now() + seconds
	while true do
		local behind = {}
		for _, replica in ipairs(list) do
			if replica.state ~= "online" or replica.offset < wanted then
				behind[#behind + 1] = ("%s:%s is %s, %d bytes behind"):format(
					replica.ip, replica.port, replica.state,
					math.max(0, wanted - replica.offset))
			end
		end
		if #behind == 0 then
			return true, #list == 0 and "none" or #list .. " in sync"
		elseif task.now() >= deadline then
			return false, table.concat(behind, "; ")
		end
		task.sleep(EVERY)
		list = replicas(client)
	end
end

-- BGSAVE, waited for. Redis overwrites the file with its next save.
--
-- Example: local path = require("opsh.redis.server").save(cache, 600)
---@param client opsh.redis.client
---@param seconds number at most
---@return string path of the copy, on the server
function M.save(client, seconds)
	local before = client:info "persistence"
	local deadline = task.now() + seconds
	client:bgsave()
	while true do
		local now = client:info "persistence"
		local idle = now.rdb_bgsave_in_progress == 0
		if idle and now.rdb_last_bgsave_status ~= "ok" then
			error(err.new { kind = "server", op = "BGSAVE", message =
				"the copy failed: the server's log says why" }, 0)
		elseif idle and (now.rdb_saves ~= before.rdb_saves
			or now.rdb_last_save_time ~= before.rdb_last_save_time) then
			break
		elseif task.now() >= deadline then
			error(err.new { kind = "timeout", op = "BGSAVE", message =
				("the copy did not end within %g s"):format(seconds) }, 0)
		end
		task.sleep(EVERY)
	end
	return client:config_get("dir").dir .. "/"
		.. client:config_get("dbfilename").dbfilename
end

return M
