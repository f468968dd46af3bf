-- args: the command line: global options, the command, its options and its
-- arguments, and the help text of all of these. Commands are tables (run.cmd.*)
-- with summary, usage, options. Owns the list of global options. Prints nothing.
local fail = require "run.fail"
local params = require "run.params"
local words = require "run.words"

local args = {}

-- An option: name, arg (its value's name; none: a flag), many, short, help, and
-- convert(text) -> value, or nil and what was expected.
local function seconds(text)
	local n = params.duration(text)
	return n and n > 0 and n or nil, "seconds above 0, or such as '10m'"
end

local OUTPUTS = { "text", "jsonl" }

local function one_of(list)
	return function(text)
		for _, known in ipairs(list) do
			if text == known then
				return text
			end
		end
		return nil, "one of " .. table.concat(list, ", ")
	end
end

local function pair(text)
	return text:match("^[^=]+=.+$"), "NAME=VALUE"
end

args.globals = {
	{ name = "targets", arg = "FILE",
	  help = "the targets file (or $OPSH_TARGETS, ./opsh.lua)" },
	{ name = "target", arg = "NAME=URL", many = true, convert = pair,
	  help = "adds a target for this call" },
	{ name = "bind", arg = "NAME=TARGET", many = true, convert = pair,
	  help = "a target of another name for one that a playbook needs" },
	{ name = "approve", arg = "TARGET", many = true,
	  help = "passes the guards of this target" },
	{ name = "output", arg = "FORMAT", convert = one_of(OUTPUTS),
	  help = "text, or jsonl: one JSON object a line" },
	{ name = "timeout", arg = "SECONDS", convert = seconds,
	  help = "deadline of the whole run" },
	{ name = "write", help = "allow writes on a protected environment" },
	{ name = "detailed-exitcode",
	  help = "plan: exit 10 when there are changes" },
	{ name = "e", short = true, arg = "CODE", many = true,
	  help = "runs Lua text" },
	{ name = "help", letter = "h", help = "this text" },
	{ name = "version", help = "the version" },
}

local function flag_text(option)
	return (option.short and "-" or "--") .. option.name
end

local function index(...)
	local out = {}
	for _, list in ipairs { ... } do
		for _, option in ipairs(list) do
			out[flag_text(option)] = option
			if option.letter then
				out["-" .. option.letter] = option
			end
		end
	end
	return out
end

local function store(into, option, value)
	local key = option.name:gsub("-", "_")
	if option.many then
		into[key] = into[key] or {}
		table.insert(into[key], value)
	elseif into[key] ~= nil and option.arg then
		fail.usage("option '%s' is given twice", flag_text(option))
	else
		into[key] = value
	end
end

local function convert(option, text)
	if not option.convert then
		return text
	end
	local value, what = option.convert(text)
	if value == nil then
		fail.usage("option '%s': expected %s, got '%s'", flag_text(option),
			what, text)
	end
	return value
end

-- One option at position n: the position of what follows.
local function read_option(argv, n, known, into)
	local word = argv[n]
	local flag, value = word:match("^(%-%-[^=]+)=(.*)$")
	flag = flag or word
	local option = known[flag]
	if not option then
		fail.usage("unknown option '%s'%s", flag, words.suggest(flag, known))
	elseif not option.arg and value then
		fail.usage("option '%s' takes no value", flag)
	elseif not option.arg then
		store(into, option, true)
		return n + 1
	end
	if not value then
		n = n + 1
		value = argv[n]
		if value == nil then
			fail.usage("option '%s' needs a value: %s", flag, option.arg)
		end
	end
	store(into, option, convert(option, value))
	return n + 1
end

local function find_command(name, commands)
	local command = commands[name]
	if not command then
		fail.raise { kind = "usage", message = ("unknown command '%s'%s")
			:format(name, words.suggest(name, commands)),
			hint = "opsh help lists the commands" }
	end
	return command
end

---Parses argv (without the program's name). commands: name -> its table, or
---nil when there is no such command; may load them lazily.
---@param argv string[]
---@param commands table<string, table>
---@param globals? table filled while they are read, to be had after a raise too
---@return table parsed command (name or nil), globals (targets, target[],
---bind[], approve[], output, timeout, write, detailed_exitcode, e[], help,
---version), args (positional, and .options of the command)
function args.parse(argv, commands, globals)
	local parsed = { globals = globals or {}, args = { options = {} } }
	local global, own = index(args.globals), {}
	local both, n, plain = global, 1, false
	local into = setmetatable({}, { __newindex = function(_, key, value)
		local is_own = own[key]
		local t = is_own and parsed.args.options or parsed.globals
		t[key] = value
	end, __index = function(_, key)
		return (own[key] and parsed.args.options or parsed.globals)[key]
	end })
	while argv[n] do
		local word = argv[n]
		if not plain and word == "--" then
			plain = true
			n = n + 1
		elseif not plain and word:match("^%-.") then
			n = read_option(argv, n, both, into)
		elseif not parsed.command and not parsed.globals.e then
			parsed.command = word
			local command = find_command(word, commands)
			both = index(args.globals, command.options or {})
			for _, option in ipairs(command.options or {}) do
				own[option.name:gsub("-", "_")] = true
			end
			n = n + 1
		else
			table.insert(parsed.args, word)
			n = n + 1
		end
	end
	return parsed
end

local function option_lines(options)
	local lines, width = {}, 0
	for _, option in ipairs(options) do
		local left = flag_text(option) .. (option.arg and " " .. option.arg or "")
		if option.letter then
			left = "-" .. option.letter .. ", " .. left
		end
		width = math.max(width, #left)
		lines[#lines + 1] = { left, option.help .. (option.many
			and " (repeatable)" or "") }
	end
	for n, line in ipairs(lines) do
		lines[n] = ("  %-" .. width .. "s  %s"):format(line[1], line[2])
	end
	return table.concat(lines, "\n")
end

---The help text of one command.
---@param name string
---@param command table
---@return string
function args.help(name, command)
	local parts = {
		("usage: opsh %s%s"):format(name,
			command.usage and " " .. command.usage or ""),
		"", command.summary,
	}
	if command.help then
		parts[#parts + 1] = "\n" .. command.help:gsub("%s+$", "")
	end
	if command.options and #command.options > 0 then
		parts[#parts + 1] = "\noptions:\n" .. option_lines(command.options)
	end
	parts[#parts + 1] = "\noptions of every command:\n"
		.. option_lines(args.globals)
	return table.concat(parts, "\n") .. "\n"
end

---The help text of the program. list: { {name, command}, ... } in order.
---@param list table[]
---@return string
function args.overview(list)
	local parts = { "usage: opsh [OPTIONS] [COMMAND [ARGUMENTS]]",
		"       opsh -e CODE        runs Lua text",
		"       opsh < FILE         runs the Lua text of a file", "",
		"commands:" }
	local width = 0
	for _, entry in ipairs(list) do
		width = math.max(width, #entry[1])
	end
	for _, entry in ipairs(list) do
		parts[#parts + 1] = ("  %-" .. width .. "s  %s"):format(entry[1],
			entry[2].summary)
	end
	parts[#parts + 1] = "\noptions:\n" .. option_lines(args.globals)
	return table.concat(parts, "\n") .. "\n"
end

return args
