-- lock: the lock that this run holds, for playbooks that hand its token on: a
-- resource that remembers the greatest token it has seen refuses a holder that
-- was asleep too long, even when its write was already on its way. Taking,
-- renewing and giving back are the runner's (`lock =` of a playbook).
local c = require "opsh.c.lock"

local lock = {}

---@class opsh.lock.held
---@field resource string what the playbook names
---@field store string "file", or the target that keeps it
---@field token integer greater than that of every holder before
---@field left number seconds of the lease that are left
---@field ttl number seconds of a whole one
---@field lost? string why it is lost: no write goes out any more
---@field unreachable? string why its store gives no answer

---The lock of this run; nil when it holds none (no `lock`, a plan, a script).
---@return opsh.lock.held?
---
---    local held = require("opsh.lock").held()
---    if held then print(held.resource, held.token) end
function lock.held()
	local state = c.state()
	if state then state.age = nil end
	return state
end

return lock
