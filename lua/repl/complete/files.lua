-- complete.files: paths in strings: arguments of fs, io and sh, options that name a
-- file, and what begins with `/`, `./` or `~/`. Reads folders, nothing else; of a
-- program that is to be run, the names on PATH.
local sys = require "opsh.c.sys"

local M = { order = 60 }

-- Names that are looked at in one folder.
local MAX <const> = 2000

local PARAMETERS = { path = true, from = true, to = true, parent = true,
	file = true, dir = true, folder = true, pattern = true }
local OPTIONS = { file = true, to = true, cwd = true, stdout = true, stderr = true,
	ca = true, cert = true, key = true, path = true, files = true }
local FUNCTIONS = { dofile = true, loadfile = true }

local function home(path)
	local own = sys.getenv "HOME"
	return own and path:gsub("^~/", function() return own .. "/" end) or path
end

---Adds the names that `typed` is the beginning of. The list starts at the last part.
---@param list table
---@param typed string
---@param at integer byte where it begins
---@param opts? {folders?: boolean, ending?: string}
function M.add(list, typed, at, opts)
	local folder, name = typed:match "^(.*/)([^/]*)$"
	folder, name = folder or "", name or typed
	list:start(at + #folder)
	local names = sys.readdir(folder == "" and "." or home(folder))
	local looked = 0
	for _, found in ipairs(names or {}) do
		if found:sub(1, #name) == name
			and (found:sub(1, 1) ~= "." or name:sub(1, 1) == ".") then
			looked = looked + 1
			if looked > MAX then
				list:note(("more than %d names: only so many are shown")
					:format(MAX))
				return
			end
			local st = sys.stat(home(folder) .. found)
			if st and st.type == "directory" then
				list:add(found .. "/", "folder")
			elseif not (opts and opts.folders) and (not opts or not opts.ending
				or found:find(opts.ending)) then
				list:add(found, "file")
			end
		end
	end
end

local function is_path(c)
	local str, call = c.str, c.str.call
	if str.text:find "^%.?%.?/" or str.text:find "^~/" then return true end
	local member = call and call.member
	if str.key then return OPTIONS[str.key] and member ~= nil end
	if not member or str.table then return false end
	if FUNCTIONS[member.name] then return true end
	local owner = call.thing.owner
	local class = owner and (owner.module or type(owner.class) == "table"
		and owner.class.name)
	if class ~= "opsh.fs" and class ~= "lua.io" and class ~= "lua.os" then
		return false
	end
	return call.param ~= nil and PARAMETERS[call.param.name] or false
end

-- The first word of `sh.run { "..."`, `sh.which "..."`.
local function is_program(c)
	local call = c.str.call
	local owner = call and call.thing and call.thing.owner
	if not owner or owner.module ~= "opsh.sh" then return false end
	local top = c.stack[#c.stack]
	if c.str.table then
		return top.text == "{" and top.commas == 0 and not c.str.key
			and call.member and call.member.name ~= "pipe" or #c.stack > 1
			and top.commas == 0 and not c.str.key
	end
	return call.member and call.member.name == "which"
end

local function add_programs(c, list)
	list:start(c.str.from)
	for folder in (sys.getenv "PATH" or ""):gmatch "[^:]+" do
		for _, name in ipairs(sys.readdir(folder) or {}) do
			list:add(name, "program", folder)
		end
	end
end

function M.complete(c, list)
	if not c.str then return false end
	if is_program(c) and not c.str.text:find "/" then
		add_programs(c, list)
		return true
	elseif is_path(c) then
		M.add(list, c.str.text, c.str.from)
		return true
	end
	local call = c.str.call
	local owner = call and call.thing and call.thing.owner
	if owner and owner.module == "opsh.sh" and c.str.text ~= "" then
		M.add(list, c.str.text, c.str.from)
		return true
	end
	return false
end

return M
