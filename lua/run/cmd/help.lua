-- opsh help: commands, the guides of lua/help, and the exit codes. Owns no text:
-- guides are embedded files, exit codes the table of core/exit.h. A new guide
-- is a new file; its last words say what else it is found as.
local args = require "run.args"
local fail = require "run.fail"
local sys = require "opsh.c.sys"
local words = require "run.words"

local function topics()
	local out = { ["exit-codes"] = true }
	for _, path in ipairs(sys.files "lua/help/") do
		out[path:match "([^/]+)%.md$"] = true
	end
	return out
end

-- What guides are also found as: name -> guide.
local function aliases()
	local out = {}
	for _, path in ipairs(sys.files "lua/help/") do
		local names = sys.file(path):match "\nAlso found as: ([^.]*)%.%s*$"
		for name in (names or ""):gmatch "[%w_-]+" do
			out[name] = path:match "([^/]+)%.md$"
		end
	end
	return out
end

-- A guide's text; what is made by code stands in it as a mark.
local function guide(name)
	local text = sys.file("lua/help/" .. name .. ".md")
	return text and text:gsub("{{commands}}\n", function()
		return require("repl.command").overview "    "
	end)
end

local function exit_codes(ctx)
	ctx.rows(sys.exits(), { columns = { "code", "name", "text" }, cap = 100 })
	return 0
end

return {
	summary = "help on a command or a topic",
	usage = "[COMMAND|TOPIC]",
	run = function(ctx, names)
		local cli = require "run.cli"
		local name = names[1]
		if name == "exit-codes" then return exit_codes(ctx) end
		local list, known = cli.list(), topics()
		for _, entry in ipairs(list) do
			if entry[1] == name then
				-- a guide of the same name comes after it
				local text = guide(name)
				ctx.out(args.help(name, entry[2]) .. (text and "\n" .. text
					or ""))
				return 0
			end
			known[entry[1]] = true
		end
		if not name then
			ctx.out(args.overview(list) .. "\ntopics (opsh help TOPIC): "
				.. table.concat(words.sorted(topics()), ", ") .. "\n")
			return 0
		end
		local also = aliases()
		local text = guide(topics()[name] and name or also[name] or name)
		if not text then
			for word in pairs(also) do known[word] = true end
			fail.usage("no help on '%s'%s", name, words.suggest(name, known))
		end
		ctx.out(text)
		return 0
	end,
}
