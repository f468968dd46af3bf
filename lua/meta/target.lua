---@meta opsh.c.target
-- target: the documentation of the C module opsh.c.target: what the boundary
-- knows of a target. Private to the runner; playbooks get clients. Read by
-- editors; never executed. Owns the words: the code is src/effect/target.c.

---@class opsh.c.target
local target = {}

---A named thing that effects go to. Bindings tell it whom they have found.
---@class opsh.target
local object = {}

---@param fields {name: string, kind: string, role?: string} role: what a write
---needs; without it any role does
---@return opsh.target
function target.new(fields) end

---The machine itself: what processes, files, os and io have their effects on.
---@return opsh.target
function target.host() end

---@return string name at most 63 bytes
function object:name() end

---@return string kind "redis", "local"
function object:kind() end

---The role as last read from the target itself.
---@return string? role nil before the first connection
function object:role() end

---The identity as last read from the target itself, such as `run_id=...`.
---@return string? identity nil before the first connection
function object:identity() end

---@return string? address host:port or path, nil before the first connection
function object:address() end

---What it was before it became another one: the next write is refused then.
---@return string? before nil when it is what it was
function object:changed() end

---Has its connection ended, not by us, and is it not back yet?
---@return boolean
function object:lost() end

---What a binding written in Lua has just read from the target itself. Another
---identity or role than before stops the next write (kind changed).
---@param identity string such as "engine=... project=..."
---@param role string "" where there is none
---@return boolean changed
function object:seen(identity, role) end

---For who has caused the change: when it is this now, by its own last answer, writes
---go on. Whoever calls it has compared this with what it was before.
---@param identity string as identity() gives it
---@param role string
---@return boolean same
function object:became(identity, role) end

---Where it is, for messages and guards.
---@param address string
function object:at(address) end

---Lets destructive calls of this verb through: what a passed guard does.
---@param verb string "" for all (--approve)
---@param how string for the record: "typed", "approve", "plan"
function object:pass(verb, how) end

---@param verb string
---@return string? how it was passed, nil when it was not
function object:passed(verb) end

return target
