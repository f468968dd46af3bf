-- check: what can be known of Lua source without running it: syntax, globals
-- that are not there, modules that may not be required, tests of a write's
-- result that Lua makes without asking the value (DESIGN 1.2). Owns the list of
-- globals that a playbook sees when the caller names none. Runs nothing.
local bytecode = require "run.bytecode"
local words = require "run.words"

local check = {}

-- Standard Lua as user code sees it, and what opsh adds: run.env makes them. It
-- is the default here, and what targets can't be called.
check.globals = {}
for name in ([[
	_G _VERSION assert collectgarbage coroutine debug dofile error getmetatable
	io ipairs load loadfile math next os package pairs pcall print rawequal
	rawget rawlen rawset require select setmetatable string table tonumber
	tostring type utf8 warn xpcall
	fail guard json log null progress secret show step task timer try]]
	):gmatch("[%a_][%w_]*") do
	check.globals[name] = true
end

-- Methods whose result is a write's: Redis commands that are flagged `write`,
-- and the verbs of DESIGN section 4. A name says less than a type, so this is
-- for warnings only; the boundary judges the call itself.
local WRITES = {}
for name in ([[
	append bitop blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin
	copy decr decrby del expire expireat flushall flushdb geoadd geosearchstore
	getdel getex getset hdel hincrby hincrbyfloat hmset hset hsetnx incr incrby
	incrbyfloat linsert lmove lmpop lpop lpush lpushx lrem lset ltrim migrate
	mset msetnx persist pexpire pexpireat pfadd pfmerge psetex publish rename
	renamenx restore rpop rpoplpush rpush rpushx sadd sdiffstore set setbit
	setex setnx setrange sinterstore smove spop srem sunionstore swapdb unlink
	xack xadd xautoclaim xclaim xdel xreadgroup xsetid xtrim zadd zdiffstore
	zincrby zinterstore zmpop zpopmax zpopmin zrangestore zrem zremrangebylex
	zremrangebyrank zremrangebyscore zunionstore
	exec copy_in produce create_topic add_partitions reset_offsets
	delete_records post put patch delete restart stop start scale undo set_image
	set_env]]):gmatch("%l[%l_]*") do
	WRITES[name] = true
end

---Is this the name of a method that writes? `cmd` is by its first argument.
---@param method string
---@param first string?
---@return boolean
function check.is_write(method, first)
	if method == "cmd" and first then
		method = (first:match("^%a+") or ""):lower()
	end
	return WRITES[method] == true
end

---Makes a file's bytes ready to compile: a byte order mark and a first line
---that starts with '#' are no Lua. Line numbers stay. Raises nothing.
---@param source string
---@return string
function check.prepare(source)
	if source:sub(1, 3) == "\xEF\xBB\xBF" then
		source = source:sub(4)
	end
	if source:sub(1, 1) == "#" then
		source = "--" .. source
	end
	return source
end

local function name_set(names)
	local set = {}
	for k, v in pairs(names or check.globals) do
		set[type(k) == "string" and k or v] = true
	end
	return set
end

local function check_globals(dump, names, add)
	local uses = bytecode.globals(dump)
	local assigned, seen = {}, {}
	for _, use in ipairs(uses) do
		if use.write then
			assigned[use.name] = true
		end
	end
	for _, use in ipairs(uses) do
		local key = ("%s:%d:%s"):format(use.name, use.line, use.write)
		if seen[key] then
			goto continue
		end
		seen[key] = true
		if use.write and names[use.name] then
			add(use.line, "warning",
				("'%s' of opsh is replaced by an assignment"):format(use.name))
		elseif use.write then
			add(use.line, "warning", ("'%s' is assigned as a global: "
				.. "write 'local' before its first use"):format(use.name))
		elseif not names[use.name] and not assigned[use.name] then
			add(use.line, "error", ("undefined global '%s'%s"):format(
				use.name, words.suggest(use.name, names)))
		end
		::continue::
	end
end

local function check_requires(dump, is_module, add)
	for _, use in ipairs(bytecode.requires(dump)) do
		local name = use.name
		if name and (not name:match("^opsh%.[%w_.]+$")
		   or name:match("^opsh%.c%.")) then
			add(use.line, "error", ("cannot require '%s': only modules "
				.. "'opsh.*' can be required here"):format(name))
		elseif name and is_module and not is_module(name) then
			add(use.line, "error", ("there is no module '%s'"):format(name))
		end
	end
end

local HOW = {
	["=="] = "'==' on the result of '%s' can't wait for the answer: "
		.. "compare a field, such as '.count'",
	truth = "the result of '%s' is true even when nothing changed: "
		.. "test a field, such as '.count'",
}

local function check_tests(dump, is_write, add)
	for _, test in ipairs(bytecode.tests(dump, is_write)) do
		add(test.line, "warning", HOW[test.how]:format(test.method))
	end
end

-- "x:12: message": the chunk is named x here, so that no name can confuse it.
local function syntax_problem(message, add)
	local line, text = message:match("^x:(%d+): (.*)$")
	add(tonumber(line) or 0, "error", text or message)
end

---Checks source. names: what the environment holds (a set or a list; the
---default is check.globals). opts: is_write(method, first), is_module(name).
---@param source string
---@param chunkname string as for load: "@FILE"
---@param names table?
---@param opts table?
---@return {file: string, line: integer, message: string, severity: "error"|"warning"}[]
---@return string? dump the compiled chunk, when the syntax is right
function check.source(source, chunkname, names, opts)
	local problems, count = {}, 0
	local file = (chunkname or "?"):gsub("^[@=]", "")
	opts = opts or {}

	local function add(line, severity, message)
		count = count + 1
		problems[count] = { file = file, line = line, message = message,
			severity = severity, order = count }
	end

	if source:sub(1, 1) == "\27" then
		add(0, "error", "precompiled Lua is not accepted, only source text")
		problems[1].order = nil
		return problems, nil
	end
	local f, message = load(check.prepare(source), "=x", "t", {})
	local dump = f and string.dump(f)
	if not dump then
		syntax_problem(message, add)
	else
		check_globals(dump, name_set(names), add)
		check_requires(dump, opts.is_module, add)
		check_tests(dump, opts.is_write or check.is_write, add)
	end
	table.sort(problems, function(a, b)
		if a.line ~= b.line then
			return a.line < b.line
		end
		return a.order < b.order
	end)
	for _, problem in ipairs(problems) do
		problem.order = nil
	end
	return problems, dump
end

---In the order of their lines; that in which they were found may be that of a
---table's fields: none.
---@param problems table[]
function check.sort(problems)
	local found = {}
	for n, problem in ipairs(problems) do found[problem] = n end
	table.sort(problems, function(a, b)
		if a.line ~= b.line then return a.line < b.line end
		return found[a] < found[b]
	end)
end

---The error on the first line that has one, or nil.
---@param problems table[]
---@return table?
function check.first_error(problems)
	local first
	for _, problem in ipairs(problems) do
		if problem.severity == "error"
		   and (not first or problem.line < first.line) then
			first = problem
		end
	end
	return first
end

---"FILE:LINE: message", with "warning: " before a warning's message.
---@param problem table
---@return string
function check.format(problem)
	return ("%s:%d: %s%s"):format(problem.file, problem.line,
		problem.severity == "warning" and "warning: " or "", problem.message)
end

return check
