---@meta opsh.c.task
-- task: the documentation of the C module opsh.c.task. Playbooks use opsh.task,
-- which is made of it. Read by `opsh help`, completion and editors; never
-- executed. Owns the words, not the behaviour: that is src/core/task_lua.c.

---@class opsh.c.task
local task = {}

---A task: a coroutine on the loop. The task that spawned it does not end before
---it; when that one is cancelled, so is this.
---@class opsh.task.handle
local handle = {}

---Starts f(...) as a task of the current one. It runs when the current task
---waits next.
---
---    local h = task.spawn(function(n) return n + 1 end, 1)
---    assert(h:wait() == 2)
---@param f function
---@param ... any its arguments
---@return opsh.task.handle
function task.spawn(f, ...) end

---Waits; other tasks go on. Raises kind cancelled when the task is cancelled.
---@param seconds number 0 lets the others run once
function task.sleep(seconds) end

---Waits for all of them. Once one failed, or with `race` once one ended, the
---others are cancelled and waited for; the first failure is raised.
---@param tasks opsh.task.handle[]
---@param race? boolean
---@return integer index of the first that ended (race), else 0
function task.join(tasks, race) end

---Seconds of a clock that never goes back and counts while the machine sleeps
---(CLOCK_BOOTTIME). For durations; it says nothing of the time of day.
---@return number
function task.now() end

---How many tasks are alive, the current one included.
---@return integer
function task.live() end

---The label of the current task, set when n is given; tasks that it spawns
---inherit it. The runner uses it for the step that a record belongs to.
---@param n? integer
---@return integer label the one before
function task.label(n) end

---The task that the person at the terminal waits for: a second Ctrl-C ends the
---grace of its `<close>` handlers. nil: none.
---@param t? opsh.task.handle
function task.foreground(t) end

---Hands the tasks that the current one has spawned, and that still run, to its
---parent: its own end does not wait for them any more.
---@return opsh.task.handle[]
function task.release() end

---Waits for it. Raises its failure.
---@return any ... what its function returned
function handle:wait() end

---Tells it and its children to stop; does not wait. No pcall keeps a task from
---it; its `<close>` variables may still wait for a grace period.
function handle:cancel() end

---Cancels it after so long, with an error of kind timeout.
---@param seconds number
function handle:deadline(seconds) end

---@return "running"|"done"|"failed"
function handle:status() end

return task
