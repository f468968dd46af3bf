-- repl.redis: the commands of Redis with their syntax, for completion and hints:
-- the server's own COMMAND DOCS once it has been asked, a list of the usual ones
-- before that. Also as methods: config_get. Asks nothing by itself.
local catalog = require "repl.catalog"
local commands = require "run.docs.redis"

local M = {}

-- --- what a server says ----------------------------------------------------------

-- A reply that is a flat list of names and values, as a table.
local function map(list)
	local out = {}
	if type(list) ~= "table" then return out end
	for n = 1, #list - 1, 2 do out[list[n]] = list[n + 1] end
	return out
end

local argument

local function arguments(list, between)
	local out = {}
	for n, one in ipairs(type(list) == "table" and list or {}) do
		out[n] = argument(map(one))
	end
	return table.concat(out, between)
end

function argument(arg)
	local flags = {}
	for _, flag in ipairs(type(arg.flags) == "table" and arg.flags or {}) do
		flags[flag] = true
	end
	local text
	if arg.type == "pure-token" then
		text = arg.token
	elseif arg.type == "oneof" then
		text = arguments(arg.arguments, "|")
	elseif arg.type == "block" then
		text = arguments(arg.arguments, " ")
	else
		text = arg.display_text or arg.name or "value"
	end
	text = text or arg.name or ""
	if arg.token and arg.type ~= "pure-token" then
		text = arg.token .. " " .. text
	end
	if flags.multiple then text = text .. " ..." end
	return flags.optional and "[" .. text .. "]" or text
end

local function add_command(out, name, doc, parent)
	local full = (parent and parent .. " " .. name:match "[^|]*$" or name):upper()
	local fields = map(doc)
	if fields.subcommands then
		for sub, inner in pairs(map(fields.subcommands)) do
			add_command(out, sub, inner, full)
		end
		if not fields.arguments then return end
	end
	out[full] = { syntax = arguments(fields.arguments, " "),
		summary = fields.summary, since = fields.since }
end

---The commands of a reply of COMMAND DOCS: "CONFIG GET" -> {syntax, summary, since}.
---@param reply any
---@return table<string, table>
function M.from_docs(reply)
	local out = {}
	for name, doc in pairs(map(reply)) do add_command(out, name, doc) end
	return out
end

---The commands that a target knows, as far as can be said now.
---@param ctx table
---@param target table
---@return table<string, table>
function M.commands(ctx, target)
	local own = catalog.get(ctx, target, "commands", function(client)
		return M.from_docs(client:cmd("COMMAND", "DOCS"))
	end)
	return own and next(own) and own or commands.usual()
end

---Adds the commands as methods.
---@param c table cursor
---@param list table
---@param target table
function M.methods(c, list, target)
	for name, command in pairs(M.commands(c.ctx, target)) do
		list:add(commands.as_method(name), "command", name .. " "
			.. command.syntax, { rank = 6 })
	end
end

return M
