-- command: the `:` commands of a session: one line into a name and its arguments,
-- the file that does it, the list for `:help`. A command is a file
-- lua/repl/cmd/NAME.lua and nothing else: this list, completion and the guide are
-- made from what stands there. Owns no command; must not run Lua text.
local fail = require "run.fail"
local sys = require "opsh.c.sys"
local words = require "run.words"

local command = {}

-- What a file returns: name, summary, usage (after the name), args: a list of
-- { name =, kind =, optional =, many = }; rest: the kind of what follows the first
-- of them, taken as it stands; raw: words are not checked here; options: { name =,
-- arg =, help =, convert = }; help; run(ctx, args). Kinds: command expr file job
-- number option param playbook run seconds setting target text value.
local FOLDER = "lua/repl/cmd/"

---The names of all commands, sorted.
---@return string[]
function command.names()
	local out = {}
	for n, path in ipairs(sys.files(FOLDER)) do
		out[n] = path:match "([%w_]+)%.lua$"
	end
	table.sort(out)
	return out
end

---The description of a command by its whole name.
---@param name string
---@return table? spec
function command.get(name)
	if not sys.file(FOLDER .. name .. ".lua") then return nil end
	return require("repl.cmd." .. name)
end

---The command that a word means: its name, or the beginning of one name only.
---Raises kind usage.
---@param word string
---@return table spec
function command.find(word)
	local names, found = command.names(), {}
	for _, name in ipairs(names) do
		if name == word then return command.get(name) end
		if name:sub(1, #word) == word then found[#found + 1] = name end
	end
	if #found == 1 then return command.get(found[1]) end
	if #found > 1 and word ~= "" then
		fail.usage("':%s' begins :%s", word, table.concat(found, ", :"))
	end
	local near = words.nearest(word, names)
	fail.raise { kind = "usage", message = ("unknown command ':%s'%s"):format(
		word, near and (" (did you mean ':%s'?)"):format(near) or ""),
		hint = ":help lists the commands" }
end

-- One word from position `at`: quotes hold blanks, a backslash the next letter.
local function take_word(text, at)
	local out, quote = {}, nil
	while at <= #text do
		local c = text:sub(at, at)
		if c == "\\" and quote ~= "'" and at < #text then
			at = at + 1
			out[#out + 1] = text:sub(at, at)
		elseif quote then
			if c == quote then quote = nil else out[#out + 1] = c end
		elseif c == "'" or c == '"' then
			quote = c
		elseif c:match "%s" then
			break
		else
			out[#out + 1] = c
		end
		at = at + 1
	end
	if quote then fail.usage("a quote %s is not closed", quote) end
	return table.concat(out), at
end

---The words of a line. A word in quotes is one, also with blanks or empty; the
---place where each begins stands beside them.
---@param text string
---@return string[] words
---@return integer[] places
function command.words(text)
	local out, places = {}, {}
	local at = text:find "%S"
	while at do
		places[#places + 1] = at
		out[#places], at = take_word(text, at)
		at = text:find("%S", at)
	end
	return out, places
end

---Is this line a command?
---@param text string
---@return boolean
function command.is(text)
	return text:match "^%s*:%a" ~= nil or text:match "^%s*:%s*$" ~= nil
		or text:match "^%s*:%?" ~= nil
end

---A line into the word after the colon and what follows it.
---@param text string
---@return string word
---@return string rest
function command.split(text)
	local word, rest = text:match "^%s*:%s*([%w_]*)%s*(.-)%s*$"
	if word == "" and rest:sub(1, 1) == "?" then return "help", rest:sub(2) end
	return word, rest
end

---":NAME USAGE"
---@param spec table
---@return string
function command.usage(spec)
	return ":" .. spec.name .. (spec.usage and " " .. spec.usage or "")
end

local function misuse(spec, fmt, ...)
	fail.raise { kind = "usage", message = (":" .. spec.name .. ": " .. fmt)
		:format(...), hint = command.usage(spec) }
end

local function convert(spec, option, text)
	local value, what = text, nil
	if option.convert then value, what = option.convert(text) end
	if value == nil then
		misuse(spec, "option '--%s': expected %s, got '%s'", option.name, what,
			text)
	end
	return value
end

-- An option at word n: where the words go on.
local function take_option(spec, list, n, into)
	local name, value = list[n]:match "^%-%-([%w-]+)=(.*)$"
	name = name or list[n]:match "^%-%-([%w-]+)$"
	local known = {}
	for _, option in ipairs(spec.options or {}) do
		known["--" .. option.name] = option
	end
	local option = known["--" .. (name or "")]
	if not option then
		misuse(spec, "unknown option '%s'%s", list[n],
			words.suggest(list[n], known))
	elseif not option.arg then
		if value then misuse(spec, "option '--%s' takes no value", name) end
		into[name] = true
		return n + 1
	end
	if not value then
		n = n + 1
		value = list[n]
		if not value then
			misuse(spec, "option '--%s' needs a value: %s", name, option.arg)
		end
	end
	into[name] = convert(spec, option, value)
	return n + 1
end

local function check_count(spec, args)
	local least, most = 0, 0
	for _, arg in ipairs(spec.args or {}) do
		if not arg.optional then least = least + 1 end
		most = arg.many and math.huge or most + 1
	end
	if #args < least then
		misuse(spec, "%s is missing", spec.args[#args + 1].name)
	elseif #args > most then
		misuse(spec, "unexpected argument '%s'", args[most + 1])
	end
end

---The arguments of a command: words in order, `options`, and `text`: all of it as
---it was typed. Raises kind usage.
---@param spec table
---@param text string what follows the name
---@return table args
function command.arguments(spec, text)
	local args = { options = {}, text = text }
	if spec.raw then
		if spec.raw == "words" then
			for n, word in ipairs((command.words(text))) do args[n] = word end
		end
		return args
	end
	local list, n, plain = command.words(text), 1, false
	while list[n] do
		if not plain and list[n] == "--" then
			plain, n = true, n + 1
		elseif not plain and list[n]:match "^%-%-%a" then
			n = take_option(spec, list, n, args.options)
		else
			args[#args + 1] = list[n]
			n = n + 1
		end
	end
	check_count(spec, args)
	return args
end

-- How a command talks when its session says nothing else: results to stdout, talk
-- to stderr.
local function voice(ctx)
	local term = require "opsh.c.term"
	ctx.out = ctx.out or function(text) term.write(1, text) end
	ctx.err = ctx.err or function(text) term.write(2, text) end
	ctx.rows = ctx.rows or function(rows, opts)
		ctx.out(require("opsh.table").format(rows, opts))
	end
	ctx.settings = require("repl.settings").fill(ctx.settings or {})
	return ctx
end

---Runs a line that is a command. Its result is what the command returns.
---@param ctx table the session (repl.repl makes it)
---@param text string
---@return any
function command.run(ctx, text)
	local word, rest = command.split(text)
	if word == "" then fail.usage "a name is missing after ':'; :help lists them" end
	local spec = command.find(word)
	return spec.run(voice(ctx), command.arguments(spec, rest))
end

---The text about one command.
---@param spec table
---@return string
function command.help(spec)
	local parts = { "usage: " .. command.usage(spec), "", spec.summary }
	if spec.help then parts[#parts + 1] = "\n" .. spec.help:gsub("%s+$", "") end
	if spec.options then
		parts[#parts + 1] = "\noptions:"
		for _, option in ipairs(spec.options) do
			parts[#parts + 1] = ("  %-16s %s"):format("--" .. option.name
				.. (option.arg and " " .. option.arg or ""), option.help)
		end
	end
	return table.concat(parts, "\n") .. "\n"
end

---The list of all commands: for `:help` and for the guide of the REPL. It fits into
---80 columns.
---@param indent? string
---@return string
function command.overview(indent)
	local names, list, width = command.names(), {}, 0
	for _, name in ipairs(names) do width = math.max(width, #name + 1) end
	for n, name in ipairs(names) do
		list[n] = ("%s%-" .. width .. "s  %s"):format(indent or "  ", ":" .. name,
			command.get(name).summary)
	end
	return table.concat(list, "\n") .. "\n"
end

return command
