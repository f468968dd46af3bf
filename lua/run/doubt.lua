-- doubt: the writes of a run that may or may not have been applied, read from its
-- record. Owns which ones those are and how they are told; what is done about
-- them is the person's, or resume's.
local effect = require "opsh.c.effect"
local journal = require "run.journal"
local term = require "opsh.c.term"
local words = require "run.words"

local doubt = {}

local SHOWN <const>, TEXT <const> = 3, 80	-- writes; bytes of each

local function drop(open, step)
	for seq, intent in pairs(open) do
		if intent.step == step then open[seq] = nil end
	end
end

---Takes the next record: `open` then has the intents, by number, of which no
---outcome is known so far.
---@param open table<integer, table>
---@param r table
function doubt.take(open, r)
	if r.type == "intent" and not r.lock then
		open[r.seq] = r
	elseif r.type == "outcome" and r.outcome ~= "unknown" then
		open[r.of] = nil
	elseif r.type == "outcome" and open[r.of] then
		open[r.of].given_up = r.mono
	elseif r.type == "settled"
		or r.type == "probe" and type(r.applied) == "boolean" then
		drop(open, r.step)
	elseif r.type == "step" and r.state == "done" then
		drop(open, r.name)	-- it has dealt with them
	end
end

---The intents of this run whose outcome turned out unknown, in their order.
---@param since? number seconds, as task.now: only what was given up from then on
---@return table[]
function doubt.list(since)
	local status, open, out = effect.status(), {}, {}
	if status.doubts == 0 or not status.open then return out end
	for r in journal.records(status.dir) do doubt.take(open, r) end
	for _, intent in pairs(open) do
		if (intent.given_up or -1) >= (since or 0) then out[#out + 1] = intent end
	end
	table.sort(out, function(a, b) return a.seq < b.seq end)
	return out
end

---"'SET k v' on 'cache', and 2 more".
---@param intents table[]
---@return string
function doubt.names(intents)
	local parts = {}
	for n, intent in ipairs(intents) do
		if n > SHOWN then
			parts[n] = ("and %d more"):format(#intents - SHOWN)
			break
		end
		parts[n] = ("'%s' on '%s'"):format(term.cell(words.shorten(
			intent.request or intent.verb, TEXT)), intent.target)
	end
	return table.concat(parts, ", ")
end

---What a person has to know of them: a line.
---@param intents table[]
---@return string
function doubt.text(intents)
	return ("  in doubt: %slook at the target before you run anything again\n")
		:format(intents[1] and doubt.names(intents) .. ": " or "")
end

return doubt
