-- opsh locks: who holds which lock, as the store of the targets file says. A view:
-- it takes nothing and frees nothing. A lease that has ended is shown as such:
-- the next run takes it over.
local fail = require "run.fail"
local holder = require "run.holder"

local function state_of(h)
	if h.left <= 0 then return "ended" end
	return holder.gone(h) and "process gone" or "held"
end

return {
	summary = "who holds which lock",
	options = {},
	help = "The store is what the targets file names: lock = { store = \"file\" "
		.. "or a target }.\nA lock whose run is dead is freed by `opsh unlock`. "
		.. "See `opsh help locks`.",
	run = function(ctx, args)
		if #args > 0 then
			fail.usage("locks: unexpected argument '%s'", args[1])
		end
		local store = require("run.lock").store()
		local rows = {}
		for _, h in ipairs(store:list()) do
			rows[#rows + 1] = { resource = h.resource, id = h.id,
				owner = h.owner, host = h.host, pid = h.pid, run = h.run,
				playbook = h.playbook, step = h.step, since = h.since,
				heartbeat = h.heartbeat, expires = h.expires,
				left = math.floor(h.left * 10) / 10,
				state = state_of(h) }
		end
		table.sort(rows, function(a, b) return a.resource < b.resource end)
		if #rows == 0 then
			ctx.err(("no lock is held in store '%s' (%s)\n"):format(store.name,
				store.where))
			return 0
		end
		ctx.rows(rows, { columns = { "id", "owner", "host", "run", "step",
			"since", "expires", "left", "state" }, cap = #rows + 1 })
		return 0
	end,
}
