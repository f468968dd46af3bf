-- step: the unit of a run. Its beginning, its end and its result are records; it
-- may be retried, limited in time, verified, settled by a probe when its outcome
-- is unknown, and undone when a later step fails. Owns the rules of these.
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local ctask = require "opsh.c.task"
local fail = require "run.fail"
local session = require "run.session"
local task = require "opsh.task"

local OPTIONS = { verify = "function", undo = "function", probe = "function",
	retry = "table", timeout = "number", idempotent = "boolean",
	again = "boolean" }
local RETRY = { attempts = "number", delay = "number", factor = "number",
	max_delay = "number" }

-- What another try can't mend, or must not.
local NO_RETRY = { cancelled = true, refused = true, guard = true,
	changed = true, unknown = true, withheld = true, usage = true,
	config = true, journal = true, busy = true, check = true, lua = true }

local function check_table(what, t, known)
	for name, value in pairs(t) do
		if not known[name] then
			error(("unknown option '%s' of %s"):format(tostring(name), what), 4)
		elseif type(value) ~= known[name] then
			error(("option '%s' of %s must be a %s, not a %s"):format(name,
				what, known[name], type(value)), 4)
		end
	end
end

local function check(name, opts, fn)
	if type(name) ~= "string" or name == "" or type(fn) ~= "function"
		or type(opts) ~= "table" then
		error("step(name, [options,] function) expected", 3)
	elseif name:find("\0", 1, true) then
		error("the name of a step can't hold a NUL byte", 3)
	end
	check_table("step", opts, OPTIONS)
	if opts.retry then
		check_table("retry", opts.retry, RETRY)
		local n = opts.retry.attempts
		if math.type(n) ~= "integer" or n < 1 then
			error("option 'attempts' of retry must be an integer, 1 or more", 3)
		end
	end
end

-- Runs f with the step's label, whatever it ends with.
local function labelled(label, f)
	local before = ctask.label(label)
	local _ <close> = setmetatable({}, { __close = function()
		ctask.label(before)
	end })
	return f()
end

-- What of an error goes on record.
local function plain(e)
	if not err.is(e) then return { kind = "lua", message = tostring(e) } end
	return { kind = e.kind, code = e.code, message = e.message,
		target = e.target, op = e.op, phase = e.phase, outcome = e.outcome }
end

local STRING_MAX = 65536	-- longer ones are cut in a record

-- A value that can stand in a record and be read back the same: no functions,
-- handles or secrets. nil, true when it can't.
local function recordable(v, depth)
	local kind = type(v)
	if kind == "string" then
		return v, #v > STRING_MAX or effect.mask(v) ~= v
	elseif kind == "table" then
		if depth > 6 or (getmetatable(v) and v.ok == nil) then
			return nil, true
		end
		-- a list, or names: JSON has no table that is both
		local out, lost, n, size = {}, false, 0, #v
		for k, item in pairs(v) do
			local copy, bad = recordable(item, depth + 1)
			if size == 0 and type(k) ~= "string" or size > 0
				and math.type(k) ~= "integer" then
				bad = true
			end
			out[k], lost, n = copy, lost or bad, n + 1
		end
		return out, lost or size > 0 and n ~= size
	elseif kind == "number" then
		return v, v ~= v or v == math.huge or v == -math.huge
	elseif kind == "boolean" or kind == "nil" then
		return v, false
	end
	return nil, true
end

-- The results of a step as a record holds them: {n =, v1 =, v2 = ...}.
local function record_of(results)
	local out, lost = { n = results.n - 1 }, false
	for n = 2, results.n do
		local copy, bad = recordable(results[n], 0)
		out["v" .. n - 1], lost = copy, lost or bad
	end
	return not lost and out or nil
end

-- The probe's answer settles an unknown outcome: true applied, false not.
local function settle(name, opts, e)
	if not (opts.probe and err.is(e) and e.kind == "unknown") then
		return nil
	end
	local applied = opts.probe(e)
	effect.record("probe", { step = name, applied = applied,
		error = plain(e) }, true)
	return applied
end

