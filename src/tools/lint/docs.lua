-- docs: documentation coverage: what C registers is described in lua/meta, what
-- Lua modules offer has its LuaCATS comment and a spec, what can come out of a
-- run (exit codes, error kinds) stands in a guide. Owns no list: reads the code.
local source = require "source"
local rooms = require "rooms"

-- Does lua/meta/NAME.lua, or a part of it (NAME_*.lua), describe `name`?
local function described(tree, module, name)
	local word = name:gsub("%p", "%%%0")
	for _, path in ipairs(tree:match("^lua/meta/" .. module .. "[%w_]*%.lua$")) do
		local lines = tree:lines(path)
		for line, text in ipairs(lines) do
			if text:find("^function%s+[%w_.]+[.:]" .. word .. "%s*%(")
				and source.block_above(lines, line, "^%-%-%-") then
				return true
			end
			if text:find("^%-%-%-@field%s+" .. word .. "%??%s+%S") then
				return true
			end
		end
	end
	return false
end

-- Calls visit(line, name) for each row of a luaL_Reg.
local function each_registered(text, visit)
	local code = source.strip_c(text, true)
	local line_of = source.line_counter(code)
	for from, body in code:gmatch("luaL_Reg%s+[%w_]+%[%]%s*=%s*()(%b{})") do
		for at, name in body:gmatch('{%s*()"([^"]+)"%s*,') do
			if not name:find("^__") then visit(line_of(from + at), name) end
		end
	end
end

-- module -> the files that register its functions
local function modules(tree)
	local out, rows = {}, rooms.binding_rows(tree)
	for _, path in ipairs(tree:match("^src/.*%.c$")) do
		for _, item in ipairs(source.c_items(tree.files[path])) do
			local name = item.name and item.name:match("^luaopen_opsh_c_(.+)$")
			if name then out[name] = { path } end
		end
	end
	for _, path in ipairs(tree:match("^src/bind/.*%.c$")) do
		for name in pairs(rooms.rows_of(rows, path)) do
			if out[name] and out[name][1] ~= path then
				table.insert(out[name], path)
			end
		end
	end
	return out
end

local function check_meta(tree, report)
	for module, paths in pairs(modules(tree)) do
		for _, path in ipairs(paths) do
			each_registered(tree.files[path], function(line, name)
				if not described(tree, module, name) then
					report(path, line, ("'%s' of opsh.c.%s is not described; "
						.. "expected a LuaCATS entry in lua/meta/%s.lua")
						:format(name, module, module), module)
				end
			end)
		end
	end
end

-- Calls visit(line, name, parameters) for each function that a module of
-- lua/opsh offers: of the table that it returns, or of a documented class.
local function each_public(tree, path, visit)
	local text = tree.files[path]
	local code = source.lines(source.strip_lua(text))
	local lines = tree:lines(path)
	local public = {}
	for line, stripped in ipairs(code) do
		local class = stripped:match("^local%s+([%a_][%w_]*)%s*=")
		if class and (lines[line - 1] or ""):find("^%-%-%-@class") then
			public[class] = true
		end
		local module = stripped:match("^return%s+([%a_][%w_]*)%s*$")
		if module then public[module] = true end
	end
	for line, stripped in ipairs(code) do
		local owner, name, args = stripped:match(
			"^%s*function%s+([%a_][%w_]*)[.:]([%a_][%w_]*)%s*(%b())")
		if owner and not name:find("^_") and (public[owner]
			or stripped:find("^%s")) then
			visit(line, name, args)
		end
	end
end

local function has_comment(lines, line, args)
	local block = source.block_above(lines, line, "^%s*%-%-")
	local text = block and table.concat(block, "\n") or ""
	if not block then return false, "no comment" end
	for arg in args:gmatch("[%a_.][%w_.]*") do
		if arg ~= "self" and arg ~= "_" and not text:find(
			"@param%s+" .. arg:gsub("%p", "%%%0") .. "%??%s") then
			return false, ("no ---@param %s"):format(arg)
		end
	end
	return true
end

local function module_of(path)
	return path:match("^lua/opsh/([%w_]+)")
end

local function check_public(tree, report)
	for _, path in ipairs(tree:match("^lua/opsh/.*%.lua$")) do
		local lines = tree:lines(path)
		each_public(tree, path, function(line, name, args)
			local ok, why = has_comment(lines, line, args)
			if not ok and not described(tree, module_of(path), name)
				and name ~= "install" then
				report(path, line, ("'%s' has %s; expected LuaCATS above it, or "
					.. "its entry in lua/meta/%s.lua"):format(name, why,
					module_of(path)))
			end
		end)
	end
end

local function check_specs(tree, report)
	local specs = {}
	for _, path in ipairs(tree:match("^tests/spec/.*%.lua$")) do
		for word in tree.files[path]:gmatch("[%a_][%w_]*") do
			specs[word] = true
		end
	end
	for _, path in ipairs(tree:match("^lua/opsh/.*%.lua$")) do
		each_public(tree, path, function(line, name)
			if not specs[name] and name ~= "install" then
				report(path, line, ("'%s' is in no spec; expected a test of it in "
					.. "tests/spec/"):format(name), name)
			end
		end)
	end
end

local function guides(tree)
	local out = {}
	for _, path in ipairs(tree:match("^lua/help/.*%.md$")) do
		out[#out + 1] = tree.files[path]
	end
	return table.concat(out, "\n")
end

local function check_exits(tree, report)
	local text = guides(tree)
	local header = "src/core/exit.h"
	for line, row in ipairs(tree:lines(header)) do
		local code, name = row:match("X%((%d+),%s*([%u_]+),")
		if code and not text:find("|%s*`?" .. code .. "`?%s*|")
			and not text:find("[Ee]xit " .. code .. "%f[%D]") then
			report(header, line, ("exit code %s (%s) is in no guide; expected "
				.. "'exit %s' or a row of it in lua/help/*.md"):format(code, name,
				code))
		end
	end
end

local function check_kinds(tree, report)
	local text = guides(tree)
	local header = "src/core/err.h"
	for line, row in ipairs(tree:lines(header)) do
		local kind = row:match('X%([%u_]+,%s*"([%l_]+)"%)')
		if kind and not text:find("`" .. kind .. "`", 1, true) then
			report(header, line, ("error kind '%s' is in no guide; expected "
				.. "`%s` in lua/help/*.md"):format(kind, kind))
		end
	end
end

return {
	{ "meta", "what C registers is described in lua/meta", check_meta },
	{ "public", "public Lua functions have LuaCATS", check_public },
	{ "specs", "public Lua functions have a spec", check_specs },
	{ "exit-codes", "exit codes stand in a guide", check_exits },
	{ "error-kinds", "error kinds stand in a guide", check_kinds },
}
