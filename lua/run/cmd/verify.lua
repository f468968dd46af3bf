-- opsh verify: is the record of a run as it was written? Owns the verdict's
-- words; the chain is followed by effect/journal_read.c. Must not mend what it
-- finds.
local effect = require "opsh.c.effect"
local fail = require "run.fail"
local journal = require "run.journal"
local session = require "run.session"
local sys = require "opsh.c.sys"

local EXIT_VERIFY = 15

-- Does the copy of the playbook have the digest that the first record says?
local function copy_matches(dir)
	local first = journal.records(dir)()
	local text = sys.read(dir .. "/playbook.lua", 8 << 20)
	if not first or not first.sha256 or not text then return true end
	return sys.sha256(text) == first.sha256
end

local function judge(intact, report, dir)
	if not intact then
		return false, report.bad_line and ("line %d %s"):format(
			report.bad_line, report.problem) or report.problem
	elseif report.records == 0 then
		return false, "it holds no record"
	elseif not copy_matches(dir) then
		return false, "the copy of the playbook is not the one that was run"
	elseif report.torn > 0 then
		return true, ("intact up to a torn last record (%d bytes): the run "
			.. "was killed or the machine stopped"):format(report.torn)
	elseif report.busy then
		return true, "intact so far: the run is going on"
	elseif not report.ended then
		return false, "it has no end record: the run was killed, or the tail "
			.. "was cut; which of the two is not provable without its head "
			.. "(--head)"
	end
	return true, "intact, from the first record to the end"
end

return {
	summary = "check the record of a run for edits, cuts and insertions",
	usage = "RUN|last",
	options = {
		{ name = "head", arg = "HASH",
		  help = "the head hash, as published elsewhere" },
	},
	help = "Exit 0 when the record is intact, 15 when it is not.",
	run = function(ctx, args)
		if #args > 1 then
			fail.usage("verify: unexpected argument '%s'", args[2])
		end
		local run, dir = journal.find(args[1])
		local intact, report = effect.verify(session.runs_dir(), run,
			args.options.head)
		local ok, why = judge(intact, report, dir)
		ctx.rows({ { run = run, records = report.records,
			verdict = ok and "ok" or "DAMAGED", detail = why,
			head = report.head } }, { columns = { "run", "records", "verdict",
			"detail", "head" } })
		return ok and 0 or EXIT_VERIFY
	end,
}
