-- bytecode: what a compiled chunk does, by its instructions (run.dump), so that
-- the static check sees what the compiler saw, not what a second parser
-- guesses. Registers are followed in one pass from top to bottom: good for
-- temporaries, blind to values that arrive by a backward jump. Owns nothing;
-- never runs what it reads.
local dump = require "run.dump"

local bytecode = {}

local TOP = 255		-- no register is above

-- What changes no register. All others write R[A], or what SPANS says.
local READS = {}
for name in ([[SETUPVAL SETTABUP SETTABLE SETI SETFIELD MMBIN MMBINI MMBINK
	CLOSE TBC JMP EQ LT LE EQK EQI LTI LEI GTI GEI TEST RETURN RETURN0 RETURN1
	SETLIST VARARGPREP EXTRAARG TFORPREP]]):gmatch("%u[%u%d]*") do
	READS[name] = true
end

local SPANS = {
	LOADNIL = function(i) return i.a, i.a + i.b end,
	SELF = function(i) return i.a, i.a + 1 end,
	CALL = function(i) return i.a, TOP end,
	TAILCALL = function(i) return i.a, TOP end,
	VARARG = function(i) return i.a, TOP end,
	FORLOOP = function(i) return i.a, i.a + 3 end,
	FORPREP = function(i) return i.a, i.a + 3 end,
	TFORCALL = function(i) return i.a + 4, TOP end,
	TFORLOOP = function(i) return i.a + 2, i.a + 2 end,
}

local function each(fn, visit)
	visit(fn)
	for i = 0, #fn.protos do
		if fn.protos[i] then
			each(fn.protos[i], visit)
		end
	end
end

