-- help.topics: from a name to its text: commands, targets, functions by their path,
-- modules, playbooks, guides, commands of Redis, kinds of errors; then a search.
-- Owns the order in which these are tried; runs nothing.
local about = require "repl.help.about"
local books = require "repl.books"
local command = require "repl.command"
local docs = require "run.docs"
local lex = require "repl.lex"
local sys = require "opsh.c.sys"
local words = require "run.words"

local M = {}

M.libraries = { string = true, table = true, math = true, utf8 = true,
	coroutine = true, os = true, io = true }

-- Modules whose functions are looked through for a value.
local SEARCHED = { "opsh.fs", "opsh.sh", "opsh.task", "opsh.json", "opsh.log",
	"opsh.progress", "opsh.secret", "opsh.timer" }

-- --- guides -----------------------------------------------------------------------

---The names of the guides, sorted.
---@return string[]
function M.guides()
	local out = {}
	for _, path in ipairs(sys.files "lua/help/") do
		out[#out + 1] = path:match "([^/]+)%.md$"
	end
	table.sort(out)
	return out
end

---The guide of a name: its own, or what a guide says it is also found as.
---@param name string
---@return string? guide
function M.guide(name)
	if sys.file("lua/help/" .. name .. ".md") then return name end
	for _, path in ipairs(sys.files "lua/help/") do
		local also = sys.file(path):match "\nAlso found as: ([^.]*)%.%s*$" or ""
		for other in also:gmatch "[%w_-]+" do
			if other == name then return path:match "([^/]+)%.md$" end
		end
	end
end

-- --- functions by value -------------------------------------------------------------

local function in_module(name, f)
	local loaded = package.loaded[name]
	local class = docs.module(name)
	if type(loaded) ~= "table" or not class then return nil end
	for _, member in ipairs(docs.members(class)) do
		if member.params and rawequal(rawget(loaded, member.name), f) then
			return member, (name:gsub("^opsh%.", "")) .. member.sep .. member.name
		end
	end
end

-- The methods of clients that are open; ours, so that asking for one runs nothing
-- of anybody else.
local function in_clients(f, ctx)
	local session = require "run.session"
	for name, client in next, session.clients do
		local target = ctx.config().targets[name]
		local class = target and docs.class(docs.of_kind(target.kind))
		for _, member in ipairs(class and docs.members(class) or {}) do
			local ok, own = pcall(function() return client[member.name] end)
			if ok and rawequal(own, f) then
				return member, name .. member.sep .. member.name
			end
		end
	end
end

---The documentation of a function, and how it is called.
---@param f function
---@param ctx table
---@return table? member
---@return string? called
function M.of_function(f, ctx)
	for name, value in next, ctx.env do
		local member = rawequal(value, f) and docs.global(name)
		if member then return member, name end
	end
	for library in next, M.libraries do
		local t = rawget(ctx.env, library)
		for _, member in ipairs(type(t) == "table"
			and docs.members(docs.library(library)) or {}) do
			if rawequal(rawget(t, member.name), f) then
				return member, library .. "." .. member.name
			end
		end
	end
	for _, name in ipairs(SEARCHED) do
		local member, called = in_module(name, f)
		if member then return member, called end
	end
	for name in next, package.loaded do
		if type(name) == "string" and name:find "^opsh%."
			and not name:find "^opsh%.c%." then
			local member, called = in_module(name, f)
			if member then return member, called end
		end
	end
	return in_clients(f, ctx)
end

-- --- by name ------------------------------------------------------------------------

local FIND = {}

-- ":run", "run"
FIND[1] = function(_, name)
	local spec = command.get((name:gsub("^:", "")))
	if spec and (name:find "^:" or not M.guide(name)) then
		return command.help(spec)
	end
end

FIND[2] = function(ctx, name)
	local target = ctx.config().targets[name]
	return target and about.target(target, ctx)
end

-- "fs.read", "cache:get", "opsh.prometheus.of"
FIND[3] = function(ctx, name)
	local chain = {}
	for n, token in ipairs(lex.tokens(name)) do
		if n % 2 == 1 and token.kind == "name" then
			chain[#chain + 1] = n == 1 and { name = token.text }
				or { field = token.text }
		elseif token.text ~= "." and token.text ~= ":" then
			return nil
		end
	end
	local module, rest = name:match "^(opsh%.[%w_.]+)[.:]([%w_]+)$"
	local class = module and docs.module(module)
	local member = class and docs.member(class, rest)
	if member then return about.member(member, name) end
	local thing = #chain > 1 and require("repl.scope").resolve(chain, ctx)
	if thing and thing.member then return about.member(thing.member, name) end
	if thing and thing.redis then return FIND.redis(ctx, thing.redis, thing) end
end

FIND[4] = function(_, name)
	local member = docs.global(name)
	if member then return about.member(member, name) end
	if M.libraries[name] then return about.class(docs.library(name), name) end
	local module = require("run.env").module_of(name)
	if not module and docs.module(name) and not name:find "^opsh%.c%." then
		module = name
	end
	-- the guide has more to say than the list of functions
	if module and (name:find "^opsh%." or not M.guide(name)) then
		return about.module(module)
	end
end

FIND[5] = function(ctx, name)
	if not name:find "/" then return nil end
	local pb = books.describe(ctx, name)
	if not pb then return nil end
	local out = {}
	require("run.cmd.doc").run({
		out = function(text) out[#out + 1] = text end,
		rows = function(rows, opts)
			out[#out + 1] = require("opsh.table").format(rows, opts)
		end,
		dirs = books.dirs(ctx), output = "text",
	}, { name })
	return table.concat(out)
end

FIND[6] = function(_, name)
	if name == "exit-codes" then
		return require("opsh.table").format(sys.exits(), { columns = { "code",
			"name", "text" }, cap = 100 })
	end
	local guide = M.guide(name)
	return guide and sys.file("lua/help/" .. guide .. ".md")
end

-- "GET", "CONFIG GET", as a command of a target of kind redis.
function FIND.redis(ctx, name, thing)
	local redis = require "repl.redis"
	local target = thing and thing.owner.target
	local all = ctx.config().targets
	for _, of in ipairs(words.sorted(all)) do
		if not target and (all[of] or {}).kind == "redis" then
			target = all[of]
		end
	end
	local commands = redis.commands(ctx, target or { name = "" })
	local full = commands[name:upper()] and name:upper()
		or require("run.docs.redis").of_method(commands, name)
	local found = full and commands[full]
	if not found then return nil end
	local method = full:lower():gsub("[ -]", "_")
	return ("%s %s\n\n%sa command of Redis: %s:%s(...)\n"):format(full,
		found.syntax, found.summary and found.summary .. "\n" or "",
		target and target.name or "cache", method)
end

FIND[7] = function(ctx, name)
	return name:find "^%u[%u%d _-]*$" and FIND.redis(ctx, name)
end

FIND[8] = function(_, name)
	for _, kind in ipairs(require("opsh.c.err").kinds) do
		if kind == name then
			return about.failure { kind = kind, message = kind
				.. ": a kind of error" }
		end
	end
end

-- --- search -------------------------------------------------------------------------

-- Everything that has a name of its own.
local function names(ctx)
	local out = {}
	for _, guide in ipairs(M.guides()) do out[guide] = true end
	for name in pairs(require("run.env").names()) do out[name] = true end
	for name in next, ctx.config().targets do out[name] = true end
	for _, entry in ipairs(books.list(ctx)) do out[entry.name] = true end
	for _, name in ipairs(command.names()) do
		out[":" .. name] = true
	end
	for _, kind in ipairs(require("opsh.c.err").kinds) do out[kind] = true end
	for _, module in ipairs(docs.modules()) do
		local short = module:gsub("^opsh%.", "")
		out[module] = true
		for _, member in ipairs(docs.members(docs.module(module))) do
			if member.params then out[short .. "." .. member.name] = true end
		end
	end
	for _, target in next, ctx.config().targets do
		for _, member in ipairs(docs.members(docs.of_kind(target.kind))) do
			if member.params then
				out[target.name .. ":" .. member.name] = true
			end
		end
	end
	return out
end

-- Names that hold the word, then guides that speak of it.
local function search(ctx, word)
	local lower, found = word:lower(), {}
	for name in pairs(names(ctx)) do
		if name:lower():find(lower, 1, true) then found[#found + 1] = name end
	end
	table.sort(found, function(a, b)
		if #a ~= #b then return #a < #b end
		return a < b
	end)
	local guides = {}
	for _, guide in ipairs(M.guides()) do
		local text = sys.file("lua/help/" .. guide .. ".md"):lower()
		if text:find(lower, 1, true) then guides[#guides + 1] = guide end
	end
	return found, guides
end

---The text about a name. Raises kind usage when nothing has to do with it.
---@param ctx table
---@param name string
---@return string
function M.find(ctx, name)
	name = name:match "^%s*(.-)%s*$"
	for _, find in ipairs(FIND) do
		local text = name ~= "" and find(ctx, name)
		if text then return text end
	end
	local found, guides = {}, {}
	if #name > 1 then found, guides = search(ctx, name) end
	if #found == 0 and #guides == 0 then
		require("run.fail").raise { kind = "usage", message = ("no help on '%s'%s")
			:format(name, words.suggest(name, names(ctx))),
			hint = "help() says what there is" }
	end
	local out = { ("nothing is called '%s'; it is found in\n"):format(name) }
	for n = 1, math.min(#found, 20) do
		out[#out + 1] = ("  help %q\n"):format(found[n])
	end
	if #found > 20 then out[#out + 1] = ("  ... %d more\n"):format(#found - 20) end
	if #guides > 0 then
		out[#out + 1] = "guides: " .. table.concat(guides, ", ") .. "\n"
	end
	return table.concat(out)
end

return M
