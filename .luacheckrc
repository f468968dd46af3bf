-- luacheck: the globals that each folder may use. Standard Lua 5.4 everywhere;
-- user code (playbooks, examples) sees what lua/run/env.lua gives it.
std = "lua54"
max_line_length = false		-- the lint counts columns, luacheck bytes
codes = true

-- Put into the real _G by core/co.c.
read_globals = { "try" }

local user = {
	"chart", "fail", "fs", "guard", "json", "log", "null", "progress", "secret", "sh", "show",
	"step", "system", "task", "timer", "try",
}

files["lua/meta/**/*.lua"] = {
	ignore = { "212", "241" },	-- declarations only: nothing is used
}
-- Lua's own functions, described by declarations of their names.
files["lua/meta/lua.lua"] = { ignore = { "121", "211", "212", "241", "431" } }
files["playbooks/**/*.lua"] = { read_globals = user }
-- Scripts see the targets as globals: the names that the examples use.
files["examples/**/*.lua"] = { read_globals = user }
files["examples/scripts/**/*.lua"] = {
	read_globals = { "cache", "db", "events", "gateway", "orchestrator" },
}
files["tests/spec/**/*.lua"] = {
	read_globals = { "describe", "it", "skip", "eq", "ok", "raises", "try" },
}
files["tests/spec/harness.lua"] = {
	globals = { "describe", "it", "skip", "eq", "ok", "raises" },
}
files["tests/bench/**/*.lua"] = { read_globals = { "cache", "db", "events", "sh", "task",
	"web" } }
