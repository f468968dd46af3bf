-- guard: the question before a destructive call. Shows who the target is, what
-- will be hit, a count and a sample from live state, and asks for something that
-- only a reader of the screen can type. Without a terminal it refuses at once
-- and names --approve. What passed is kept in the target, in C; this is the
-- dialogue only.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local term = require "opsh.c.term"
local session = require "run.session"

local OPTIONS = { verb = "string", count = "number", sample = "table",
	ask = "string", note = "string", unit = "string" }

local SAMPLE = 8		-- how many of it are shown
local SAMPLE_WIDTH = 200	-- columns of each

local function check(opts)
	if type(opts) ~= "table" then
		error("guard(target, {verb =, count =, sample =}) expected", 3)
	end
	for name, value in pairs(opts) do
		local known = OPTIONS[name]
		if not known then
			error(("unknown option '%s' of guard (known: ask, count, note, "
				.. "sample, unit, verb)"):format(tostring(name)), 3)
		elseif type(value) ~= known then
			error(("option '%s' of guard must be a %s, not a %s"):format(name,
				known, type(value)), 3)
		end
	end
	if not opts.verb or not (opts.count or opts.ask) then
		error("guard needs verb, and count or ask", 3)
	end
end

local function sample_text(sample)
	local parts = {}
	for n = 1, math.min(SAMPLE, #sample) do
		parts[n] = term.cell(tostring(sample[n]), SAMPLE_WIDTH)
	end
	if #sample > SAMPLE then parts[#parts + 1] = "..." end
	return table.concat(parts, "\n            ")
end

-- What is shown, as lines of label and text.
local function describe(object, opts)
	local config = session.config()
	local lines = {
		{ "target", ("%s (%s)"):format(object:name(), object:kind()) },
		{ "address", object:address() or "not connected" },
		{ "identity", ("%s%s"):format(object:identity() or "?",
			object:role() and " role=" .. object:role() or "") },
	}
	if config.environment ~= "" then
		lines[#lines + 1] = { "in", config.environment
			.. (config.protected and " (protected)" or "") }
	end
	if opts.count then
		lines[#lines + 1] = { "count", ("%d%s"):format(opts.count,
			opts.unit and " " .. opts.unit or "") }
	end
	if opts.sample and #opts.sample > 0 then
		lines[#lines + 1] = { "sample", sample_text(opts.sample) }
	end
	if opts.note then lines[#lines + 1] = { "note", opts.note } end
	return lines
end

-- Nobody agrees to a target that was not asked who it is.
local function meet(client, object)
	local kind = not object:identity() and object ~= session.host()
		and require("opsh." .. object:kind()).kind
	if kind and kind.ping then kind.ping(client) end
end

local function show(object, opts)
	term.write(2, ("guard: %s on %s\n"):format(opts.verb, object:name()))
	for _, line in ipairs(describe(object, opts)) do
		term.write(2, ("  %-9s %s\n"):format(line[1], line[2]))
	end
end

local function refuse(object, opts, why)
	local name = object:name()
	effect.record("guard", { target = name, verb = opts.verb,
		count = opts.count, how = "refused", text = why })
	error(err.new { kind = "guard", target = name, op = opts.verb,
		outcome = "refused", message = ("guard of '%s' on '%s' %s; nothing "
		.. "was written"):format(opts.verb, name, why),
		hint = ("look at the count and the sample above; to pass without a "
		.. "terminal: --approve %s"):format(name) }, 0)
end

-- Nobody is asked for what would be refused right after.
local function refuse_mode(object, opts)
	error(err.new { kind = "refused", code = "MODE", target = object:name(),
		op = opts.verb, outcome = "refused", message = ("the session is in "
		.. "read mode: '%s' on '%s' is a write"):format(opts.verb,
		object:name()), hint = effect.session()
		and ":write 10m REASON allows it for ten minutes"
		or "start with --write to allow it" }, 0)
end

---Passes the guard of a target for a verb, or raises kind guard. In a plan it
---passes, and the record says that a run would ask. On a protected environment
---the target's name is asked as well. A count of 0 asks nothing.
---@global guard
---@param client any a target, as `t.cache`
---@param opts {verb: string, count?: number, sample?: any[], ask?: string, note?: string, unit?: string}
---@return string how "typed", "approve", "plan" or "empty"
return function(client, opts)
	check(opts)
	local object = session.target_of(client)
	meet(client, object)
	local fields = { target = object:name(), verb = opts.verb,
		count = opts.count, sample = opts.sample }
	local how = effect.mode() == "plan" and "plan" or object:passed ""
		or opts.count == 0 and "empty"
	show(object, opts)
	if effect.mode() == "read" then refuse_mode(object, opts) end
	if how then
		-- not in a plan: its writes stay marked as needing approval
		if how == "approve" then object:pass(opts.verb, how) end
		fields.how = how
		effect.record("guard", fields)
		return how
	end
	if not session.interactive() then
		refuse(object, opts, "needs a person at a terminal, or --approve "
			.. object:name())
	end
	local wanted = opts.ask or tostring(opts.count)
	if session.config().protected then
		wanted = wanted .. " " .. object:name()
	end
	local answer = term.prompt(("  type '%s' to go on: "):format(wanted), {})
	if answer ~= wanted then
		refuse(object, opts, answer and "was not confirmed"
			or "got no answer")
	end
	object:pass(opts.verb, "typed")
	fields.how, fields.text = "typed", answer
	effect.record("guard", fields, true)
	return "typed"
end
