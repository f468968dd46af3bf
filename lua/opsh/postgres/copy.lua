-- postgres.copy: COPY between a transaction and files, strings and functions. Pieces
-- pass through, whatever the size. A file that is written appears when it is
-- complete. Owns no connection: the transaction is the caller's.
local c = require "opsh.c.pg"
local err = require "opsh.c.err"
local fs = require "opsh.fs"
local effect = require "opsh.c.effect"

local M = {}

local PIECE <const> = 8 * 1024 * 1024	-- bytes written to a file at once

local function bad(fmt, ...)
	error(err.new { kind = "usage", message = fmt:format(...) }, 0)
end

local function check(opts, known)
	for key in pairs(opts) do
		if not known[key] then bad("unknown option '%s'", tostring(key)) end
	end
end

-- Pieces gathered until they are worth a write; a temporary file beside the real
-- one, which takes its place at the end.
local function file_writer(path, mode)
	local part, parts, size = path .. ".part", {}, 0
	if fs.exists(path) then
		bad("'%s' is there already: copy_out replaces no file", path)
	end
	fs.write(part, "", { mode = mode or "0600", sync = false })
	local function flush()
		if size == 0 then return end
		fs.append(part, table.concat(parts), { sync = false })
		parts, size = {}, 0
	end
	local function put(piece)
		parts[#parts + 1], size = piece, size + #piece
		if size >= PIECE then flush() end
	end
	local function done()
		flush()
		fs.append(part, "", { sync = true })
		fs.rename(part, path)
	end
	return setmetatable({ put = put, done = done }, { __close = function(_, e)
		if e and fs.exists(part) then pcall(os.remove, part) end
	end })
end

local function drain(copy, put)
	while true do
		local piece, result = c.copy_next(copy)
		if not piece then return result end
		put(piece)
	end
end

---COPY out of the transaction.
---@param tx opsh.postgres.transaction
---@param sql string
---@param opts table
---@return table result
function M.out(tx, sql, opts)
	check(opts, { to = true, timeout = true, mode = true })
	local kind = type(opts.to)
	if kind ~= "string" and kind ~= "function" then
		bad("copy_out needs 'to': the path of a file, or a function")
	end
	if not c.judge(sql).copy_out then
		sql = ("copy (%s\n) to stdout"):format(sql)
	end
	if kind == "string" and effect.mode() ~= "write" then
		-- refused in read mode; in a plan nothing is read for a file that is
		-- not written
		return fs.write(opts.to, "", { mode = opts.mode })
	end
	local copy <close> = c.copy(tx, sql, { timeout = opts.timeout })
	if kind == "function" then return drain(copy, opts.to) end
	local writer <close> = file_writer(opts.to, opts.mode)
	local result = drain(copy, writer.put)
	writer.done()
	return result
end

-- A function that gives the next piece.
local function reader(source)
	if type(source) == "string" then
		local at = 1
		return function()
			if at > #source then return nil end
			local piece = source:sub(at, at + (1 << 20) - 1)
			at = at + #piece
			return piece
		end
	elseif type(source) == "function" then
		return source
	elseif type(source) == "table" and type(source.file) == "string" then
		local open = require("opsh.c.fs").open(source.file)
		return function() return open:chunk() end, open
	end
	bad("copy_in takes a string, a function or { file = PATH }, not a %s",
		type(source))
end

---COPY into the transaction.
---@param tx opsh.postgres.transaction
---@param sql string
---@param source string|function|table
---@param opts? table
---@return table result
function M.into(tx, sql, source, opts)
	check(opts or {}, { timeout = true, expect = true })
	local next_piece, open = reader(source)
	local _ <close> = setmetatable({}, { __close = function()
		if open then open:close() end
	end })
	local copy = c.copy(tx, sql, opts or {})
	if not c.is_copy(copy) then return copy end	-- withheld
	local _ <close> = copy
	while true do
		local piece = next_piece()
		if piece == nil then return c.copy_end(copy) end
		c.copy_put(copy, piece)
	end
end

return M
