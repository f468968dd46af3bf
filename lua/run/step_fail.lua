-- step_fail: `fail(message, ...)` of playbooks: ends the step with an error of
-- kind check, as printf-like text. For what a playbook finds wrong before it
-- writes; after a write use the step's verify.
local err = require "opsh.c.err"

---Ends the step with an error of kind check. For what a playbook finds wrong
---before it writes.
---@global fail
---@param fmt string as of string.format
---@param ... any
return function(fmt, ...)
	error(err.new { kind = "check", message = string.format(fmt, ...) }, 0)
end
