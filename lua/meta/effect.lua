---@meta opsh.c.effect
-- effect: the documentation of the C module opsh.c.effect: the boundary as the
-- runner sees it: the run's record, mode, calls of os and io. Private; playbooks
-- can't require it. Never executed. Owns the words: src/effect/effect_lua.c.

---@class opsh.c.effect
local effect = {}

---Names where the journal goes once something is to be recorded; creates nothing.
---@param runs_dir string
---@param run? string a ULID; a new one by default
---@return string run
function effect.begin_run(runs_dir, run) end

---What the first record says of the run; it is written when the journal is
---opened.
---@param fields table
function effect.header(fields) end

---Opens the journal now. Raises kind journal when it can't be written: nothing
---is done then.
---@return string dir the run's folder
function effect.open_run() end

---Opens the journal of an earlier run to go on with it. A torn last record, from
---a process that was killed, is cut off first.
---@param runs_dir string
---@param run string
---@return integer torn bytes that were cut off
function effect.resume_run(runs_dir, run) end

---Adds a record that is no effect: step, guard, note, end. Raises kind journal.
---@param type string
---@param fields table plain data; secrets are masked
---@param sync? boolean on disk before it returns
---@return integer seq
function effect.record(type, fields, sync) end

---A label for task.label: the records of tasks that carry it name the step.
---@param name string
---@return integer label
function effect.step(name) end

---The mode of the session, set when given.
---@param mode? "read"|"plan"|"write"
---@return "read"|"plan"|"write"
function effect.mode(mode) end

---How long write mode lasts, when a window is open; opens one when seconds are
---given: write mode for so long, then what the mode was before, whatever the
---session does at that time. Setting a mode ends it. The end is recorded.
---@param seconds? number
---@return number? left seconds; nil when none is open
function effect.window(seconds) end

---Does a person type? Hints of refusals name commands of the REPL then.
---@param on? boolean
---@return boolean
function effect.session(on) end

---@class opsh.effect.status
---@field run? string
---@field dir? string of the journal once open
---@field head? string hash of the last record
---@field open boolean
---@field dead boolean the journal could not be written: no write any more
---@field lost boolean an outcome could not be recorded: exit 75
---@field writes integer sent
---@field withheld integer writes of a plan

---@return opsh.effect.status
function effect.status() end

---Closes the journal, after the end record, and notes its head beside the runs.
---@return boolean kept all of it is known to be on disk
function effect.close_run() end

---Follows the chain of a run's record. Raises when it can't be read.
---@param runs_dir string
---@param run string
---@param head? string the head hash as published elsewhere
---@return boolean intact
---@return {records: integer, torn: integer, bad_line?: integer, problem: string, head: string, ended: boolean, busy: boolean} report
function effect.verify(runs_dir, run, head) end

---A call of ours that leaves the process (os, io), judged and recorded as any
---other. f must not wait. nil, message from f counts as failed.
---@param target opsh.target
---@param class "read"|"write"|"destructive"
---@param verb string
---@param request string masked before it is recorded
---@param opts? {expect?: any} what a plan returns instead of an unknown value
---@param f function
---@param ... any its arguments
---@return any ... f's results; when withheld, opts.expect or an unknown value
function effect.call(target, class, verb, request, opts, f, ...) end

---@param text string
---@return string text with every secret replaced
function effect.mask(text) end

return effect
