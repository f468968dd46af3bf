-- shell.words: what can come next on a command line of opsh, for the completion of
-- shells: from the same lists as the commands themselves. Reads the targets file and
-- playbooks, as `opsh list` does; connects to nothing and says nothing of errors.
local args = require "run.args"
local sys = require "opsh.c.sys"
local words = require "run.words"

local M = {}

-- What is asked for by its name in a usage line or of an option's value. FILE and
-- PATH are the shell's own.
local OF = {}

function OF.PLAYBOOK(list)
	for _, entry in ipairs(require("run.playbook").list(list.dirs)) do
		list:add(entry.name)
	end
end

OF["NAME=VALUE"] = function(list, word, given)
	local playbook = require "run.playbook"
	local ok, path = pcall(playbook.find, given[1] or "", list.dirs)
	local pb
	if ok then
		ok, pb = pcall(playbook.describe, path,
			{ env_names = require("run.env").names() })
	end
	if not ok or not pb or not pb.params then return end
	local name = word:match "^([%w_]+)="
	if name then
		local def = pb.params[name] or {}
		for _, value in ipairs(def.type == "boolean" and { "true", "false" }
			or def.choices or {}) do
			list:add(name .. "=" .. value)
		end
		return
	end
	local seen = {}
	for n = 2, #given do seen[given[n]:match "^[%w_]*"] = true end
	for _, param in ipairs(words.sorted(pb.params)) do
		local def = pb.params[param]
		if def and not seen[param] then list:add(param .. "=", def.help) end
	end
end

function OF.RUN(list)
	list:add("last", "the latest run")
	local found, dir = pcall(require("run.session").runs_dir)
	local names = found and sys.readdir(dir) or {}
	for n = #names, math.max(1, #names - 50), -1 do
		if #names[n] == 26 and names[n]:find "^%w+$" then list:add(names[n]) end
	end
end

function OF.COMMAND(list)
	for _, entry in ipairs(list.commands) do list:add(entry[1], entry[2].summary) end
end

function OF.TOPIC(list)
	for _, path in ipairs(sys.files "lua/help/") do
		list:add(path:match "([^/]+)%.md$", "a guide")
	end
	list:add("exit-codes", "what each means")
end

function OF.SHELL(list)
	for _, path in ipairs(sys.files "lua/run/shell/") do
		local name = path:match "([%w_]+)%.sh$"
		if name then list:add(name) end
	end
end

function OF.TARGET(list, prefix)
	local session = require "run.session"
	local ok, config = pcall(session.config)
	for _, name in ipairs(words.sorted(ok and config.targets or {})) do
		local target = config.targets[name]
		if target then list:add(prefix .. name, target.kind) end
	end
end

-- FORMAT: the values that an option takes stand in its help, or it has a list.
local VALUES = { FORMAT = { "text", "jsonl" } }

local function value_of(list, option, word)
	if option.arg == "TARGET" then
		OF.TARGET(list, "")
	elseif option.arg == "NAME=TARGET" then
		OF.TARGET(list, word:match "^[^=]*=" or "")
	elseif option.arg == "NAME=KIND" and word:find "=" then
		for _, kind in ipairs(words.sorted(require "run.kinds")) do
			list:add(word:match "^[^=]*=" .. kind)
		end
	end
	for _, value in ipairs(VALUES[option.arg] or {}) do list:add(value) end
end

-- The names of a usage line: "PLAYBOOK [NAME=VALUE ...]" -> PLAYBOOK, NAME=VALUE;
-- the last one again when it says "...".
local function places(usage)
	local out = {}
	for name in (usage or ""):gsub("%[%-%-[^%]]*%]", ""):gsub("[%[%]]", "")
		:gmatch "%S+" do
		if name == "..." then
			out.many = true
		else
			if name:find "%.%.%.$" then out.many = true end
			out[#out + 1] = name:gsub("%.%.%.$", "")
		end
	end
	return out
end

local function positional(list, command, given, word)
	local names = places(command.usage)
	local at = #given + 1
	local name = names[at] or names.many and names[#names]
	for one in (name or ""):gmatch "[^|]+" do
		if OF[one] then
			OF[one](list, word, given)
		elseif one:find "^%l" then
			list:add(one)
		end
	end
end

-- A targets file or a target that is given on the line counts for what follows.
local function take(option, value)
	local globals = require("run.session").globals
	if option.name == "targets" then
		globals.targets = value
	elseif option.name == "target" then
		globals.target = globals.target or {}
		table.insert(globals.target, value)
	end
end

-- Goes through the words before the last: the command, its arguments, and the
-- option that the last word is the value of.
local function read(all, commands)
	local known, state = {}, { given = {} }
	local function learn(options)
		for _, option in ipairs(options) do
			known[(option.short and "-" or "--") .. option.name] = option
		end
	end
	learn(args.globals)
	for n = 1, #all - 1 do
		local word = all[n]
		if state.option then
			take(state.option, word)
			state.option = nil
		elseif word:find "^%-." then
			local option = known[word]
			if option and option.arg then state.option = option end
		elseif not state.command then
			state.name, state.command = word, commands[word] or {}
			learn(state.command.options or {})
		else
			table.insert(state.given, word)
		end
	end
	state.known = known
	return state
end

---What the last of these words can become: { {word, what it is}, ... }, sorted as
---they are to be shown. None: a file may be meant.
---@param all string[] the words after `opsh`; the last may be empty
---@param commands table[] { {name, command}, ... }
---@return {[1]: string, [2]: string?}[]
function M.find(all, commands)
	local word = all[#all] or ""
	local by = {}
	for _, entry in ipairs(commands) do by[entry[1]] = entry[2] end
	local out = {}
	local list = { commands = commands, add = function(_, text, what)
		if text:sub(1, #word) == word then out[#out + 1] = { text, what } end
	end }
	local state = read(all, by)
	local shipped = sys.playbook_dir()
	list.dirs = require("run.playbook").dirs(require("run.targets").path(
		require("run.session").globals.targets), shipped
		and sys.realpath(shipped))
	if state.option then
		value_of(list, state.option, word)
	elseif word:find "^%-" then
		for _, flag in ipairs(words.sorted(state.known)) do
			local option = state.known[flag]
			if option then list:add(flag, option.help) end
		end
	elseif not state.command then
		OF.COMMAND(list)
	else
		positional(list, state.command, state.given, word)
	end
	return out
end

return M
