-- :watch: an expression or a command again and again, until Ctrl-C. On a terminal it
-- is drawn in place and what has changed stands out; elsewhere each look follows the
-- one before. A look that takes longer than the interval delays the next: they never
-- overlap.
local ctask = require "opsh.c.task"
local err = require "opsh.c.err"
local eval = require "repl.eval"
local fail = require "run.fail"
local params = require "run.params"
local term = require "opsh.c.term"

local MOST_BLANK = 2		-- the header, and the line that the cursor is on

local function split(text)
	local lines = {}
	for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\n" do
		lines[#lines + 1] = line
	end
	return lines
end

-- The words of a line that stood not there before, in a style.
local function marked(line, before)
	if line == before then return line end
	local old, n = {}, 0
	for word in (before or ""):gmatch "%S+" do
		n = n + 1
		old[n] = word
	end
	local out, at, k = {}, 1, 0
	while at <= #line do
		local from, to = line:find("%S+", at)
		if not from then from = #line + 1 end
		out[#out + 1] = line:sub(at, from - 1)
		if not to then break end
		k = k + 1
		local word = line:sub(from, to)
		out[#out + 1] = old[k] == word and word or term.style("reverse", word)
		at = to + 1
	end
	return table.concat(out)
end

-- What fits on the screen, over what was drawn before.
local function draw(title, text, before, drawn)
	local lines = split(text)
	local most = term.lines() - MOST_BLANK
	local out = { drawn > 0 and ("\27[%dA\r\27[J"):format(drawn) or "",
		term.style("muted", (term.cell(title, term.columns() - 1))), "\n" }
	local n = math.min(#lines, most)
	if #lines > most then n = most - 1 end
	for k = 1, n do
		-- a line that wraps would be two
		local line = lines[k]:gsub("\t", "        ")
		line = term.cell(line, term.columns() - 1)
		out[#out + 1] = (before and marked(line, before[k] or "") or line)
			.. "\n"
		lines[k] = line
	end
	if n < #lines then
		out[#out + 1] = ("… %d more lines\n"):format(#lines - n)
		n = n + 1
	end
	term.ours(1, table.concat(out))
	return lines, n + 1
end

local function look(printer)
	local ok, text = pcall(printer)
	if ok then return text end
	if err.is(text) and text.kind == "cancelled" then error(text, 0) end
	-- a server that is away for a while is what one watches for
	return ("failed: %s\n"):format(fail.text(text))
end

local function read(ctx, text)
	local word, rest = text:match "^(%S+)%s+(.+)$"
	local seconds = word and params.duration(word)
	if seconds then text = rest end
	if text == "" or params.duration(text) then
		fail.usage ":watch: what is to be watched? :watch 2 EXPRESSION"
	end
	seconds = seconds or ctx.settings.interval
	if seconds < 0.1 then fail.usage ":watch: at least 0.1 s between two looks" end
	return seconds, text
end

return {
	name = "watch",
	summary = "an expression or a command again and again, until Ctrl-C",
	usage = "[SECONDS] EXPRESSION|:COMMAND",
	raw = "text",
	args = { { name = "SECONDS", kind = "seconds", optional = true } },
	rest = "expr",
	help = "What has changed since the look before stands out. The default of "
		.. "SECONDS is the\nsetting 'interval'.",
	run = function(ctx, args)
		local seconds, text = read(ctx, args.text)
		local printer = eval.printer(ctx, text)
		local in_place = require("repl.pager").screen(ctx).tty
		local before, drawn, looks = nil, 0, 0
		while true do
			local began = ctask.now()
			local got = look(printer)
			local title = ("every %g s: %s  %s"):format(seconds,
				text:gsub("%s+", " "), os.date "%H:%M:%S")
			if in_place then
				before, drawn = draw(title, got, before, drawn)
			else
				ctx.out(title .. "\n" .. got)
			end
			looks = looks + 1
			if looks == ctx.looks then return end
			ctask.sleep(math.max(0, began + seconds - ctask.now()))
		end
	end,
}
