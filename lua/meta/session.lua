---@meta opsh.c.session
-- session: the documentation of the C module opsh.c.session: what the person in a
-- session of the REPL is told. Private. Never executed. Owns the words: the code is
-- src/run/session.c.

---@class opsh.c.session
local session = {}

---A person is there: it is told when a lost connection is back and whom it leads
---to, and when write mode is over; hints of refusals name commands of the REPL.
---@param on boolean
function session.attend(on) end

return session
