-- opsh targets: the targets at hand; with --connect each is asked who it is.
-- Without it nothing is connected to. One that can't be reached is a row that
-- says so, and exit 4 at the end. kind.state(client), where there is one, says how.
local fail = require "run.fail"
local targets = require "run.targets"
local words = require "run.words"

local EXIT_UNREACHABLE = 4

-- Asks one target. kind.ping(client) of its module makes the first exchange.
local function ask(target, row)
	local client, object = targets.open(target)
	local ping = require("opsh." .. target.kind).kind.ping
	if ping then
		ping(client)
	end
	row.identity, row.live_role = object:identity(), object:role()
	local kind = require("opsh." .. target.kind).kind
	row.state = kind.state and kind.state(client) or "ok"
end

local function connect(config, rows)
	local bad = false
	for _, row in ipairs(rows) do
		local ok, e = pcall(ask, config.targets[row.name], row)
		if not ok and fail.is(e) and e.kind == "cancelled" then
			error(e, 0)
		elseif not ok then
			bad = true
			row.state = fail.text(e)
		end
	end
	return bad
end

return {
	summary = "the targets, and with --connect who they are",
	usage = "[--connect]",
	options = {
		{ name = "connect", help = "connects to each and shows its identity" },
	},
	run = function(ctx, args)
		if #args > 0 then
			fail.usage("targets: unexpected argument '%s'", args[1])
		end
		local config = ctx.config()
		local rows = {}
		for _, name in ipairs(words.sorted(config.targets)) do
			local target = config.targets[name]
			rows[#rows + 1] = {
				name = name, kind = target.kind, address = target.address,
				role = target.role, description = target.description,
			}
		end
		if #rows == 0 then
			ctx.err(("no targets%s; add one: --target NAME=URL\n"):format(
				config.path and " in '" .. config.path .. "'"
				or ", nor a targets file"))
			return 0
		end
		local columns = { "name", "kind", "address", "role", "description" }
		local bad = false
		if args.options.connect then
			columns = { "name", "kind", "address", "role", "live_role",
				"state", "identity" }
			bad = connect(config, rows)
		end
		ctx.rows(rows, { columns = columns })
		return bad and EXIT_UNREACHABLE or 0
	end,
}
