-- complete.commands: `:` commands, and what their arguments are by the kinds that
-- the commands themselves say. Owns what can be said of each kind; no kind asks a
-- server.
local books = require "repl.books"
local command = require "repl.command"
local files = require "repl.complete.files"
local sys = require "opsh.c.sys"

local KINDS = {}

function KINDS.command(c, list)
	for _, name in ipairs(command.names()) do
		list:add(name, "command", command.get(name).summary)
	end
	for _, path in ipairs(sys.files "lua/help/") do
		list:add(path:match "([^/]+)%.md$", "topic", nil, { rank = 6 })
	end
	KINDS.playbook(c, list)
end

function KINDS.playbook(c, list)
	for _, entry in ipairs(books.list(c.ctx)) do
		list:add(entry.name, "playbook", nil, { append = " " })
	end
end

local function detail(def)
	return (def.type or "string") .. (def.help and "  " .. def.help or "")
end

-- name=, or after it what the parameter takes.
function KINDS.param(c, list, words, word)
	local pb = books.describe(c.ctx, words[1] or "")
	if not pb then return end
	local name = word:match "^([%w_]+)="
	if name then
		local def = pb.params[name] or {}
		list:start(list.begin + #name + 1)
		for _, value in ipairs(def.choices or {}) do
			list:add(tostring(value), "value", name)
		end
		if def.type == "boolean" then
			list:add("true", "value", name)
			list:add("false", "value", name)
		elseif def.type == "file" or def.type == "path" then
			files.add(list, word:sub(#name + 2), list.begin)
		end
		return
	end
	local given = {}
	for n = 2, #words do given[words[n]:match "^[%w_]*"] = true end
	for param, def in pairs(pb.params) do
		if def and not given[param] then
			list:add(param .. "=", "param", detail(def),
				{ rank = def.required and 1 or 5 })
		end
	end
end

function KINDS.target(c, list)
	for name, target in next, c.ctx.config().targets or {} do
		list:add(name, "target", target.kind)
	end
end

function KINDS.setting(_, list)
	for _, setting in ipairs(require("repl.settings").list) do
		list:add(setting.name, "setting", setting.help, { append = " " })
	end
end

function KINDS.value(_, list, words)
	for _, setting in ipairs(require("repl.settings").list) do
		if setting.name == words[1] then
			local values = setting.choices or setting.words
				or setting.type == "boolean" and { "on", "off" } or {}
			for _, value in ipairs(values) do list:add(value, "value") end
		end
	end
end

-- The first line of a run's record; nil: none can be read.
local function first_of(dir)
	local fine, record = pcall(function()
		return require("run.journal").records(dir)()
	end)
	return fine and type(record) == "table" and record or nil
end

-- The latest of the runs on record, with what they were; only: of playbooks, in
-- write mode.
local function add_runs(list, only)
	local found, names = pcall(require("run.journal").runs)
	if not found then return end
	list:add("last", "run", "the latest", { rank = 1 })
	local dir = require("run.session").runs_dir()
	for n = #names, math.max(1, #names - 50), -1 do
		local first = first_of(dir .. "/" .. names[n]) or {}
		if not only or first.name and first.mode == "write" then
			list:add(names[n], "run", ("%s  %s"):format(first.name
				or first.command or "", tostring(first.t or ""):sub(1, 19)))
		end
	end
end

function KINDS.run(_, list) add_runs(list, false) end

function KINDS.resumable(_, list) add_runs(list, true) end

function KINDS.job(c, list)
	for _, job in ipairs((c.ctx.jobs or {}).list or {}) do
		list:add(tostring(job.id), "job", job.text)
	end
	list:add("all", "job")
end

function KINDS.file(_, list, _, word)
	files.add(list, word, list.begin)
end

-- The command of a line and the place after its name; nil while that is typed.
local function spec_of(text)
	local name, past = text:match "^%s*([%w_]+)%s+()"
	if not name then return nil end
	local found, spec = pcall(command.find, name)
	return found and spec, past
end

local function kind_at(spec, n)
	local args = spec.args or {}
	local arg = args[n] or args[#args] and args[#args].many and args[#args]
	return arg and arg.kind or spec.rest
end

-- The words before the one that is typed, and that.
local function split(text)
	local word = text:match "%S*$"
	local words = {}
	for one in text:sub(1, #text - #word):gmatch "%S+" do
		if not one:find "^%-%-" then words[#words + 1] = one end
	end
	return words, word
end

local M = { order = 1 }

---Where Lua text begins in a line that is a command, nil where there is none.
---@param text string after the colon
---@return integer? byte
function M.code_from(text)
	local spec, past = spec_of(text)
	if not spec then return nil end
	local at, n = past, 1
	while true do
		local kind = kind_at(spec, n)
		if kind == "expr" then return at end
		local following = kind and text:match("^%S+%s+()", at)
		if not following then return nil end
		at, n = following, n + 1
	end
end

function M.complete(c, list)
	if not c.command then return false end
	local spec, past = spec_of(c.command)
	if spec == nil then
		list:start(c.at - #c.command:match "%S*$" + 1)
		for _, name in ipairs(command.names()) do
			local one = command.get(name)
			list:add(name, "command", one.summary,
				{ append = one.usage and " " or nil })
		end
		return true
	elseif not spec then
		return true
	end
	local words, word = split(c.command:sub(past))
	list:start(c.at - #word + 1)
	if word:find "^%-" then
		for _, option in ipairs(spec.options or {}) do
			list:add("--" .. option.name, "option", option.help)
		end
		return true
	end
	local kind = kind_at(spec, #words + 1)
	if KINDS[kind] then KINDS[kind](c, list, words, word) end
	return true
end

function M.hint(c)
	if not c.command then return nil end
	local spec = spec_of(c.command)
	return spec and { text = command.usage(spec), summary = spec.summary } or nil
end

return M
