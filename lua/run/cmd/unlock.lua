-- opsh unlock: frees the lock of a run that is dead. Needs two things: a proof
-- that it is (its process is gone from this machine, or its lease has ended), and
-- the lock's id, typed by a person or given. On record. Must not free the lock of
-- a run that may be alive: that one is stopped by its own person.
local effect = require "opsh.c.effect"
local fail = require "run.fail"
local holder = require "run.holder"
local session = require "run.session"

-- Why its holder is known not to write any more; nil when it is not known.
local function proof_of(h)
	if h.left <= 0 then
		return ("its lease ended %.0f s ago"):format(-h.left)
	elseif holder.gone(h) then
		return ("process %d of run %s is gone from this machine"):format(h.pid,
			h.run)
	end
end

local function refuse(h, why, hint)
	effect.record("unlock", { resource = h.resource, id = h.id, state = "refused",
		why = why })
	fail.raise { kind = "guard", outcome = "refused", message = ("lock '%s' "
		.. "was not freed: %s"):format(h.resource, why), hint = hint }
end

-- The id of what was seen: another holder has another one.
local function confirm(h, given)
	local term = require "opsh.c.term"
	if given then
		if given ~= h.id then
			refuse(h, ("it is '%s' now, not '%s'"):format(h.id, given))
		end
		return "given"
	elseif not session.interactive() then
		refuse(h, "needs a person at a terminal, or its id",
			"--lock " .. h.id)
	end
	if term.prompt(("  type '%s' to go on: "):format(h.id), {}) ~= h.id then
		refuse(h, "its id was not typed")
	end
	return "typed"
end

return {
	summary = "free the lock of a run that is dead",
	usage = "RESOURCE [--lock ID]",
	options = {
		{ name = "lock", arg = "ID", help = "the lock's id, RESOURCE#TOKEN as "
		  .. "opsh locks shows it: instead of typing it" },
	},
	help = "Refused (exit 14) unless the holder's process is gone from this "
		.. "machine, or its\nlease has ended. On another machine run it there, "
		.. "or wait for the lease's end.",
	run = function(ctx, args)
		local name = args[1]
		if not name or #args > 1 then
			fail.usage("unlock: which lock? usage: opsh unlock RESOURCE")
		end
		session.begin("write", { command = "unlock", resource = name }, true)
		local store = require("run.lock").store()
		local h = store:read(name)
		if not h then
			ctx.err(("lock '%s' is not held\n"):format(name))
			return 0
		end
		ctx.err(("lock %s is held by %s\n"):format(h.id, holder.text(h)))
		local proof = proof_of(h)
		if not proof then
			refuse(h, "its holder may be alive", ("ask its owner; on host '%s' "
				.. "opsh unlock sees whether process %s runs; its lease ends "
				.. "%s"):format(h.host, h.pid or "?", h.expires))
		end
		ctx.err(("its run is dead: %s\n"):format(proof))
		local how = confirm(h, args.options.lock)
		effect.record("unlock", { resource = name, id = h.id, state = "broken",
			why = proof, how = how, holder = { run = h.run, host = h.host,
			owner = h.owner } }, true)
		if not store:break_(name, h.token, h.nonce) then
			refuse(h, "somebody else has it since")
		end
		ctx.err(("lock '%s' is free\n"):format(name))
		return 0
	end,
}
