---@meta opsh.c.err
-- err: the documentation of the C module opsh.c.err and of the one error object.
-- Read by `opsh help`, completion and editors; never executed. The guide for
-- people is lua/help/errors.md; the kinds stand in src/core/err.h.

---What every failure raises. tostring() gives one line.
---@class opsh.error
---@field kind string one of err.kinds
---@field message string lower case, no full stop, the subject quoted
---@field code? string the protocol's own: WRONGTYPE, ENOENT, a signal's name
---@field target? string its name in the targets file
---@field op? string the call: GET, UNLINK, open
---@field phase? "dns"|"connect"|"tls"|"auth"|"send"|"wait"|"read"
---@field outcome? "done"|"failed"|"unknown"|"withheld"|"refused"
---@field hint? string what to do about it
---@field where? string FILE:LINE of the Lua that called
---@field exit_code? integer over the one of its kind
---@field traceback? string

---@class opsh.c.err
---@field kinds string[] the closed list
local err = {}

---Makes an error object of a table; it is the same table. Raises when `kind` is
---not of the list.
---
---    error(err.new { kind = "check", message = "the replica lags" }, 0)
---@param fields table as opsh.error; kind and message are needed
---@return opsh.error
function err.new(fields) end

---Is it an error object?
---@param value any
---@return boolean
function err.is(value) end

return err
