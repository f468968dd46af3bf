-- :chart: numbers as a picture: those of `_` or of an expression
-- that gives a list, or one number again and again over time,
-- until Ctrl-C.
local ctask = require "opsh.c.task"
local eval = require "repl.eval"
local fail = require "run.fail"
local params = require "run.params"
local term = require "opsh.c.term"

local POINTS = 60	-- that are kept of a value over time

local function draw(text, drawn, in_place)
	local lines = select(2, text:gsub("\n", ""))
	term.ours(1, (in_place and drawn > 0 and ("\27[%dA\r\27[J"):format(drawn)
		or "") .. text)
	return lines
end

local function over_time(ctx, text, chunk, first, seconds)
	local chart = require "opsh.chart"
	local in_place = require("repl.pager").screen(ctx).tty
	local values, drawn, looks, value = {}, 0, 0, first
	while true do
		local began = ctask.now()
		if looks > 0 then value = chunk() end
		if type(value) ~= "number" then
			fail.usage(":chart: '%s' gave a %s, not a number", text, type(value))
		end
		values[#values + 1] = value
		if #values > POINTS then table.remove(values, 1) end
		if in_place then
			drawn = draw(chart.chart(values, { title = ("%s every %g s: %s")
				:format(text, seconds, value) }) .. "\n", drawn, true)
		end
		looks = looks + 1
		if looks == ctx.looks then break end
		ctask.sleep(math.max(0, began + seconds - ctask.now()))
	end
	if not in_place then ctx.out(chart.chart(values, { title = text }) .. "\n") end
end

local function read(ctx, text)
	local word, rest = text:match "^(%S+)%s+(.+)$"
	local seconds = word and not tonumber(text) and params.duration(word)
	if seconds then return seconds, rest end
	return ctx.settings.interval, text
end

return {
	name = "chart",
	summary = "draws the numbers of _, of a list, or of a value over time",
	usage = "[[SECONDS] EXPRESSION]",
	raw = "text",
	args = { { name = "SECONDS", kind = "seconds", optional = true } },
	rest = "expr",
	help = [[
:chart                      the result before, a list of numbers or of rows
:chart cache:dbsize()       one number, asked every `interval` seconds until Ctrl-C
:chart 5 cache:dbsize()     every 5 s]],
	run = function(ctx, args)
		local seconds, text = read(ctx, args.text)
		if text == "" then text = "_" end
		local chunk = eval.compile(ctx, text, "chart")
		local value = chunk()
		if type(value) == "number" and text ~= "_" then
			return over_time(ctx, text, chunk, value, seconds)
		elseif type(value) ~= "table" and type(value) ~= "userdata" then
			fail.usage(":chart: '%s' is a %s, neither a number nor a list", text,
				type(value))
		end
		ctx.out(require("opsh.chart").chart(value) .. "\n")
	end,
}