---All functions of a dump, the main one first.
---@param bytes string
---@return table[]
function bytecode.functions(bytes)
	local list = {}
	each(dump.read(bytes), function(fn) list[#list + 1] = fn end)
	return list
end

---Follows registers: regs[n] is whatever `step` stored about R[n]. `step` sees
---each instruction before its result is written, and may return what to store
---in R[A].
---@param fn table of run.dump
---@param step fun(i: table, regs: table, after: table?, pc: integer): any
---@param start? table<integer, any> what registers hold at the beginning
function bytecode.follow(fn, step, start)
	local regs, pc = start or {}, 0
	while fn.code[pc] do
		local i = fn.code[pc]
		local value = step(i, regs, fn.code[pc + 1], pc)
		if i.op == "MOVE" and value == nil then
			value = regs[i.b]
		end
		if not READS[i.op] then
			local span = SPANS[i.op]
			local first, last = i.a, i.a
			if span then
				first, last = span(i)
			end
			for n in pairs(regs) do
				if n >= first and n <= last then
					regs[n] = nil
				end
			end
			regs[i.a] = value
		end
		pc = pc + 1
	end
end

local function constant(fn, i, after)
	if i.op == "LOADK" then
		return fn.constants[i.bx]
	elseif i.op == "LOADKX" and after then
		return fn.constants[after.ax]
	end
end

-- The key of an access to _ENV at i, and whether it is written.
local function env_access(fn, i, regs)
	local function is_env(n) return regs[n] and regs[n].env end
	local function text(n) return regs[n] and regs[n].text end

	if i.op == "GETTABUP" and i.b == fn.env then
		return fn.constants[i.c], false
	elseif i.op == "SETTABUP" and i.a == fn.env then
		return fn.constants[i.b], true
	elseif i.op == "GETTABLE" and is_env(i.b) then
		return text(i.c), false
	elseif i.op == "SETTABLE" and is_env(i.a) then
		return text(i.b), true
	elseif i.op == "GETFIELD" and is_env(i.b) then
		return fn.constants[i.c], false
	elseif i.op == "SETFIELD" and is_env(i.a) then
		return fn.constants[i.b], true
	elseif i.op == "SELF" and is_env(i.b) then
		if i.k then
			return fn.constants[i.c], false
		end
		return text(i.c), false
	end
end

-- What a register holds after a load of a text or of the environment.
local function loaded(fn, i, after)
	local text = constant(fn, i, after)
	if type(text) == "string" then
		return { text = text }
	elseif i.op == "GETUPVAL" and i.b == fn.env then
		return { env = true }
	end
end

---Every use of a global: name, line, write.
---@param bytes string
---@return {name: string, line: integer, write: boolean}[]
function bytecode.globals(bytes)
	local found = {}
	for _, fn in ipairs(bytecode.functions(bytes)) do
		bytecode.follow(fn, function(i, regs, after)
			local name, write = env_access(fn, i, regs)
			if type(name) == "string" then
				found[#found + 1] =
					{ name = name, line = i.line, write = write }
			end
			return loaded(fn, i, after)
		end)
	end
	return found
end

---Every call of the global `require`: line, and the name when it is a constant.
---@param bytes string
---@return {line: integer, name: string?}[]
function bytecode.requires(bytes)
	local found = {}
	for _, fn in ipairs(bytecode.functions(bytes)) do
		bytecode.follow(fn, function(i, regs, after)
			local value = regs[i.a]
			if (i.op == "CALL" or i.op == "TAILCALL") and value
			   and value.require then
				local arg = regs[i.a + 1]
				found[#found + 1] =
					{ line = i.line, name = arg and arg.text }
				return nil
			end
			if env_access(fn, i, regs) == "require" then
				return { require = true }
			end
			return loaded(fn, i, after)
		end)
	end
	return found
end

local TESTED = {	-- registers tested, and how
	TEST = function(i) return "truth", i.a end,
	TESTSET = function(i) return "truth", i.b end,
	NOT = function(i) return "truth", i.b end,
	EQ = function(i) return "==", i.a, i.b end,
	EQK = function(i) return "==", i.a end,
	EQI = function(i) return "==", i.a end,
}

---Tests that Lua makes without asking the value: truth and equality of what a
---method returned. is_write(method, first) says which methods count; `first`
---is the call's first argument when it is a constant string.
---@param bytes string
---@param is_write fun(method: string, first: string?): boolean
---@return {line: integer, method: string, how: "=="|"truth"}[]
function bytecode.tests(bytes, is_write)
	local found = {}
	for _, fn in ipairs(bytecode.functions(bytes)) do
		bytecode.follow(fn, function(i, regs, after)
			local test = TESTED[i.op]
			if test then
				local how, a, b = test(i)
				local value = regs[a]
				if not (value and value.result) then
					value = b and regs[b]
				end
				if value and value.result then
					found[#found + 1] = { line = i.line,
						method = value.result, how = how }
				end
				-- TESTSET hands the value on, so does `or`
				return i.op == "TESTSET" and value or nil
			elseif i.op == "SELF" and (i.k or regs[i.c]) then
				local name = i.k and fn.constants[i.c]
					or regs[i.c] and regs[i.c].text
				return { method = name }
			elseif i.op == "CALL" and regs[i.a] then
				local method = regs[i.a].method
				local first = regs[i.a + 2]
				if type(method) == "string"
				   and is_write(method, first and first.text) then
					return { result = method }
				end
				return nil
			end
			local text = constant(fn, i, after)
			return type(text) == "string" and { text = text } or nil
		end)
	end
	return found
end

-- Tables under construction: a value is {line, pc, fields}; fields[key] is
-- {line, value}. The line of a field is where its value starts, when that was
-- made inside the constructor, for the instruction itself stands at its end.
local function add_field(tbl, key, i, value)
	local line = i.line
	if value and value.pc > tbl.pc and value.line < line then
		line = value.line
	end
	tbl.fields[key] = { line = line, value = value }
	return line
end

local function list_fields(tbl, i, regs, after)
	local base = i.c + (i.k and after and after.ax * 256 or 0)
	for n = 1, i.b do
		add_field(tbl, base + n, i, regs[i.a + n])
	end
end

local function shape_of(fn, on_field)
	local root
	bytecode.follow(fn, function(i, regs, after, pc)
		local tbl = regs[i.a]
		local is_table = tbl and tbl.fields
		if i.op == "RETURN" and i.b ~= 1 or i.op == "RETURN1" then
			root = is_table and tbl or root
		elseif i.op == "SETLIST" and is_table then
			list_fields(tbl, i, regs, after)
		elseif i.op == "SETFIELD" or i.op == "SETTABLE" then
			local key = fn.constants[i.b]
			if i.op == "SETTABLE" then
				key = regs[i.b] and regs[i.b].text
			end
			local value = not i.k and regs[i.c] or nil
			if type(key) == "string" then
				on_field(key, is_table
					and add_field(tbl, key, i, value) or i.line)
			end
		elseif i.op == "NEWTABLE" then
			return { line = i.line, pc = pc, fields = {} }
		elseif i.op == "CLOSURE" then
			return { line = fn.protos[i.bx].line, pc = pc }
		elseif i.op ~= "MOVE" and not READS[i.op] then
			return { line = i.line, pc = pc,
				text = constant(fn, i, after) }
		end
	end)
	return root
end

---Where each field name is set: name -> lines, in all functions.
---@param bytes string
---@return table<string, integer[]>
function bytecode.fields(bytes)
	local found = {}
	for _, fn in ipairs(bytecode.functions(bytes)) do
		shape_of(fn, function(name, line)
			found[name] = found[name] or {}
			table.insert(found[name], line)
		end)
	end
	return found
end

---The table that the main function returns, as it is built: nested
---{line, fields}, or nil when it isn't a constructor.
---@param bytes string
---@return table?
function bytecode.shape(bytes)
	return shape_of(dump.read(bytes), function() end)
end

---Line of a field of the returned table: the deepest part of `path` that the
---shape knows; nil when it knows none.
---@param shape table?
---@param path (string|integer)[]
---@return integer?
function bytecode.line_of(shape, path)
	local line = nil
	for _, key in ipairs(path) do
		local field = shape and shape.fields and shape.fields[key]
		if not field then
			return line or shape and shape.line
		end
		line, shape = field.line, field.value
	end
	return line or shape and shape.line
end

---Does the main function return a value in any place? A file that returns
---nothing is a script.
---@param bytes string
---@return boolean
function bytecode.returns(bytes)
	local fn, pc = dump.read(bytes), 0
	while fn.code[pc] do
		local i = fn.code[pc]
		if i.op == "RETURN1" or i.op == "RETURN" and i.b ~= 1 then
			return true
		end
		pc = pc + 1
	end
	return false
end

return bytecode
