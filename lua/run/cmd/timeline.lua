-- opsh timeline: what happened in a run, in order: a view of its record. Joins
-- each intent with its outcome; one that has none is in doubt. Must not guess,
-- and changes nothing.
local fail = require "run.fail"
local journal = require "run.journal"
local words = require "run.words"

local function what(r)
	if r.request and r.request ~= "" then return r.request end
	if r.type == "lock" then
		return r.why and r.resource .. ": " .. r.why or r.resource
	end
	if r.type == "run" then return r.name or r.playbook or r.source end
	if r.type == "guard" then
		return r.text or r.verb and ("%s %s"):format(r.verb, r.count or "")
	end
	if r.type == "identity" then return r.identity end
	if r.type == "step" then return nil end		-- its own column says it
	return r.name and r.why and r.name .. ": " .. r.why or r.text or r.name
end

-- An outcome belongs into its intent's line.
local function merge(by_seq, r)
	local row = by_seq[r.of]
	if not row then return end
	row.outcome = r.outcome
	row.seconds = r.duration
	row.count = r.count
	row.error = r.error and r.error.message
end

-- What a probe or a person said of the writes in doubt of a step, later on.
local function settle(rows, r)
	for _, row in ipairs(rows) do
		if row.outcome == "in doubt" and row.step == r.step then
			row.outcome = r.applied and "settled: applied"
				or "settled: not applied"
		end
	end
end

local function read(dir, all, width)
	local rows, by_seq, t0 = {}, {}, nil
	for r in journal.records(dir) do
		t0 = t0 or r.mono
		if r.type == "outcome" then
			merge(by_seq, r)
		elseif r.type == "settled" then
			settle(rows, r)
		end
		if r.type ~= "outcome" and (all or not r.lock and r.type ~= "read"
			or r.outcome == "failed") then
			local row = { at = r.mono - t0,
				step = r.step or r.type == "step" and r.name or nil,
				event = r.type == "intent" and r.class or r.type,
				target = r.target, what = words.shorten(what(r), width),
				outcome = r.outcome or r.state or r.how
					or r.ok ~= nil and (r.ok and "ok" or "failed") or nil,
				seconds = r.duration, count = r.count or r.items,
				error = words.shorten(r.error and (r.error.message
					or tostring(r.error)), width) }
			if r.type == "intent" then
				row.outcome = "in doubt"	-- until its outcome is read
				by_seq[r.seq] = row
			elseif r.type == "end" then
				row.outcome = "exit " .. tostring(r.exit)
			end
			rows[#rows + 1] = row
		end
	end
	return rows
end

-- Times as people read them; jsonl has them as numbers.
local function format_times(rows)
	for _, row in ipairs(rows) do
		row.at = ("+%.3f"):format(row.at)
		if row.seconds then row.seconds = ("%.3f"):format(row.seconds) end
	end
end

return {
	summary = "what happened in a run, in order",
	usage = "RUN|last",
	options = {
		{ name = "reads", help = "with the reads that went well, and the lock's "
		  .. "own calls" },
		{ name = "all", help = "every row, not the first and last 100" },
	},
	run = function(ctx, args)
		if #args > 1 then
			fail.usage("timeline: unexpected argument '%s'", args[2])
		end
		local run, dir = journal.find(args[1])
		local rows = read(dir, args.options.reads,
			ctx.output == "text" and 80 or math.huge)
		if ctx.output == "text" then
			format_times(rows)
			ctx.err(("run %s, %s\n"):format(run,
				words.count(#rows, "event")))
			if #rows > 200 and not args.options.all then
				local cut = #rows - 200
				table.move(rows, #rows - 99, #rows, 102)
				rows[101] = { event = "...", what = ("%d more (--all)")
					:format(cut) }
				for n = #rows, 202, -1 do rows[n] = nil end
			end
		end
		ctx.rows(rows, { columns = { "at", "step", "event", "target", "count",
			"outcome", "seconds", "what", "error" }, cap = #rows + 1 })
		return 0
	end,
}
