-- calls: what C code must not call, or may call in one place or one way only,
-- and the names that it may give away. One rule a function. Owns the list of
-- banned functions; the exceptions stand in exceptions.lua.
local source = require "source"

local BANNED = {
	strcpy = "memcpy or snprintf", strcat = "struct buf",
	sprintf = "snprintf or buf_addf", vsprintf = "vsnprintf",
	strtok = "strspn and strcspn", atoi = "strtol with its checks",
	atol = "strtol with its checks", atof = "strtod with its checks",
	gets = "fgets", system = "posix_spawn", popen = "posix_spawn",
	alloca = "struct buf or mem_alloc", strncpy = "memcpy",
}

local ENDS = { exit = true, abort = true, _exit = true, _Exit = true,
	quick_exit = true }

-- Calls visit(path, line, name, text of the line) for each call below `under`.
local function each_call(tree, under, visit)
	for _, path in ipairs(tree:match("^" .. under .. "/.*%.[ch]$")) do
		for line, text in ipairs(source.lines(tree:code(path))) do
			for name in text:gmatch("%f[%w_]([%a_][%w_]*)%s*%(") do
				visit(path, line, name, text)
			end
		end
	end
end

local function check_banned(tree, report)
	for _, under in ipairs { "src", "tests" } do
		each_call(tree, under, function(path, line, name)
			if BANNED[name] then
				report(path, line, ("calls %s; expected %s"):format(name,
					BANNED[name]))
			end
		end)
	end
end

local function check_ends(tree, report)
	each_call(tree, "src", function(path, line, name)
		if ENDS[name] and path ~= "src/main.c"
			and not path:find("^src/tools/") then
			report(path, line, ("calls %s; expected it only in src/main.c: "
				.. "raise an error object"):format(name), name)
		end
	end)
end

local function check_threads(tree, report)
	each_call(tree, "src", function(path, line, name)
		if name:find("^pthread_") or name:find("^thrd_") then
			report(path, line, ("calls %s; expected no thread of ours: the loop, "
				.. "or loop_work_new"):format(name))
		end
	end)
end

local function check_resume(tree, report)
	local first
	each_call(tree, "src", function(path, line, name)
		if name ~= "lua_resume" then return end
		if first then
			report(path, line, "calls lua_resume again; expected it once in src/ "
				.. "(" .. first .. ")")
		end
		first = first or path .. ":" .. line
	end)
end

local function check_park(tree, report)
	each_call(tree, "src", function(path, line, name, text)
		if name ~= "op_park" or text:find("return%s+op_park%s*%(")
			or text:find("^%s*int%s+op_park%s*%(") then
			return
		end
		report(path, line, "calls op_park in another way; expected `return "
			.. "op_park(L, op);`: nothing runs after it")
	end)
end

local function check_ref(tree, report)
	each_call(tree, "src/bind", function(path, line, name)
		if name == "luaL_ref" then
			report(path, line, "calls luaL_ref; expected the value on the frame or "
				.. "in a user value")
		end
	end)
end

local function begins(name, prefix)
	return name:sub(1, #prefix + 1) == prefix .. "_"
end

-- Names that FILE may define for others: FILE_*, those of its first word
-- (redis_call.c: redis_*) and of its room (effect/withheld.c: effect_*).
local function is_prefixed(path, name)
	local room, stem = path:match("([%w_]+)/([%w_]+)%.[ch]$")
	return begins(name, stem) or begins(name, stem:match("^[^_]+"))
		or begins(name, room) or name:find("^luaopen_opsh_c_") ~= nil
end

-- The name of a variable that others can see, or nil.
local function variable(item)
	local head = item.head
	if head:find("%(") or head:find("^typedef") or head:find("^extern")
		or head:find("^_Static_assert") then
		return nil
	end
	head = head:gsub("=.*$", ""):gsub("%b[]", "")
	local words = {}
	for word in head:gmatch("[%a_][%w_]*") do words[#words + 1] = word end
	local tag = words[1] == "struct" or words[1] == "enum"
		or words[1] == "union"
	-- `struct s { .. };` declares a type, `struct s x = {` a variable
	if #words < (tag and 3 or 2) then return nil end
	return words[#words]
end

local function check_names(tree, report)
	for _, path in ipairs(tree:match("^src/.*%.[ch]$")) do
		for _, item in ipairs(source.c_items(tree.files[path])) do
			local name = item.name or variable(item)
			if name and not item.head:find("%f[%w_]static%f[^%w_]")
				and not (path == "src/main.c" and name == "main")
				and not path:find("^src/tools/")
				and not is_prefixed(path, name) then
				report(path, item.line, ("'%s' is global; expected static, or the "
					.. "prefix '%s_'"):format(name,
					path:match("([%w_]+)%.[ch]$")), name)
			end
		end
	end
end

return {
	{ "banned", "no function that can't be used safely", check_banned },
	{ "ends-process", "only main ends the process", check_ends },
	{ "threads", "no thread of ours", check_threads },
	{ "lua-resume", "lua_resume stands in one place", check_resume },
	{ "op-park", "op_park is a tail call", check_park },
	{ "luaL-ref", "bindings keep nothing in the registry", check_ref },
	{ "names", "a global carries its file's prefix", check_names },
}
