-- dump: reads what string.dump makes of a function, Lua 5.4 only, into tables.
-- Owns the format: header, instructions, constants, lines. Says nothing about
-- what the instructions mean (run.bytecode); never runs what it reads.
local dump = {}

local SIGNATURE = "\27Lua"
local DATA = "\x19\x93\r\n\x1a\n"	-- LUAC_DATA: finds text conversions
local ABS_LINE = -128			-- lineinfo: the line is in abslineinfo

local NAMES = {}
do
	local n = 0
	for name in ([[
	MOVE LOADI LOADF LOADK LOADKX LOADFALSE LFALSESKIP LOADTRUE LOADNIL
	GETUPVAL SETUPVAL GETTABUP GETTABLE GETI GETFIELD SETTABUP SETTABLE SETI
	SETFIELD NEWTABLE SELF ADDI ADDK SUBK MULK MODK POWK DIVK IDIVK BANDK BORK
	BXORK SHRI SHLI ADD SUB MUL MOD POW DIV IDIV BAND BOR BXOR SHL SHR MMBIN
	MMBINI MMBINK UNM BNOT NOT LEN CONCAT CLOSE TBC JMP EQ LT LE EQK EQI LTI
	LEI GTI GEI TEST TESTSET CALL TAILCALL RETURN RETURN0 RETURN1 FORLOOP
	FORPREP TFORPREP TFORCALL TFORLOOP SETLIST CLOSURE VARARG VARARGPREP
	EXTRAARG]]):gmatch("%u[%u%d]*") do
		NAMES[n] = name
		n = n + 1
	end
end

local function bad(why)
	error(("not a Lua 5.4 function dump: %s"):format(why), 0)
end

-- The reader: data and a position, nothing else.

local function take(r, fmt)
	local ok, value, pos = pcall(string.unpack, fmt, r.data, r.pos)
	if not ok then
		bad("it is cut short")
	end
	r.pos = pos
	return value
end

local function take_size(r)
	local n = 0
	while true do
		local b = r.data:byte(r.pos)
		if not b then
			bad("it is cut short")
		end
		r.pos = r.pos + 1
		n = n << 7 | b & 0x7f
		if b & 0x80 ~= 0 then
			return n
		end
	end
end

local function take_string(r)
	local n = take_size(r)
	if n == 0 then
		return nil
	end
	local s = r.data:sub(r.pos, r.pos + n - 2)
	if #s ~= n - 1 then
		bad("it is cut short")
	end
	r.pos = r.pos + n - 1
	return s
end

local CONSTANTS = {
	[0x00] = function() return nil end,
	[0x01] = function() return false end,
	[0x11] = function() return true end,
	[0x03] = function(r) return take(r, "=j") end,
	[0x13] = function(r) return take(r, "=n") end,
	[0x04] = take_string,
	[0x14] = take_string,
}

local function take_code(r)
	local code = {}
	for pc = 0, take_size(r) - 1 do
		local w = take(r, "=I4")
		code[pc] = {
			op = NAMES[w & 0x7f] or bad("unknown instruction"),
			a = w >> 7 & 0xff,
			k = w >> 15 & 1 == 1,
			b = w >> 16 & 0xff,
			c = w >> 24 & 0xff,
			bx = w >> 15 & 0x1ffff,
			ax = w >> 7,
		}
	end
	return code
end

local function take_constants(r)
	local constants = {}
	for i = 0, take_size(r) - 1 do
		local kind = take(r, "B")
		local read = CONSTANTS[kind] or bad("unknown constant")
		constants[i] = read(r)
	end
	return constants
end

local function take_upvalues(r)
	local upvalues = {}
	for i = 0, take_size(r) - 1 do
		upvalues[i] = {
			in_stack = take(r, "B") ~= 0,
			index = take(r, "B"),
			kind = take(r, "B"),
		}
	end
	return upvalues
end

-- Lines are differences, with an absolute line where one does not fit a byte.
local function take_lines(r, fn)
	local steps, absolute = {}, {}
	for pc = 0, take_size(r) - 1 do
		steps[pc] = take(r, "b")
	end
	for _ = 1, take_size(r) do
		local pc = take_size(r)
		absolute[pc] = take_size(r)
	end
	local line, pc = fn.line, 0
	while fn.code[pc] do
		if steps[pc] == ABS_LINE then
			line = absolute[pc] or line
		else
			line = line + (steps[pc] or 0)
		end
		fn.code[pc].line = line
		pc = pc + 1
	end
end

local function take_names(r, fn)
	for _ = 1, take_size(r) do	-- local variables
		take_string(r)
		take_size(r)
		take_size(r)
	end
	for i = 0, take_size(r) - 1 do
		local name = take_string(r)
		if fn.upvalues[i] then
			fn.upvalues[i].name = name
		end
	end
end

local function take_function(r, parent)
	local fn = { source = take_string(r) or parent and parent.source }
	fn.line = take_size(r)
	fn.last_line = take_size(r)
	fn.params = take(r, "B")
	fn.vararg = take(r, "B") ~= 0
	fn.stack = take(r, "B")
	fn.code = take_code(r)
	fn.constants = take_constants(r)
	fn.upvalues = take_upvalues(r)
	-- _ENV by where it comes from, not by name: a local _ENV is not it.
	fn.env = not parent and 0 or nil
	for i, up in pairs(fn.upvalues) do
		if parent and not up.in_stack and up.index == parent.env then
			fn.env = i
		end
	end
	fn.protos = {}
	for i = 0, take_size(r) - 1 do
		fn.protos[i] = take_function(r, fn)
	end
	take_lines(r, fn)
	take_names(r, fn)
	return fn
end

---Reads a dump into its main function: code (instructions op a b c k bx line),
---constants, upvalues, protos, all counted from 0. Raises a string when it is
---not a dump of this Lua.
---@param bytes string
---@return table
function dump.read(bytes)
	local r = { data = bytes, pos = 1 }
	if bytes:sub(1, 4) ~= SIGNATURE then
		bad("wrong signature")
	end
	r.pos = 5
	local version = take(r, "B")
	if version ~= 0x54 then
		bad(("version 0x%02x"):format(version))
	end
	if take(r, "B") ~= 0 then
		bad("another format")
	end
	if bytes:sub(7, 12) ~= DATA then
		bad("it was changed on the way")
	end
	r.pos = 13
	if take(r, "B") ~= 4 or take(r, "B") ~= string.packsize "j"
	   or take(r, "B") ~= string.packsize "n" then
		bad("sizes of another machine")
	end
	if take(r, "=j") ~= 0x5678 or take(r, "=n") ~= 370.5 then
		bad("numbers of another machine")
	end
	take(r, "B")
	return take_function(r, nil)
end

return dump
