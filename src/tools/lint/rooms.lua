-- rooms: who may include and require whom (DESIGN section 2): a table of rooms,
-- and the rules that hold files against it. A new room is a row here. Owns the
-- list of system headers; all others belong to a library.
local source = require "source"

-- room -> rooms that it may include. The files of src/ itself are room "main".
local C_ROOMS = {
	main = { "run", "repl", "term", "effect", "core" },
	repl = { "repl", "term", "effect", "core" },
	run = { "run", "term", "effect", "core" },
	bind = { "bind", "effect", "core" },
	term = { "term", "core" },
	effect = { "effect", "core" },
	core = { "core" },
	tools = { "tools" },
}

-- folder -> module prefixes that it may require, and those it must not.
local LUA_ROOMS = {
	{ "lua/opsh/", { "opsh." } },
	-- where the command line begins a session
	{ "lua/run/cli.lua", { "opsh.", "run.", "repl.repl" } },
	{ "lua/run/cmd/help.lua", { "opsh.", "run.", "repl.command" } },
	{ "lua/run/", { "opsh.", "run." } },
	{ "lua/repl/", { "opsh.", "run.", "repl." } },
	{ "lua/meta/", {} },
	{ "playbooks/", { "opsh." }, "opsh.c." },
	{ "examples/", { "opsh." }, "opsh.c." },
}

-- Lua's headers are the language that the program is written in.
local SYSTEM = {}
for name in ([[ assert complex ctype dirent dlfcn errno fcntl fnmatch glob grp
	ifaddrs inttypes iso646 langinfo lauxlib libgen limits locale lua lualib
	math netdb poll pwd regex sched search semaphore setjmp signal spawn
	stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn
	string strings sysexits syslog termios time unistd wchar wctype
	]]):gmatch("%S+") do
	SYSTEM[name .. ".h"] = true
end

local function is_system(header)
	return SYSTEM[header] or header:find("^sys/") or header:find("^net/")
		or header:find("^netinet/") or header:find("^arpa/")
		or header:find("^linux/")
end

local function room_of(path)
	return path:match("^src/([%w_]+)/") or path:match("^src/[^/]+$") and "main"
end

-- Calls visit(path, line, header, quoted) for each #include below src/.
local function each_include(tree, visit)
	for _, path in ipairs(tree:match("^src/.*%.[ch]$")) do
		for line, text in ipairs(tree:lines(path)) do
			local open, header =
				text:match('^%s*#%s*include%s*(["<])([^">]+)[">]')
			if header then visit(path, line, header, open == '"') end
		end
	end
end

local function check_includes(tree, report)
	each_include(tree, function(path, line, header, quoted)
		local room, other = room_of(path), header:match("^([%w_]+)/")
		if not quoted or header == "bind/bindings.def" then return end
		local allowed = C_ROOMS[room]
		if not allowed then
			report(path, line, ("room '%s' is not known; expected a row in "
				.. "C_ROOMS of src/tools/lint/rooms.lua"):format(room))
			return
		elseif not other then
			report(path, line, ("includes \"%s\"; expected the path below src/, "
				.. "such as \"%s/%s\""):format(header, room, header))
			return
		end
		for _, name in ipairs(allowed) do
			if name == other then return end
		end
		report(path, line, ("room %s includes \"%s\"; expected only %s"):format(
			room, header, table.concat(allowed, ", ")))
	end)
end

---The rows of src/bind/bindings.def: name -> set of the stems of its files.
---@param tree table
---@return table<string, table>
local function binding_rows(tree)
	local rows = {}
	local text = source.strip_c(tree.files["src/bind/bindings.def"] or "", true)
	for name, more in text:gmatch(
		'BINDING%(([%w_]+),%s*"[^"]*",%s*"[^"]*",%s*"([^"]*)"') do
		rows[name] = { [name] = true }
		for stem in more:gmatch("%S+") do rows[name][stem] = true end
	end
	return rows
end

-- The rows that a file of src/bind belongs to: MODULE, MODULE_*, the named.
local function rows_of(rows, path)
	local stem, found = path:match("([%w_]+)%.[ch]$"), {}
	stem = stem:gsub("_impl$", "")	-- a header that two files of one share
	for name, stems in pairs(rows) do
		if stems[stem] or stem:sub(1, #name + 1) == name .. "_" then
			found[name] = true
		end
	end
	return found
end

local function check_bindings(tree, report)
	local rows = binding_rows(tree)
	for _, path in ipairs(tree:match("^src/bind/.*%.[ch]$")) do
		if not next(rows_of(rows, path)) then
			report(path, 1, "is of no binding; expected its name in a row of "
				.. "src/bind/bindings.def")
		end
	end
	each_include(tree, function(path, line, header, quoted)
		if room_of(path) ~= "bind" or not quoted
			or not header:find("^bind/.*%.h$") then
			return
		end
		local ours, theirs = rows_of(rows, path), rows_of(rows, header)
		if not next(ours) then return end	-- said above
		for name in pairs(ours) do
			if theirs[name] then return end
		end
		report(path, line, ("includes \"%s\" of another binding; expected its "
			.. "own files (src/bind/bindings.def), effect/ or core/")
			:format(header))
	end)
end

local function check_headers(tree, report)
	local first = {}
	each_include(tree, function(path, line, header, quoted)
		if quoted or is_system(header) then return end
		if first[header] and first[header] ~= path then
			report(path, line, ("includes <%s>, which %s includes too; expected "
				.. "each library's header in one file"):format(header,
				first[header]))
		end
		first[header] = first[header] or path
	end)
end

local function lua_room(path)
	for _, row in ipairs(LUA_ROOMS) do
		if path:sub(1, #row[1]) == row[1] then return row end
	end
end

local function may_require(row, name)
	local not_this = row[3]
	if not_this and name:sub(1, #not_this) == not_this then return false end
	for _, prefix in ipairs(row[2]) do
		if name:sub(1, #prefix) == prefix then return true end
	end
	return false
end

local function check_require_line(path, line, code, report)
	local row = lua_room(path)
	for name in code:gmatch("%f[%w_]require%s*%(?%s*[\"']([%w_.]+)[\"']") do
		if not row then
			report(path, line, "folder is not known; expected a row in LUA_ROOMS "
				.. "of src/tools/lint/rooms.lua")
		elseif not may_require(row, name) then
			report(path, line, ("requires '%s'; expected %s"):format(name,
				#row[2] == 0 and "nothing"
				or "only " .. table.concat(row[2], "*, ") .. "*"
				.. (row[3] and ", not " .. row[3] .. "*" or "")))
		end
	end
end

local function check_requires(tree, report)
	for _, top in ipairs { "lua", "playbooks", "examples" } do
		for _, path in ipairs(tree:match("^" .. top .. "/.*%.lua$")) do
			local code = source.strip_lua(tree.files[path], true)
			for line, text in ipairs(source.lines(code)) do
				check_require_line(path, line, text, report)
			end
		end
	end
end

return {
	binding_rows = binding_rows, rows_of = rows_of,
	{ "includes", "rooms include only the rooms below them", check_includes },
	{ "bindings", "a binding includes no other binding", check_bindings },
	{ "headers", "a library's header is included in one file", check_headers },
	{ "requires", "Lua rooms require only what they may", check_requires },
}
