-- scope: what an expression that was typed stands for, as far as that can be known
-- without running it: values by rawget alone, else the class that the
-- documentation gives. A "thing" is {value=, known=true} and/or {class=},
-- {target=}. No metamethod runs, nothing is called, no module is loaded.
local docs = require "run.docs"

local scope = {}

-- How far __index tables are followed.
local MAX_DEPTH = 8

local function raw(t, key)
	if type(t) == "table" then return rawget(t, key) end
end

-- The metatable as it is: __metatable does not hide it, nothing runs.
local function meta_of(value)
	local kind = type(value)
	if kind == "table" or kind == "userdata" then
		return debug.getmetatable(value)
	end
end

local function class_by_name(value)
	local name = raw(meta_of(value), "__name")
	if type(name) == "string" and docs.class(name) then return name end
	local index = raw(meta_of(value), "__index")
	name = type(index) == "table" and rawget(index, "__name")
	if type(name) == "string" and docs.class(name) then return name end
end

-- The name of a module whose table this is.
local function module_of(value)
	if type(value) ~= "table" then return nil end
	for name, loaded in next, package.loaded do
		if rawequal(loaded, value) and type(name) == "string"
			and docs.module(name) then
			-- opsh.json is opsh.c.json's own table
			return (name:gsub("^opsh%.c%.", "opsh."))
		end
	end
end

-- The class of a documented module, by the name of a global or in require.
local function module_thing(name)
	local class = docs.module(name)
	return class and { class = class, module = name }
end

---What is known of a value.
---@param value any
---@param ctx table
---@return table thing
function scope.of_value(value, ctx)
	local thing = { value = value, known = true }
	local target = ctx.target_of and ctx.target_of(value)
	if target then
		thing.target, thing.class = target, docs.of_kind(target.kind)
		return thing
	end
	local module = module_of(value)
	if module then
		thing.module, thing.class = module, docs.module(module)
	else
		thing.class = class_by_name(value)
	end
	return thing
end

local function targets_of(ctx)
	local config = ctx.config and ctx.config()
	return config and raw(config, "targets") or {}
end

-- A global's name -> what it is when it has not been looked at yet.
local function lazy_thing(name, ctx)
	local target = targets_of(ctx)[name]
	if target then
		return { class = docs.of_kind(target.kind), target = target }
	end
	local env = require "run.env"
	local module = env.module_of(name)
	if module then return module_thing(module) end
	local library = docs.library(name)
	if library then return { class = library } end
	local member = docs.global(name)
	return member and { member = member }
end

---The thing that a global names, nil when nothing is known.
---@param name string
---@param ctx table
---@return table?
function scope.global(name, ctx)
	local value = raw(ctx.env, name)
	local target = targets_of(ctx)[name]
	if value == nil or target and type(value) ~= "nil" then
		local thing = lazy_thing(name, ctx)
		if thing and value ~= nil then
			thing.value, thing.known = value, true
		end
		if thing or value == nil then return thing end
	end
	local thing = scope.of_value(value, ctx)
	thing.class = thing.class or docs.library(name)
	thing.member = docs.global(name)
	return thing
end

-- A field by rawget, along __index where that is a table.
local function raw_field(value, name)
	for _ = 1, MAX_DEPTH do
		if type(value) == "table" then
			local found = rawget(value, name)
			if found ~= nil then return found end
		end
		value = raw(meta_of(value), "__index")
		if type(value) ~= "table" then return nil end
	end
end

---What `thing.name` or `thing:name` is.
---@param thing table
---@param name any
---@param ctx table
---@return table?
function scope.field(thing, name, ctx)
	local member = thing.class and type(name) == "string"
		and docs.member(thing.class, name)
	local found
	if thing.known then
		if type(thing.value) == "string" then
			local class = docs.library "string"
			member = member or docs.member(class, name)
		end
		local value = raw_field(thing.value, name)
		if value ~= nil then found = scope.of_value(value, ctx) end
	end
	if member then
		found = found or {}
		found.member = member
		if not member.params then
			found.class = found.class or docs.class_of(member.type)
		end
	end
	if found then
		found.owner = thing
	elseif thing.target and type(name) == "string"
		and thing.target.kind == "redis" then
		found = { owner = thing, redis = name }
	end
	return found
end

-- What a call gives, by what is documented of it.
local function called(thing, arg)
	if thing.member and thing.member.name == "require" and arg then
		return module_thing(arg)
	end
	local returns = thing.member and thing.member.returns
	local class = returns and returns[1] and docs.class_of(returns[1].type)
	return class and { class = class }
end

---The thing at the end of a chain of {name=}, {field=}, {index=}, {call=}.
---@param chain table[]
---@param ctx table
---@param locals? table<string, table> name -> chain
---@return table?
function scope.resolve(chain, ctx, locals)
	local thing
	for n, link in ipairs(chain) do
		if n == 1 then
			local own = locals and locals[link.name]
			if own then
				local rest = {}
				for name, value in next, locals do rest[name] = value end
				rest[link.name] = nil
				thing = own.class and own or scope.resolve(own, ctx, rest)
			elseif link.string then
				thing = { known = true, value = "" }
			else
				thing = link.name and scope.global(link.name, ctx)
			end
		elseif link.call then
			thing = called(thing, link.arg)
		else
			local key = link.field
			if key == nil then key = link.index end
			thing = scope.field(thing, key, ctx)
		end
		if not thing then return nil end
	end
	return thing
end

---Calls visit(key, value, own) for the fields of a table, those of its __index
---tables after its own; at most `max` of them are looked at.
---@param value any
---@param max integer
---@param visit fun(key: any, value: any, own: boolean)
---@return boolean all whether there were no more
function scope.each(value, max, visit)
	local seen = 0
	for depth = 1, MAX_DEPTH do
		if type(value) == "table" then
			for key, field in next, value do
				if seen >= max then return false end
				seen = seen + 1
				visit(key, field, depth == 1)
			end
		end
		value = raw(meta_of(value), "__index")
		if type(value) ~= "table" then return true end
	end
	return true
end

return scope
