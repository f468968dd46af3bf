---@meta opsh.c.exec
-- exec: the documentation of the C module opsh.c.exec: programs by argv, without
-- a shell, behind the boundary. For opsh.sh and the modules that drive a program
-- (compose, kubectl, git) with a target of their own. Never executed.

---@class opsh.c.exec
local exec = {}

---@class opsh.exec.options
---@field class? "read"|"write"|"destructive" "write"; a file as output makes a read one
---@field verb? string basename of the last program
---@field request? string for the record; the quoted argv lists
---@field timeout? number seconds, 60; then TERM to the process groups
---@field kill_after? number seconds from TERM to KILL, 1
---@field env? table<string, string|userdata|false> values or secrets; false takes one away
---@field inherit? string[]|true names of ours beside PATH HOME LANG LC_ALL TERM TZ USER LOGNAME TMPDIR; true: all
---@field cwd? string
---@field stdin? string|userdata|{file: string}|fun(): string? nothing; start: true keeps it open for write
---@field stdout? {file: string, append?: boolean} captured; made with mode 0600
---@field stderr? "stdout"|{file: string, append?: boolean} captured
---@field max? integer bytes captured of each output, 16 MiB; more is kind limit
---@field accept? integer[]|integer|true statuses that are no failure, { 0 }
---@field expect? any the result in a plan
---@field doubt? string[] texts: a write that fails and prints one of them is unknown, not failed (run only)
---@field live? boolean its output is shown on stderr line by line while it comes

---@class opsh.exec.result
---@field status? integer of the first program that failed, else of the last
---@field signal? string "SIGTERM": it was ended by one
---@field stdout string
---@field stderr string
---@field seconds number
---@field statuses (integer|string)[] of each program
---@field ok? boolean true, of a write

---Runs programs joined by pipes and waits for their end. They lead sessions of
---their own: no terminal, no descriptor of ours, signals as at our start. Raises
---kind server (code: exit status or "SIGTERM"; the error has the result's fields),
---timeout, limit, io (code ENOENT, EACCES, ENOEXEC: it can't be started), refused
---(mode, guard; code SECRET: a secret in an argument). A write that was killed
---is unknown. Of what stays behind in its group, what holds an output is killed
---`kill_after` seconds after the last program ended.
---@param target userdata opsh.target whose effect it is
---@param commands string[][] argv lists
---@param opts? opsh.exec.options
---@return opsh.exec.result
function exec.run(target, commands, opts) end

---@class opsh.process
local process = {}

---Starts a program that goes on. Options as run, without stdout and live; `max`
---is the length of a line, `timeout` (none) the whole time that it may run. Its
---end is recorded as the effect's; one that its owner ends is done.
---@param target userdata
---@param argv string[]
---@param opts? opsh.exec.options
---@return opsh.process
function exec.start(target, argv, opts) end

---Lines of its stdout, without their newlines; it is not read further than it
---is taken. `for` closes the process when it is left.
---@return fun(process: opsh.process): string?
---@return opsh.process
---@return nil
---@return opsh.process
function process:lines() end

---Writes to its stdin (`stdin = true`), and waits until the pipe has it, at most
---60 s. Raises kind io (EPIPE) when it takes no more.
---@param text string
function process:write(text) end

---Closes its stdin after what was written.
function process:close_stdin() end

---Waits for its end; stdout is what lines has not taken. Raises as run does, and
---kind timeout when it is still there: it goes on then.
---@param opts? {timeout?: number} seconds, 60
---@return opsh.exec.result
function process:wait(opts) end

---Sends its group a signal: "TERM" (the default, followed by KILL after
---`kill_after`), "KILL", "HUP", 10. After TERM and KILL `wait` does not raise.
---@param signal? string|integer
function process:kill(signal) end

---@return integer? pid nil once it has ended
function process:pid() end

---Where a program stands, by the absolute folders of PATH.
---@param name string
---@param path? string in place of PATH
---@return string?
function exec.which(name, path) end

return exec
