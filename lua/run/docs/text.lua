-- docs.text: reads LuaCATS comments: classes, fields, functions, types. Takes the
-- text of a file of lua/meta, or what src/tools/stubs.lua leaves of a module.
-- Knows nothing of where a text is from; never fails on one that it can't read.
local text = {}

-- The position after a type that begins at `at`: a blank outside of brackets ends
-- it, but not after `:` of fun(): T, nor about `|`.
local function type_end(s, at)
	local depth, n = 0, at
	while n <= #s do
		local c = s:sub(n, n)
		if c == '"' then
			n = s:find('"', n + 1, true) or #s
		elseif c:find "[({%[<]" then
			depth = depth + 1
		elseif c:find "[)}%]>]" then
			depth = depth - 1
		elseif c == " " and depth <= 0 then
			local before = s:sub(n - 1, n - 1)
			if before ~= ":" and before ~= "|" and before ~= ","
				and s:sub(n + 1, n + 1) ~= "|" then
				return n
			end
		end
		n = n + 1
	end
	return #s + 1
end

---Splits at a mark outside of brackets and quotes; each part is trimmed.
---@param s string
---@param mark string one character
---@return string[]
function text.split(s, mark)
	local out, depth, from, n = {}, 0, 1, 1
	while n <= #s do
		local c = s:sub(n, n)
		if c == '"' then
			n = s:find('"', n + 1, true) or #s
		elseif c:find "[({%[<]" then
			depth = depth + 1
		elseif c:find "[)}%]>]" then
			depth = depth - 1
		elseif c == mark and depth == 0 then
			out[#out + 1] = s:sub(from, n - 1):match "^%s*(.-)%s*$"
			from = n + 1
		end
		n = n + 1
	end
	local last = s:sub(from):match "^%s*(.-)%s*$"
	if last ~= "" then out[#out + 1] = last end
	return out
end

-- "name?: type" of an inline table or of the arguments of fun().
local function named(part)
	local name, optional, kind = part:match "^([%a_.][%w_.]*)(%??)%s*:%s*(.*)$"
	if not name then name, optional, kind = part, "", nil end
	return { name = name, type = kind, optional = optional == "?" or kind ~= nil
		and kind:find "%?$" ~= nil }
end

---The fields of the inside of `{a: T, b?: T}`.
---@param inside string
---@return table[] fields {name, type, optional}
function text.fields(inside)
	local out = {}
	for _, part in ipairs(text.split(inside, ",")) do
		local field = named(part)
		if field.type and field.name:find "^[%a_]" then out[#out + 1] = field end
	end
	return out
end

-- A field whose type is fun(...): a method or a function.
local function of_fun(field)
	local args, result = (field.type or ""):match "^fun(%b())%s*:?%s*(.*)$"
	if not args then return field end
	local params, sep = {}, "."
	for _, part in ipairs(text.split(args:sub(2, -2), ",")) do
		local param = named(part)
		if param.name == "self" and #params == 0 and sep == "." then
			sep = ":"
		else
			params[#params + 1] = param
		end
	end
	return { name = field.name, sep = sep, params = params,
		returns = result ~= "" and { { type = result:match "^[^,]*" } } or {},
		summary = field.text, text = field.text }
end

local TAG = {}

function TAG.class(block, rest)
	local name, extends = rest:match "^([%w_.]+)%s*:?%s*([%w_.]*)"
	block.class, block.extends = name, extends ~= "" and extends or nil
end

function TAG.field(block, rest)
	if rest:find "^private%s" or rest:find "^%[" then return end
	local name, optional, after = rest:match "^([%a_][%w_]*)(%??)%s+(.*)$"
	if not name then return end
	local stop = type_end(after, 1)
	local field = { name = name, type = after:sub(1, stop - 1),
		optional = optional == "?", text = after:sub(stop + 1) }
	table.insert(block.fields, field)
	return field
end

function TAG.param(block, rest)
	local name, optional, after = rest:match "^([%a_.][%w_.]*)(%??)%s*(.*)$"
	if not name then return end
	local stop = type_end(after, 1)
	local param = { name = name, optional = optional == "?",
		type = after:sub(1, stop - 1), text = after:sub(stop + 1) }
	table.insert(block.params, param)
	return param
end

TAG["return"] = function(block, rest)
	local stop = type_end(rest, 1)
	local result = { type = rest:sub(1, stop - 1), text = rest:sub(stop + 1) }
	table.insert(block.returns, result)
	return result
end

function TAG.operator(block, rest)
	block.call = rest:match "^call(.*)$" or block.call
end

function TAG.global(block, rest) block.global = rest:match "^[%w_]+" end

-- The lines of one comment -> what it says.
local function read_block(lines)
	local block = { params = {}, returns = {}, fields = {} }
	local words, tag = {}, nil
	for _, line in ipairs(lines) do
		local name, rest = line:match "^%-%-%-@(%l+)%s*(.*)$"
		if name then
			tag = TAG[name] and TAG[name](block, rest) or {}
		else
			local said = line:gsub("^%-%-+", ""):gsub("^ ([^ ])", "%1")
			if tag and said:find "%S" and not said:find "^%s%s" then
				tag.text = (tag.text and tag.text ~= "" and tag.text .. " " or "")
					.. said
			else
				tag = nil
				words[#words + 1] = said
			end
		end
	end
	while words[1] == "" do table.remove(words, 1) end
	block.text = #words > 0 and table.concat(words, "\n") or nil
	local first = block.text and (block.text .. "\n\n"):match "^(.-)\n%s*\n"
	first = first and first:gsub("%s+", " ") or nil
	block.summary = first and (first:match "^(.-[.:;])%s" or first)
	block.summary = block.summary and block.summary:gsub("[.:;]$", "")
	return block
end

-- Arguments of a head that have no @param get their bare name.
local function parameters(block, args)
	local by, out = {}, {}
	for _, param in ipairs(block.params) do by[param.name] = param end
	for name in args:gmatch "[%a_.][%w_.]*" do
		out[#out + 1] = by[name] or { name = name }
	end
	return out
end

local function new_class(file, name)
	local class = file.classes[name]
	if not class then
		class = { name = name, order = {}, members = {} }
		file.classes[name] = class
	end
	return class
end

local function add_member(class, member)
	if not class.members[member.name] then
		class.order[#class.order + 1] = member.name
	end
	class.members[member.name] = member
end

local function add_class(file, block, line)
	local class = new_class(file, block.class)
	class.extends, class.call = block.extends, block.call
	class.summary, class.text = block.summary, block.text
	for _, field in ipairs(block.fields) do
		add_member(class, of_fun(field))
	end
	local name = line:match "^local%s+([%a_][%w_]*)"
	if not name then return end
	file.owners[name] = { block.class }
	if name == file.returned then file.returns = block.class end
end

-- local function install(methods): what `methods` is says its @param.
local function add_owners(file, block)
	for _, param in ipairs(block.params) do
		local list = {}
		for _, one in ipairs(text.split(param.type or "", "|")) do
			if one:find "^opsh%." then list[#list + 1] = one end
		end
		if #list > 0 then file.owners[param.name] = list end
	end
end

local function function_of(block, name, sep, args)
	return { name = name, sep = sep, params = parameters(block, args),
		returns = block.returns, summary = block.summary, text = block.text }
end

local function add_function(file, block, line)
	local owner, sep, name, args = line:match
		"^function%s+([%a_][%w_]*)([.:])([%a_][%w_]*)%s*(%b())"
	if not owner then
		owner, name = line:match "^([%a_][%w_]*)%.([%a_][%w_]*)%s*="
		if not owner then return end
		sep, args = ".", ""
		for _, param in ipairs(block.params) do
			args = args .. " " .. param.name
		end
	end
	if name:find "^_" then return end
	for _, class in ipairs(file.owners[owner] or {}) do
		add_member(new_class(file, class), function_of(block, name, sep, args))
	end
end

-- A global of user code: the function that a file returns, or one by its name.
local function add_global(file, block, line)
	local args = line:match "function[^(]*(%b())"
	if args then
		file.globals[block.global] = function_of(block, block.global, ".", args)
	end
end

local function declare(file, lines, line)
	local block = read_block(lines)
	if block.class then add_class(file, block, line) end
	if block.global then
		add_global(file, block, line)
	elseif line:find "^local%s+function" then
		add_owners(file, block)
	elseif line:find "^function" or line:find "^[%a_][%w_]*%." then
		add_function(file, block, line)
	end
end

-- What the file returns owns what is said of its module; its class, where one is
-- given, comes with its declaration.
local function owner_of_module(file, source, module)
	file.returns_module = source:match
		"\nreturn%s+require%s*%(?%s*\"([%w_.]+)\""
	if file.returns_module then return end
	for found in source:gmatch "\nreturn%s+([%a_][%w_]*)%s*%f[\n%z]" do
		file.returned = found
	end
	if file.returned then
		-- a class may have the module's name and be something else
		file.returns = "module " .. module
		file.owners[file.returned] = { file.returns }
	end
end

-- Each method of a class is a function of the module too, on an object of its own.
local function mirror(file, name)
	for _, class in ipairs(file.owners[name] or {}) do
		local from = new_class(file, class)
		for _, member in ipairs(from.order) do
			local method = from.members[member]
			local into = new_class(file, file.returns or "")
			if method.params and not into.members[member] then
				add_member(into, { name = member, sep = ".",
					params = method.params, returns = method.returns,
					summary = method.summary, text = method.text })
			end
		end
	end
end

---Everything that a text says.
---@param source string
---@param path string "lua/meta/fs.lua", "doc/opsh/fs.lua"
---@return table file classes, globals, same, returns, returns_module, summary, text
function text.parse(source, path)
	local file = { classes = {}, globals = {}, owners = {}, same = {} }
	local module = source:match "^%-%-%-@meta%s+([%w_.]+)"
		or path:gsub("^doc/", ""):gsub("%.lua$", ""):gsub("/", ".")
	owner_of_module(file, source, module)
	local kind = path:match "^doc/opsh/([%w_]+)/"
	if kind and not source:find "\nlocal Client = " then
		file.owners.Client = { ("opsh.%s.client"):format(kind) }
	end
	local block, first = {}, true
	for line in source:gmatch "([^\n]*)\n" do
		local name, from, field = line:match
			"^%-%-%-@same%s+[%w_]+%.([%w_]+)%s+([%w_.]+)%s+([%w_]+)"
		if name then
			table.insert(file.same, { name = name, module = from, field = field })
		elseif line:find "^%-%-%-@mirror" then
			mirror(file, line:match "@mirror%s+([%w_]+)")
		elseif line:find "^%-%-" then
			block[#block + 1] = line
		elseif #block > 0 then
			if first then
				local head = read_block(block)
				file.summary = head.summary and head.summary:gsub("^[%w_]+: ", "")
				file.text = head.text and head.text:gsub("^[%w_]+: ", "")
			end
			declare(file, block, line)
			block, first = {}, false
		end
	end
	return file
end

return text
