-- show: a value as an engineer wants to read it: lists of rows as a table, maps
-- as key and value, scalars as they are. Used for results of -e, of playbooks
-- and by `show(value)` in scripts. Owns the choice of form, not the layout
-- (opsh.table).
local err = require "opsh.c.err"
local term = require "opsh.c.term"
local session = require "run.session"
local value = require "opsh.table.value"

local M = {}

local function is_scalar(v)
	if type(v) == "userdata" then	-- an object of C may stand for rows
		return not value.has_meta(v, "__pairs")
	end
	return type(v) ~= "table" or err.is(v)
		or (getmetatable(v) or {}).__tostring ~= nil
end

---io.write gives its file: as an expression it has written, that is all.
---@param v any
---@return boolean
function M.is_stream(v)
	local osio = package.loaded["run.osio"]
	return osio ~= nil and (rawequal(v, osio.io.stdout)
		or rawequal(v, osio.io.stderr))
end

---The text of a value, ending in a newline; "" for nil. What has more to say to
---a person than tostring() does (a response its body) says it by __show.
---@param v any
---@param opts? table of opsh.table.format
---@return string
function M.text(v, opts)
	if v == nil then return "" end
	if type(v) == "string" then return v .. "\n" end
	local meta = debug.getmetatable(v)
	if type(meta) == "table" and meta.__show then
		return meta.__show(v) .. "\n"
	end
	if is_scalar(v) then return tostring(v) .. "\n" end
	return require("opsh.table").format(v, opts)
end

---Writes a value to stdout, in the form that --output asks for.
---@global show
---@param v any
---@param opts? table
function M.show(v, opts)
	local report = session.report
	if report and report.print then return report:result(v) end
	term.write(1, M.text(v, opts))
end

return M
