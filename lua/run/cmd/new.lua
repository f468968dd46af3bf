-- opsh new PATH: writes a playbook to start from, which passes `opsh check`.
-- Owns that text. Never overwrites a file, and must not ask for anything that
-- the options don't say.
local sys = require "opsh.c.sys"
local fail = require "run.fail"
local source = require "run.source"

local MODE = 420	-- 0644

local HEAD = [[
-- $name: say here what it is for and what it must not do.
-- Check it with `opsh check`, read it with `opsh doc`, try it with `opsh plan`.
return {
  name    = "$name",
  summary = "One line that says what it does",
  severity = "P3",                     -- of the incident it is for: P0 .. P4
]]

local NEEDS = [[

  -- Name of the target in the targets file = its kind. `--bind $target=other`
  -- takes another one.
  needs = { $target = "$kind" },
]]

local NO_NEEDS = [[

  -- Name of the target in the targets file = its kind:
  needs = {},                          -- for example { cache = "redis" }
]]

local TAIL = [[

  -- NAME=VALUE on the command line. Types: string pattern integer number
  -- boolean duration enum list. Limits: min max choices pattern.
  params = {
    limit = { type = "integer", default = 10, min = 1,
      help = "how many at most", example = "100" },
  },

  example = "opsh run $name limit=100$example",

  -- Before the first write: what must be true, or nothing starts.
  checks = {
    { "the limit is sane", function(t, p) assert(p.limit <= 1000, "limit") end },
  },

  -- t: the targets it needs; p: its parameters. Each step is recorded and, on
  -- `opsh resume`, not repeated when it had ended.
  run = function(t, p)
    local found = step("count", function()
      return { count = p.limit }
    end)

    step("act", {
      verify = function() return found.count >= 0 end,
    }, function()
      log.info(("would handle %d"):format(found.count))
    end)
  end,
}
]]

-- redis/flush-one, or any path that ends so, with or without .lua
local function name_of(path)
	local stem = path:gsub("%.lua$", "")
	local name = stem:match("([^/]+/[^/]+)$")
	if not name or not name:match("^%l[%l%d_-]*/%l[%l%d_-]*$") then
		fail.usage("new: the path must end in DOMAIN/VERB.lua, of small "
			.. "letters, digits and '-': playbooks/redis/flush-one.lua")
	end
	return name, stem .. ".lua"
end

local function text_of(name, need)
	local target, kind
	if need then
		target, kind = need:match("^(%l[%l%d_]*)=(%l[%l%d_]*)$")
		if not target then
			fail.usage("option '--needs': expected NAME=KIND, such as "
				.. "cache=redis, got '%s'", need)
		end
	end
	local text = HEAD .. (target and NEEDS or NO_NEEDS) .. TAIL
	return (text:gsub("%$(%l+)", {
		name = name, target = target, kind = kind,
		example = target and (" --target %s=URL"):format(target) or "",
	}))
end

return {
	summary = "writes a playbook to start from",
	usage = "[--needs NAME=KIND] PATH",
	options = {
		{ name = "needs", arg = "NAME=KIND", help = "a target it works on" },
	},
	help = "PATH: .../DOMAIN/VERB.lua; its folder is made when missing.",
	run = function(ctx, args)
		if #args ~= 1 then
			fail.usage("new: one path, got %d; usage: opsh new PATH", #args)
		end
		local name, path = name_of(args[1])
		if sys.stat(path) then
			fail.raise { kind = "config", message =
				("'%s' is there already, nothing was written"):format(path) }
		end
		local text = text_of(name, args.options.needs)
		local done, why = sys.mkdir(source.folder(path))
		if done then
			done, why = sys.save(path, text, MODE)
		end
		if not done then
			fail.raise { kind = "io", message = ("cannot write '%s': %s")
				:format(path, source.reason(path, why)) }
		end
		ctx.out(("wrote %s\n"):format(path))
		ctx.err(("next: opsh check %s\n"):format(path))
		return 0
	end,
}
