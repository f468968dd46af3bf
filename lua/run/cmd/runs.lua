-- opsh runs: the runs on record, newest last. A view: it reads the journals and
-- must not change them. One that can't be read is a row that says so, not an
-- error: the others are wanted all the more then.
local fail = require "run.fail"
local journal = require "run.journal"
local session = require "run.session"

local function row_of(run)
	local first, last, writes = nil, nil, 0
	local ok, e = pcall(function()
		for r in journal.records(session.runs_dir() .. "/" .. run) do
			first = first or r
			last = r
			if r.type == "intent" and not r.lock then writes = writes + 1 end
		end
	end)
	local state = "empty"
	if not ok then
		state = "unreadable: " .. fail.text(e)
	elseif last then
		state = last.type == "end" and "exit " .. tostring(last.exit)
			or "no end"
	end
	return { run = run, began = first and first.t:sub(1, 19),
		mode = first and first.mode, what = first and (first.name
		or first.playbook or first.command), writes = writes, state = state }
end

return {
	summary = "the runs on record",
	options = {
		{ name = "last", arg = "N", help = "how many, newest last (20)",
		  convert = function(text)
			local n = math.tointeger(tonumber(text))
			return n and n > 0 and n or nil, "an integer, 1 or more"
		  end },
	},
	run = function(ctx, args)
		if #args > 0 then fail.usage("runs: unexpected argument '%s'", args[1]) end
		local runs, rows = journal.runs(), {}
		for n = math.max(1, #runs - (args.options.last or 20) + 1), #runs do
			rows[#rows + 1] = row_of(runs[n])
		end
		ctx.rows(rows, { columns = { "run", "began", "mode", "what", "writes",
			"state" }, cap = #rows + 1 })
		return 0
	end,
}
