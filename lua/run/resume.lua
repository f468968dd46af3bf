-- resume: what an interrupted run has done, read from its record, and how its
-- playbook goes on: finished steps give their recorded results, a step in doubt
-- is settled by its probe or by a person. Refuses when the playbook, a parameter
-- or a target is not what it was. Owns these rules; runner runs the playbook.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local sys = require "opsh.c.sys"
local doubt = require "run.doubt"
local fail = require "run.fail"
local journal = require "run.journal"
local session = require "run.session"
local words = require "run.words"

local resume = {}

-- Reads the record: the first line, steps by name in order, identities, writes
-- whose outcome is missing or unknown by step.
local function read(dir)
	local past = { steps = {}, identity = {}, doubt = {}, open = {} }
	for r in journal.records(dir) do
		past.first = past.first or r
		past.last = r
		if r.type == "step" and r.state == "done" then
			local list = past.steps[r.name] or {}
			past.steps[r.name] = list
			list[#list + 1] = r
		elseif r.type == "identity" then
			past.identity[r.target] = r
		end
		doubt.take(past.open, r)
	end
	for _, intent in pairs(past.open) do
		local step = intent.step or ""
		local list = past.doubt[step] or {}
		past.doubt[step] = list
		list[#list + 1] = intent
	end
	return past
end

---Reads a run that is to go on. Raises kind usage when there is nothing to go on
---with.
---@param name? string
---@return table past run dir first steps doubt identity
function resume.load(name)
	local run, dir = journal.find(name)
	local past = read(dir)
	past.run, past.dir = run, dir
	local first, last = past.first, past.last
	if not first or first.type ~= "run" or not first.name then
		fail.usage("run %s is no run of a playbook: only those are resumed",
			run)
	elseif first.mode ~= "write" then
		fail.usage("run %s was a plan: there is nothing to resume", run)
	elseif last.type == "end" and last.exit == 0 then
		fail.usage("run %s ended well: there is nothing to resume", run)
	end
	if past.doubt[""] then
		error(err.new { kind = "unknown", message = ("run %s has a write in "
			.. "doubt outside of any step: '%s' on '%s'"):format(run,
			past.doubt[""][1].request, past.doubt[""][1].target),
			hint = "look at the target; such a run can't be resumed" }, 0)
	end
	return past
end

-- The first line in which two texts differ.
local function difference(old, new)
	local a, b = {}, {}
	for line in (old .. "\n"):gmatch "(.-)\n" do a[#a + 1] = line end
	for line in (new .. "\n"):gmatch "(.-)\n" do b[#b + 1] = line end
	for n = 1, math.max(#a, #b) do
		if a[n] ~= b[n] then
			return ("line %d: was '%s', is '%s'"):format(n, a[n] or "",
				b[n] or "")
		end
	end
	return "nothing but its digest"
end

---Raises kind changed unless this is the playbook as it was run.
---@param past table
---@param pb table
function resume.check_playbook(past, pb)
	if sys.sha256(pb.source) == past.first.sha256 then return end
	local old = sys.read(past.dir .. "/playbook.lua", 8 << 20) or ""
	fail.raise { kind = "changed", message = ("playbook '%s' is not what run "
		.. "%s ran: %s"):format(pb.path, past.run, difference(old, pb.source)),
		hint = ("the playbook as it was: %s/playbook.lua"):format(past.dir) }
end

---The parameters of the run: as recorded, with secret ones from the command line.
---@param past table
---@param given string[] NAME=VALUE
---@param parse fun(list: string[]): table
---@return string[]
function resume.params(past, given, parse)
	local list = {}
	for _, name in ipairs(words.sorted(past.first.params or {})) do
		local value = past.first.params[name]
		if type(value) == "table" then value = table.concat(value, ",") end
		if not tostring(value):match "^%[secret" then
			list[#list + 1] = name .. "=" .. tostring(value)
		end
	end
	for _, text in ipairs(given) do
		local name = text:match "^([^=]+)="
		local value = name and (past.first.params or {})[name]
		if value == nil or not tostring(value):match "^%[secret" then
			fail.usage("resume takes only the secret parameters of the run, "
				.. "the others are on record: '%s'", name or text)
		end
		list[#list + 1] = text
	end
	return parse(list)
end

---Raises kind changed when a target is another one than before.
---@param past table
---@param clients table<string, any>
function resume.check_targets(past, clients)
	for _, name in ipairs(words.sorted(clients)) do
		local object = session.target_of(clients[name])
		local was = past.identity[object:name()]
		if was and object:identity() and (was.identity ~= object:identity()
			or was.role ~= object:role()) then
			fail.raise { kind = "changed", target = object:name(), message =
				("'%s' is not what it was in run %s: was %s role=%s, is %s "
				.. "role=%s"):format(object:name(), past.run, was.identity,
				was.role or "?", object:identity() or "?",
				object:role() or "?"),
				hint = "start a new run; it takes the target as it is" }
		end
	end
end

-- A person says whether the step's write was applied: true, false.
local function ask(name, intents)
	local term = require "opsh.c.term"
	local text = ("step '%s' is in doubt: the outcome of %s is not known")
		:format(name, doubt.names(intents))
	if not session.interactive() then
		error(err.new { kind = "unknown", message = text, hint = "look at the "
			.. "target, then resume at a terminal and say 'applied' or 'not'; "
			.. "a step with a probe, or idempotent, settles it by itself" }, 0)
	end
	term.write(2, text .. "\n")
	local answer = term.prompt("  look at the target; type 'applied' or 'not': ",
		{})
	if answer ~= "applied" and answer ~= "not" then
		error(err.new { kind = "unknown", message = text }, 0)
	end
	return answer == "applied"
end

local function settle(name, opts, intents)
	local how, applied = "person", nil
	if opts.idempotent then
		how, applied = "idempotent", false
	elseif opts.probe then
		how, applied = "probe", opts.probe(nil)
	end
	if applied == nil then applied = ask(name, intents) end
	effect.record("settled", { step = name, applied = applied, how = how },
		true)
	return applied
end

local function values_of(record)
	local r = record.result
	if not r then
		return nil
	end
	local out = { n = r.n }
	for n = 1, r.n do out[n] = r["v" .. n] end
	return out
end

---Makes the function that step asks first: (name, opts) -> the recorded results
---of a finished step, or nil when it is to run.
---@param past table
---@return fun(name: string, opts: table): table?
function resume.steps(past)
	local seen = {}
	return function(name, opts)
		seen[name] = (seen[name] or 0) + 1
		local record = (past.steps[name] or {})[seen[name]]
		if record then
			local values = values_of(record)
			if not values and record.writes > 0 then
				fail.raise { kind = "check", message = ("step '%s' wrote, and "
					.. "its result could not be recorded: it can't be resumed "
					.. "past it"):format(name) }
			elseif values and not (opts.again and record.writes == 0) then
				effect.record("step", { name = name, state = "reused",
					of = record.seq })
				require("opsh.c.term").write(2, ("done before  %s\n")
					:format(name))
				return values
			end
		end
		local intents = past.doubt[name]
		past.doubt[name] = nil
		if intents and settle(name, opts, intents) then
			return { n = 0 }
		end
	end
end

return resume
