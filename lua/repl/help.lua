-- help: what a value or a topic is, as text, from the documentation that completion
-- and hints have too. `help(x)` in a session, and `:help`. Looks at values without
-- running anything of theirs; owns the layout, no words.
local about = require "repl.help.about"
local docs = require "run.docs"
local err = require "opsh.c.err"
local scope = require "repl.scope"
local topics = require "repl.help.topics"

local M = {}

local OVERVIEW <const> = [[
help(x)           x: a target, a module, a function, an error, any value
help "topic"      a guide, a command, a playbook, "fs.read", "cache:get", "EXPIRE"
:help             the commands that begin with ':'
TAB               what can come here; in a call, its signature

]]

local function overview(ctx)
	local out = { OVERVIEW }
	local targets = ctx.config().targets or {}
	local names = require("run.words").sorted(targets)
	if #names > 0 then
		out[2] = "targets\n"
		for _, name in ipairs(names) do
			if targets[name] then
				out[#out + 1] = ("  %-16s %s\n"):format(name,
					targets[name].kind)
			end
		end
		out[#out + 1] = "\n"
	end
	out[#out + 1] = "guides (help \"NAME\")\n  " .. table.concat(topics.guides(),
		", ") .. "\n"
	return table.concat(out)
end

local function of_table(value, thing)
	local n = 0
	local all = scope.each(value, 100000, function() n = n + 1 end)
	local out = ("a table with %s%d key%s\n"):format(all and "" or "more than ",
		n, n == 1 and "" or "s")
	if thing.class then
		out = about.class(type(thing.class) == "string"
			and docs.class(thing.class) or thing.class) .. "\n" .. out
	end
	return out
end

local function of_userdata(_, thing)
	local class = thing.class and docs.class(thing.class)
	if class then return about.class(class) end
	return "an object of opsh; it has no description of its own\n"
end

local OF = { table = of_table, userdata = of_userdata }

OF["function"] = function(value, _, ctx)
	local member, called = topics.of_function(value, ctx)
	if member then return about.member(member, called) end
	return about.source(value)
end

---What a value is.
---@param ctx table of complete.context
---@param value any
---@return string text
function M.of(ctx, value)
	if err.is(value) then return about.failure(value) end
	local thing = scope.of_value(value, ctx)
	if thing.target then return about.target(thing.target, ctx) end
	if thing.module then return about.module(thing.module) end
	for name in next, topics.libraries do
		if value ~= nil and rawequal(rawget(ctx.env, name), value) then
			return about.class(docs.library(name), name)
		end
	end
	local kind = type(value)
	if OF[kind] then return OF[kind](value, thing, ctx) end
	return ("a %s: %s\n"):format(math.type(value) or kind, tostring(value))
end

---Help on a topic by its name; raises kind usage when there is none, with what is
---near.
---@param ctx table
---@param name string
---@return string text
function M.topic(ctx, name)
	return topics.find(require("repl.complete").context(ctx), name)
end

---The `help` of a session: called with a value or the name of a topic. Shown, it is
---the overview.
---@param ctx table
---@return table
function M.new(ctx)
	local own = require("repl.complete").context(ctx)
	local function text(...)
		if select("#", ...) == 0 then return overview(own) end
		local value = ...
		if type(value) == "string" then return topics.find(own, value) end
		return M.of(own, value)
	end
	return setmetatable({}, {
		__name = "opsh.help",
		__show = function() return (overview(own):gsub("\n$", "")) end,
		__tostring = function() return overview(own) end,
		__call = function(_, ...)
			local shown = text(...)
			if ctx.out then return ctx.out(shown) end
			local term = require "opsh.c.term"
			local out <close> = require("repl.pager").open(ctx)
			out:write(term.escape(term.mask(shown), true))
		end,
	})
end

return M
