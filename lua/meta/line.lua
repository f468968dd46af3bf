---@meta opsh.c.line
-- line: the documentation of the C module opsh.c.line: the line that a person
-- edits, Ctrl-C in a session, the history's file. Private to lua/repl; playbooks
-- can't require it. Never executed. Owns the words: src/repl.

---@class opsh.c.line
local line = {}

---From now on this is a session at a terminal: Ctrl-C is the edited line's or the
---foreground task's (opsh.c.task.foreground), not the root's. Raises kind io.
function line.open() end

---Gives the terminal back as it was found; Ctrl-C is the root's again.
function line.close() end

---Edits a line until something happens. "complete": TAB; the line stays, and the
---next read goes on with it. Other tasks go on, and what they write appears above.
---@param prompt string styles in it stand between \1 and \2
---@param text? string what the line begins as
---@return "line"|"eof"|"int"|"gone"|"complete" event
---@return string? text of "line" and "complete"
---@return integer? cursor bytes before it, of "complete"
---@return boolean? again TAB was the key before as well
function line.read(prompt, text) end

---Another prompt for the line that another task reads; none is read: nothing.
---@param text string
function line.prompt(text) end

---Replaces bytes of the line that "complete" has left, the first being 1, both
---included; to = from - 1 inserts.
---@param from integer
---@param to integer
---@param text string
function line.replace(from, to, text) end

---Drops the line that another task reads, as Ctrl-C does: its read ends with "int".
function line.interrupt() end

---The newest that Up and Ctrl-R find.
---@param text string
function line.remember(text) end

---Forgets all that can be recalled.
function line.forget() end

---Appends to the history's file under its lock; it is made with mode 0600.
---@param path string
---@param text string
---@return integer? size of the file, nil: it can't be
---@return string? why
function line.append(path, text) end

---Puts what f makes of the contents in the place of the file, under its lock.
---@param path string
---@param f fun(contents: string): string? nil: it is left as it is
---@return boolean? done
---@return string? why not
function line.rewrite(path, f) end

return line