-- One try: true and results, or false, the error, and whether to try again.
local function attempt(name, opts, fn)
	local results
	if opts.timeout then
		results = table.pack(fail.protect(task.timeout, opts.timeout,
			fn))
	else
		results = table.pack(fail.protect(fn))
	end
	if results[1] then return results end
	local e = results[2]
	local applied = settle(name, opts, e)
	if applied == true then return { true, n = 1 } end
	if applied == false then return { false, e, again = true, n = 2 } end
	results.again = not (err.is(e) and (NO_RETRY[e.kind]
		or e.outcome == "unknown")) and err.is(e)
	return results
end

local function run(name, opts, fn)
	local retry = opts.retry or { attempts = 1 }
	local delay = retry.delay or 1
	for n = 1, retry.attempts do
		local results = attempt(name, opts, fn)
		if results[1] or n == retry.attempts or not results.again then
			return results
		end
		effect.record("retry", { step = name, attempt = n, delay = delay,
			error = plain(results[2]) })
		task.sleep(delay)
		delay = math.min(delay * (retry.factor or 2), retry.max_delay or 60)
	end
end

local function verify(name, opts, results)
	if effect.mode() == "plan" then return end
	local ok, why = opts.verify(table.unpack(results, 2, results.n))
	if not ok then
		error(err.new { kind = "verify", message = ("step '%s' is not "
			.. "verified: %s"):format(name, why or "its check said no") }, 0)
	end
end

-- What can't be shown must not fail the step that was done.
local function tell(kind, fields)
	if session.report and session.report[kind] then
		local ok, e = pcall(session.report[kind], fields)
		if not ok then
			require("opsh.log").warn("cannot show step '%s': %s", fields.name,
				tostring(e))
		end
	end
end

---Runs fn as one step. verify(result...) -> true | false, why: after it, not in
---a plan. retry: only failures known not applied, and only of the outside.
---probe(error) -> true applied | false not | nil unknown. undo(result...): when
---a later step fails. timeout: seconds. idempotent: running it again does no
---harm, so a resumed run does when its outcome is in doubt. again: it only looks, and
---a resumed run looks again; one that wrote is not run again for that.
---@global step
---@param name string
---@param opts? {verify?: function, undo?: function, probe?: function, retry?: {attempts: integer, delay?: number, factor?: number, max_delay?: number}, timeout?: number, idempotent?: boolean, again?: boolean}
---@param fn function
---@return any ... fn's results
return function(name, opts, fn)
	if fn == nil then opts, fn = {}, opts end
	check(name, opts, fn)
	if session.resumed then
		local before = session.resumed(name, opts)
		if before then return table.unpack(before, 1, before.n) end
	end
	local began, writes = ctask.now(), effect.status().writes
	local results, settled
	local before_step = session.step
	session.step = name
	-- a cancel passes every pcall: the step's end is recorded all the same
	local _ <close> = setmetatable({}, { __close = function(_, why)
		session.step = before_step
		if not settled then
			effect.record("step", { name = name, state = "cancelled",
				duration = ctask.now() - began, error = plain(why) })
		end
	end })
	local ok, e = fail.protect(labelled, effect.step(name), function()
		effect.record("step", { name = name, state = "begin" })
		tell("step", { name = name, state = "begin" })
		results = run(name, opts, fn)
		if not results[1] then error(results[2], 0) end
		if opts.verify then verify(name, opts, results) end
	end)
	settled = true
	local wrote = effect.status().writes - writes
	local fields = { name = name, duration = ctask.now() - began,
		writes = wrote, state = ok and "done" or "failed",
		verified = ok and opts.verify ~= nil and effect.mode() ~= "plan",
		result = ok and record_of(results) or nil, error = not ok and plain(e) or nil }
	effect.record("step", fields, wrote > 0)
	tell("step", fields)
	if not ok then error(e, 0) end
	if wrote > 0 and not opts.verify then
		table.insert(session.unverified, name)
	end
	if opts.undo and effect.mode() == "write" then
		table.insert(session.undos, { name = name, f = opts.undo,
			results = results })
	end
	return table.unpack(results, 2, results.n)
end
