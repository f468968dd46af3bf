-- :write: write mode for a while, with a reason, on record before it begins.
-- What ends it is in C, below every binding: no task has to be there at that
-- time.
local effect = require "opsh.c.effect"
local fail = require "run.fail"
local params = require "run.params"

local MOST = 4 * 3600

local function tell(ctx)
	local left = effect.window()
	if left then
		ctx.out(("write mode for %d more seconds\n"):format(math.ceil(left)))
	else
		ctx.out(effect.mode() .. " mode\n")
	end
end

local function read_time(text)
	local seconds = params.duration(text)
	if tonumber(text) then
		fail.raise { kind = "usage", message = (":write: %s of what? such as "
			.. "'%sm' or '%ss'"):format(text, text, text),
			hint = ":write 10m REASON" }
	elseif not seconds or seconds <= 0 then
		fail.raise { kind = "usage", message = (":write: expected how long, such "
			.. "as '10m', got '%s'"):format(text),
			hint = ":write 10m REASON" }
	elseif seconds > MOST then
		fail.usage(":write: at most 4h, not '%s'", text)
	end
	return seconds
end

return {
	name = "write",
	summary = "write mode for a time, with a reason; off: read-only again",
	usage = "[TIME REASON | off]",
	raw = "text",
	args = { { name = "TIME", kind = "seconds", optional = true } },
	rest = "text",
	help = "The reason stands in the journal. A call that is under way when the "
		.. "time is over\nends as it would have; so does a run of :run.",
	run = function(ctx, args)
		local word, reason = args.text:match "^(%S*)%s*(.*)$"
		if word == "" then return tell(ctx) end
		if word == "off" then
			require("repl.cmd.read").run(ctx, { text = "" })
			return
		end
		local seconds = read_time(word)
		if effect.mode() == "write" and not effect.window() then
			ctx.err "the session is in write mode already\n"
			return
		end
		if not reason:find "%w" then
			fail.raise { kind = "usage", message = ":write: a reason is needed; it "
				.. "goes into the journal", hint = (":write %s REASON"):format(
				word) }
		end
		-- no record, no write mode
		effect.record("mode", { mode = "write", seconds = seconds, how = "asked",
			text = ("write mode for %s: %s"):format(word, reason),
			reason = reason }, true)
		effect.window(seconds)
		ctx.err(("write mode for %s\n"):format(word))
	end,
}
