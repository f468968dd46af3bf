-- opsh list: the playbooks at hand. Reads about each with stand-ins for all
-- that could have an effect; one that is broken is named and left out. Must not
-- run any.
local env = require "run.env"
local fail = require "run.fail"
local playbook = require "run.playbook"
local words = require "run.words"

local function matches(pb, filter)
	if not filter then
		return true
	end
	local text = table.concat({ pb.name, pb.summary,
		table.concat(pb.tags or {}, " ") }, " "):lower()
	return text:find(filter:lower(), 1, true) ~= nil
end

return {
	summary = "the playbooks: shipped, yours, and those beside the targets file",
	usage = "[WORD]",
	options = {},
	help = "WORD: only those with it in the name, the summary or the tags.",
	run = function(ctx, args)
		if #args > 1 then
			fail.usage("list: one word at most, got '%s'", args[2])
		end
		local rows = {}
		local names = env.names()
		for _, entry in ipairs(playbook.list(ctx.dirs)) do
			local ok, pb = pcall(playbook.describe, entry.path,
				{ env_names = names })
			if not ok and fail.is(pb) and pb.kind ~= "config" then
				error(pb, 0)
			elseif not ok then
				ctx.err(("opsh: left out: %s\n"):format(fail.text(pb)))
			elseif pb.spec and matches(pb, args[1]) then
				local needs = table.concat(words.sorted(pb.needs), " ")
				rows[#rows + 1] = {
					name = entry.name, severity = pb.severity,
					needs = needs ~= "" and needs or nil,
					summary = pb.summary, path = entry.path,
				}
			end
		end
		local columns = { "name", "severity", "needs", "summary" }
		if ctx.output == "jsonl" then
			columns[#columns + 1] = "path"
		elseif #rows == 0 and args[1] then
			ctx.err(("no playbook with '%s' in its name, summary or tags\n")
				:format(args[1]))
			return 0
		elseif #rows == 0 then
			ctx.err("no playbook found; looked in "
				.. table.concat(ctx.dirs, ", ") .. "\n")
			return 0
		end
		ctx.rows(rows, { columns = columns })
		return 0
	end,
}
