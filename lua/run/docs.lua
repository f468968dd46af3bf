-- docs: what the documentation says of modules, targets' methods and options: the
-- one source of help(x), completion and hints. Read from lua/meta and from the
-- comments of lua/opsh, which the build embeds, a file when something in it is
-- asked for. Owns no words and runs nothing: no module is loaded.
local sys = require "opsh.c.sys"
local text = require "run.docs.text"

local docs = {}

local paths		-- class or alias -> files that speak of it
local modules		-- module -> file
local globals		-- global of user code -> file
local aliases = {}	-- other name of a class -> class
local classes = {}	-- class -> what is known of it
local parsed = {}	-- file -> what text.parse gave

local function note(list, key, path)
	list[key] = list[key] or {}
	table.insert(list[key], path)
end

-- Which file has what: a look at each, none is parsed.
local function scan()
	if paths then return end
	paths, modules, globals = {}, {}, {}
	-- what a Lua module says of its own functions goes before what lua/meta
	-- says of those of the C module below it
	for _, folder in ipairs { "doc/", "lua/meta/" } do
		for _, path in ipairs(sys.files(folder)) do
			local file = sys.file(path)
			for class in file:gmatch "%-%-%-@class%s+([%w_.]+)" do
				note(paths, class, path)
			end
			for alias, class in file:gmatch
				"%-%-%-@alias%s+([%w_.]+)%s+([%w_.]+)" do
				aliases[alias] = class
			end
			for name in file:gmatch "%-%-%-@global%s+([%w_]+)" do
				globals[name] = path
			end
			-- methods that a part of a kind installs
			local kind = path:match "^doc/opsh/([%w_]+)/"
			if kind and file:find("\nfunction Client:", 1, true) then
				note(paths, docs.of_kind(kind), path)
			end
			local module = file:match "^%-%-%-@meta%s+([%w_.]+)"
				or path:match "^doc/(opsh/.+)%.lua$"
			if module then modules[module:gsub("/", ".")] = path end
		end
	end
end

local function parse(path)
	local file = parsed[path]
	if not file then
		file = text.parse(sys.file(path), path)
		parsed[path] = file
	end
	return file
end

-- Of two that describe one function, which says more? Types count most.
local function worth(member)
	local n = member.summary and 1 or 0
	for _, param in ipairs(member.params or {}) do
		if param.type then return n + 2 end
	end
	return n
end

