-- :connect: adds a target to the session, opens one and says who it is. What was
-- another target before is taken as it is now only here, and on record. A password is
-- asked without echo: it stands in no history.
local session = require "run.session"
local targets = require "repl.targets"

local function password_of(ctx, name)
	local term = require "opsh.c.term"
	local answer = (ctx.ask or term.prompt)(("password of '%s': "):format(name),
		{ secret = true })
	if not answer or answer == "" then
		require("run.fail").usage(":connect: no password was given, '%s' is "
			.. "not added", name)
	end
	return answer
end

-- A user and no password, where one can be typed.
local function wants_password(ctx, target)
	local u = target.url or {}
	return u.user and not u.password and (ctx.ask or session.interactive())
end

local function tell(ctx, met)
	ctx.out(("%s '%s'%s: %s%s%s\n"):format(
		met.identity and "connected to" or "reached", met.name,
		met.address and " (" .. met.address .. ")" or "",
		met.identity or met.kind, met.role and " role=" .. met.role or "",
		met.latency and ", " .. targets.milliseconds(met.latency) or ""))
	if met.was then
		ctx.err(("taken as it is now; it was %s\n"):format(met.was))
	end
	if met.wanted and met.role and met.wanted ~= met.role then
		ctx.err(("its targets entry wants a %s: writes are refused\n"):format(
			met.wanted))
	end
end

return {
	name = "connect",
	summary = "opens a target and says who it is; NAME=URL adds one",
	usage = "NAME|NAME=URL [--password]",
	args = { { name = "NAME", kind = "target" } },
	options = {
		{ name = "password", help = "asks for one, without echo" },
	},
	help = [[
:connect cache                       who is it? a changed target is taken as it is
:connect other=redis://host:6379/0   adds a target for this session
:connect db=postgresql://ops@host/x  asks for the password of ops]],
	run = function(ctx, args)
		local name = args[1]:match "^([^=]*)="
		if not name then
			tell(ctx, targets.meet(args[1]))
			return
		end
		-- what it is made of is checked first: nobody types for nothing
		local target, password = targets.parse(args[1]), nil
		local kind = not target.absent and require("opsh." .. target.kind).kind
		if kind and kind.options and kind.options.password
			and (args.options.password or wants_password(ctx, target)) then
			password = password_of(ctx, name)
		end
		local replaced = targets.add(ctx, args[1], password)
		if replaced then
			ctx.err(("'%s' is another target from here on\n"):format(name))
		end
		tell(ctx, targets.meet(name))
	end,
}
