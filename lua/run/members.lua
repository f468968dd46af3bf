-- members: the targets, parameters and methods that a playbook's functions name,
-- seen in their bytecode, held against what it needs and declares: a slip of the
-- pen is told before the run, not in the branch that is taken once a year.
-- Follows what is handed in as `t` and `p`, also into closures and through local
-- names; not what a helper is given. Runs nothing.
local bytecode = require "run.bytecode"
local docs = require "run.docs"
local dump = require "run.dump"
local words = require "run.words"

local members = {}

-- Does fn, or a function in it, assign to its upvalue n?
local function assigns(fn, n)
	for pc = 0, #fn.code do
		local i = fn.code[pc]
		if i and i.op == "SETUPVAL" and i.b == n then return true end
	end
	for _, child in pairs(fn.protos) do
		for m, up in pairs(child.upvalues) do
			if not up.in_stack and up.index == n and assigns(child, m) then
				return true
			end
		end
	end
	return false
end

local visit

-- What the upvalues of a closure hold as it is made; what it assigns to may be
-- anything afterwards.
local function closure(child, regs, up, found)
	local own = {}
	for n, from in pairs(child.upvalues) do
		local held = from.in_stack and regs or up
		if assigns(child, n) then held[from.index] = nil end
		own[n] = held[from.index]
	end
	visit(child, {}, own, found)
end

-- Values are {of = "targets"|"params"} and {of = "target", name = NAME}.
function visit(fn, start, up, found)
	local function note(of, name, i, write, target)
		if of and type(name) == "string" then
			found[#found + 1] = { of = of, name = name, line = i.line,
				write = write, target = target }
		end
	end
	bytecode.follow(fn, function(i, regs)
		local from, name
		if i.op == "CLOSURE" then
			return closure(fn.protos[i.bx], regs, up, found)
		elseif i.op == "GETUPVAL" then
			return up[i.b]
		elseif i.op == "SETFIELD" and regs[i.a] then
			return note(regs[i.a].of, fn.constants[i.b], i, true)
		elseif i.op == "SETTABUP" and up[i.a] then
			return note(up[i.a].of, fn.constants[i.b], i, true)
		elseif i.op == "SELF" and regs[i.b] and regs[i.b].of == "target" then
			return note("method", i.k and fn.constants[i.c], i, false,
				regs[i.b].name)
		elseif i.op == "GETTABUP" then
			from, name = up[i.b], fn.constants[i.c]
		elseif i.op == "GETFIELD" then
			from, name = regs[i.b], fn.constants[i.c]
		end
		if from and from.of ~= "target" then
			note(from.of, name, i)
			return from.of == "targets" and type(name) == "string"
				and { of = "target", name = name } or nil
		end
	end, start)
end

---What a function(t, p) names: {of = "targets"|"params", name, line, write}, and
---{of = "method", target, name, line} of its targets.
---@param f function
---@return table[]
function members.of(f)
	local ok, bytes = pcall(string.dump, f)
	if not ok then return {} end		-- a function of C
	local fn, found, start = dump.read(bytes), {}, {}
	if fn.params > 0 then start[0] = { of = "targets" } end
	if fn.params > 1 then start[1] = { of = "params" } end
	visit(fn, start, {}, found)
	return found
end

-- The methods that clients of any of the kinds have, and the commands when Redis
-- is one of them: those are methods, too, and nobody knows all.
local function methods_of(kinds)
	local names, is_redis = {}, false
	for _, kind in ipairs(kinds) do
		local list = docs.members(docs.of_kind(kind))
		if not list[1] then return nil end	-- undocumented: anything may be
		for _, member in ipairs(list) do names[member.name] = true end
		is_redis = is_redis or kind == "redis"
	end
	if is_redis then
		local redis = require "run.docs.redis"
		for name in pairs(redis.usual()) do
			names[redis.as_method(name)] = true
		end
	end
	return names, is_redis
end

local function check_method(use, need, add)
	local names, is_redis = methods_of(need.kinds)
	if not names or names[use.name] then return end
	local like = words.suggest(use.name, names)
	if is_redis and like == "" then return end
	add(use.line, "warning", ("'%s' (%s) has no method '%s'%s"):format(use.target,
		table.concat(need.kinds, " or "), use.name, like))
end

local function functions(spec)
	local list = { spec.run, spec.verify, spec.undo }
	for _, one in ipairs(spec.checks) do list[#list + 1] = one.run end
	return list
end

---Checks the functions of a playbook. add(line, severity, message).
---@param spec table as of run.fields
---@param add fun(line: integer, severity: string, message: string)
function members.check(spec, add)
	local uses, given, told = {}, { targets = {}, params = {} }, {}
	for name in pairs(spec.needs) do given.targets[name] = true end
	for name in pairs(spec.params) do given.params[name] = true end
	for _, f in pairs(functions(spec)) do
		for _, use in ipairs(members.of(f)) do
			uses[#uses + 1] = use
			if use.write then given[use.of][use.name] = true end
		end
	end
	for _, use in ipairs(uses) do
		local key = ("%d %s %s"):format(use.line, use.of, use.name)
		if told[key] then
			goto continue
		elseif use.of == "method" and spec.needs[use.target] then
			check_method(use, spec.needs[use.target], add)
		elseif use.of == "targets" and not given.targets[use.name] then
			add(use.line, "error", ("no target '%s' in needs%s"):format(use.name,
				words.hint(use.name, given.targets)))
		elseif use.of == "params" and not given.params[use.name] then
			add(use.line, "error", ("no parameter '%s' in params%s"):format(
				use.name, words.hint(use.name, given.params)))
		end
		told[key] = true
		::continue::
	end
end

return members