local function merge(into, found)
	for _, key in ipairs { "summary", "text", "extends", "call" } do
		into[key] = into[key] or found[key]
	end
	for _, name in ipairs(found.order) do
		local member, known = found.members[name], into.members[name]
		if not known then
			into.order[#into.order + 1] = name
			into.members[name] = member
		elseif worth(member) > worth(known) then
			into.members[name] = member
		end
	end
end

local function resolve_same(into, same)
	for _, row in ipairs(same or {}) do
		local from = docs.module(row.module)
		local member = from and from.members[row.field]
		if member and not into.members[row.name] then
			into.order[#into.order + 1] = row.name
			into.members[row.name] = member
		end
	end
end

---What is documented of a class: {name, summary, text, extends, call, order =
---names, members = {name = member}}; a member is {name, sep, params, returns,
---summary, text} or a field {name, type, text}.
---@param name string "opsh.redis.client", or the name of its metatable
---@return table? class
function docs.class(name)
	scan()
	name = aliases[name] or name
	if classes[name] ~= nil then return classes[name] or nil end
	if not paths[name] then return nil end
	local class = { name = name, order = {}, members = {} }
	classes[name] = class
	for _, path in ipairs(paths[name]) do
		local found = parse(path).classes[name]
		if found then merge(class, found) end
	end
	return class
end

---What a module offers, as a class.
---@param name string "opsh.fs", "opsh.c.fs"
---@return table? class
function docs.module(name)
	scan()
	local key = "=" .. name
	if classes[key] ~= nil then return classes[key] or nil end
	local path = modules[name]
	if not path then return nil end
	local file = parse(path)
	if file.returns_module then
		classes[key] = docs.module(file.returns_module) or false
		return classes[key] or nil
	end
	local class = { name = name, order = {}, members = {},
		summary = docs.summary(name), text = file.text }
	classes[key] = class
	local own = file.classes[file.returns or name]
	local found = file.returns and docs.class(file.returns) or own
	for _, field in ipairs(own and own.order or {}) do
		class.order[#class.order + 1] = field
		class.members[field] = found.members[field]
	end
	resolve_same(class, file.same)
	return class
end

---The modules that playbooks may require, sorted.
---@return string[]
function docs.modules()
	scan()
	local out = {}
	for name in pairs(modules) do
		if not name:find "^opsh%.c%." and name:find "^opsh%." then
			out[#out + 1] = name
		end
	end
	table.sort(out)
	return out
end

---The first sentence of what a module says of itself.
---@param name string
---@return string? summary
function docs.summary(name)
	scan()
	local head = modules[name] and sys.file(modules[name]):match "^(%-%-.-)\n[^-]"
	head = head and head:gsub("%-%-+ ?", ""):gsub("%s+", " "):gsub("^[%w_.]+: ",
		"")
	return head and (head:match "^(.-)[.:;] " or head)
end

---The class of the clients of a kind of target.
---@param kind string "redis"
---@return string
function docs.of_kind(kind) return "opsh." .. kind .. ".client" end

---A member by its name, of the class or of what it extends.
---@param class table|string
---@param name string
---@return table? member
function docs.member(class, name)
	if type(class) == "string" then class = docs.class(class) end
	for _ = 1, 5 do
		if not class then return nil end
		if class.members[name] then return class.members[name] end
		class = class.extends and docs.class(class.extends)
	end
end

---All members, those of what it extends after its own.
---@param class table|string
---@return table[]
function docs.members(class)
	local out, seen = {}, {}
	if type(class) == "string" then class = docs.class(class) end
	for _ = 1, 5 do
		if not class then break end
		for _, name in ipairs(class.order) do
			if not seen[name] then
				seen[name] = true
				out[#out + 1] = class.members[name]
			end
		end
		class = class.extends and docs.class(class.extends)
	end
	return out
end

---A function that user code has as a global, of opsh or of Lua.
---@param name string
---@return table? member
function docs.global(name)
	scan()
	local path = globals[name]
	return path and parse(path).globals[name]
end

---The class of a table of Lua's own ("string"), or nil.
---@param name string
---@return table? class
function docs.library(name) return docs.class("lua." .. name) end

---The fields that a type has: of a class, of `{a?: T, b: T}`, of either in `A|B`.
---@param type_text string?
---@return table[]? fields {name, type, optional, text}
function docs.fields(type_text)
	local out
	for _, one in ipairs(text.split(type_text or "", "|")) do
		local inline = one:match "^{(.*)}$"
		local list = {}
		if inline then
			list = text.fields(inline)
		elseif one:find "^opsh%." then
			for _, member in ipairs(docs.members(one) or {}) do
				if not member.params then list[#list + 1] = member end
			end
		end
		if #list > 0 then
			out = out or {}
			table.move(list, 1, #list, #out + 1, out)
		end
	end
	return out
end

---The values that a type of literals lists: "earliest", "latest".
---@param type_text string?
---@return string[]
function docs.values(type_text)
	local out = {}
	for _, one in ipairs(text.split(type_text or "", "|")) do
		local value = one:match '^"(.*)"$'
		if value then out[#out + 1] = value end
	end
	return out
end

---The class that a type names, nil when it is no class.
---@param type_text string?
---@return string?
function docs.class_of(type_text)
	for _, one in ipairs(text.split(type_text or "", "|")) do
		one = one:gsub("%?$", "")
		if one:find "^opsh%." and docs.class(one) then return one end
	end
end

---How a function is called: "fs.read(path, opts?)", and where its arguments stand
---in that.
---@param member table
---@param called string "fs.read", "cache:get"
---@return string signature
---@return {from: integer, to: integer}[] arguments bytes of each
function docs.signature(member, called)
	local out, places = called .. "(", {}
	for n, param in ipairs(member.params or {}) do
		if n > 1 then out = out .. ", " end
		local shown = param.name .. (param.optional and "?" or "")
		places[n] = { from = #out + 1, to = #out + #shown }
		out = out .. shown
	end
	return out .. ")", places
end

return docs
