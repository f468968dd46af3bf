---@meta opsh.c.child
-- child: the documentation of the C module opsh.c.child: programs that the runner
-- itself asks (secret.command). Private; it passes no boundary, so nothing that
-- a playbook does may use it. Never executed.

---@class opsh.c.child
local child = {}

---Runs a program without a shell, with no stdin, and reads its stdout. Its
---process group is killed when the deadline passes or the task is cancelled.
---Raises kind timeout, limit (more than `max` bytes), io (it can't be started).
---@param argv string[] program and arguments
---@param opts? {timeout?: number, max?: integer} seconds (30), bytes (1 MiB)
---@return {status?: integer, signal?: integer, stdout: string}
function child.run(argv, opts) end

return child
