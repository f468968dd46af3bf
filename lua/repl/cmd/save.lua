-- :save: the session, or some of its entries, as a playbook file: what worked, as
-- steps. Asks nothing, overwrites nothing; what it has written passes `opsh check`,
-- or nothing is written.
local effect = require "opsh.c.effect"
local fail = require "run.fail"
local save = require "repl.save"
local source = require "run.source"
local sys = require "opsh.c.sys"
local words = require "run.words"

local MODE = 420	-- 0644

-- DOMAIN/VERB lies beside the targets file, where `opsh run` finds it; a path where
-- it says.
local function place(ctx, text)
	local stem = text:gsub("%.lua$", "")
	local name = stem:match "([^/]+/[^/]+)$"
	if not name or not name:match "^%l[%l%d_-]*/%l[%l%d_-]*$" then
		fail.usage(":save: a name as DOMAIN/VERB, of small letters, digits and "
			.. "'-', or a path that ends so, not '%s'", text)
	end
	if stem == name and not text:find "%.lua$" then
		local path = ctx.config and ctx.config().path
			or require("run.session").config().path
		stem = source.folder(path or "./opsh.lua") .. "/playbooks/" .. name
		stem = stem:gsub("^%./", "")
	end
	return name, stem .. ".lua"
end

-- "3-7", "2,5", "4-": a set of numbers; nil: all.
local function chosen(text)
	if not text then return nil end
	local ranges = {}
	for part in (text .. ","):gmatch "([^,]*)," do
		local from, to = part:match "^(%d+)%-(%d*)$"
		if not from then from = part:match "^%d+$" to = from end
		if not from then
			fail.usage(":save: entries such as 3-7 or 2,5, not '%s'", text)
		end
		ranges[#ranges + 1] = { tonumber(from), tonumber(to) or math.huge }
	end
	return function(n)
		for _, range in ipairs(ranges) do
			if n >= range[1] and n <= range[2] then return true end
		end
		return false
	end
end

local function entries_of(ctx, wanted)
	local out = {}
	for n, text in ipairs(ctx.entries or {}) do
		if not wanted or wanted(n) then
			out[#out + 1] = { n = n, text = text,
				worked = (ctx.worked or {})[n], gave = (ctx.gave or {})[n] }
		end
	end
	return out
end

local function io_error(path, why)
	fail.raise { kind = "io", message = ("cannot write '%s': %s"):format(path,
		source.reason(path, why)) }
end

-- A name of its own until it is known to be right; then linked: nothing that is there
-- is overwritten.
local function write(path, text)
	local env = require "run.env"
	local done, why = sys.mkdir(source.folder(path))
	if not done then io_error(path, why) end
	local draft = ("%s.%d.lua"):format(path:gsub("%.lua$", ""), sys.pid())
	done, why = sys.save(draft, text, MODE)
	if not done then io_error(draft, why) end
	local _ <close> = setmetatable({}, { __close = function()
		os.remove(draft)
	end })
	local pb = require("run.playbook").describe(draft,
		{ env_names = env.names(), problems = true, is_module = env.is_module })
	local first = require("run.check").first_error(pb.problems)
	if first then
		fail.raise { kind = "check", message = (":save: the entries make no "
			.. "playbook: %s"):format(first.message), hint = "save fewer "
			.. "entries: :save NAME 3-7" }
	end
	if not require("opsh.c.lock").claim(draft, path) then
		fail.raise { kind = "config", message =
			("'%s' is there already, nothing was written"):format(path) }
	end
end

local function tell(ctx, name, path, found)
	local n = #found.params
	ctx.out(("wrote %s: %d of the session's entries%s\n"):format(path,
		#found.parts, n > 0 and (", %s: %s"):format(words.count(n, "parameter"),
		table.concat(found.params, ", ")) or ""))
	for _, left in ipairs(found.left) do
		ctx.err(("entry %d is left out: %s\n"):format(left.n, left.why))
	end
	ctx.err(("next: opsh check %s; :plan %s\n"):format(path,
		path:find(name .. ".lua", 1, true) == 1 and "./" .. path or
		path:find "^playbooks/" and name or path))
end

return {
	name = "save",
	summary = "writes the entries that worked as a playbook",
	usage = "DOMAIN/VERB|PATH [ENTRIES]",
	args = { { name = "DOMAIN/VERB", kind = "file" },
		{ name = "ENTRIES", kind = "text", optional = true } },
	help = [[
:save redis/stale          playbooks/redis/stale.lua beside the targets file
:save ./ops/cache.lua 3-7  these entries, in that file
Each entry is a step, literals of calls are parameters with what they were as
defaults, guards ask again. Notes become comments.]],
	run = function(ctx, args)
		local name, path = place(ctx, args[1])
		if sys.stat(path) then
			fail.raise { kind = "config", message =
				("'%s' is there already, nothing was written"):format(path) }
		end
		local run = effect.status().run
		local text, found = save.text(name, entries_of(ctx, chosen(args[2])),
			ctx.config and ctx.config() or require("run.session").config(),
			(run and "run " .. run .. " of " or "of ") .. os.date "!%Y-%m-%d")
		if not text then
			for _, left in ipairs(found.left) do
				ctx.err(("entry %d is left out: %s\n"):format(left.n,
					left.why))
			end
			fail.usage ":save: no entry that worked can be kept"
		end
		write(path, text)
		tell(ctx, name, path, found)
	end,
}
