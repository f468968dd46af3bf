---@meta opsh.c.lock
-- lock: the documentation of the C module opsh.c.lock: the lease of the run's
-- lock, the wait of the task that keeps it, and what that task reports. Private;
-- playbooks use opsh.lock. Never executed. Owns the words: src/effect/lock.c,
-- src/effect/lock_lua.c.

---@class opsh.c.lock
local lock = {}

---The run holds the lock from now on: each write is checked against the lease.
---Its end is `sent` + ttl, less a margin of a tenth of the ttl or a second.
---Raises when the run holds one already.
---@param fields {resource: string, store: string, token: integer, ttl: number, sent: number} sent: task.now() before the request that took it
function lock.hold(fields) end

---The run holds none any more; next() gives "stop".
function lock.drop() end

---The label of tasks whose calls are the lock's own: their writes pass without a
---lock and don't count as the run's.
---@return integer
function lock.label() end

---Runs f in a task that is nobody's child, with that label. Raises when no lock
---is held.
---@param f function
---@return opsh.task.handle
function lock.keeper(f) end

---Waits so long, or until a write wants the token read again ("check"), or the
---lock was let go ("stop"). Only in the keeper.
---@param seconds number
---@return "tick"|"check"|"stop" why
---@return number late seconds past the time that it should have returned at
function lock.next(seconds) end

---The store has confirmed the token.
---@param sent number task.now() before it was asked
---@param renewed? boolean the lease is a whole one from then
function lock.confirm(sent, renewed) end

---The store has another token, or none: no write goes out any more.
---@param why string
function lock.lose(why) end

---The store gave no answer. A step that has written may go on until the lease
---ends, no other begins to.
---@param why string
function lock.unreachable(why) end

---@return {resource: string, store: string, token: integer, ttl: number, left: number, age: number, lost?: string, unreachable?: string}? state age: seconds since what was confirmed was asked
function lock.state() end

---Gives a file another name as well, unless that one is taken (link(2)): of many
---processes at once one does. Raises kind io.
---@param from string
---@param to string
---@return boolean ours
function lock.claim(from, to) end

return lock
