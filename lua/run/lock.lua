-- lock: the lock of a run: taken before its checks, renewed by a task of its own,
-- given back at its end. Opens the store that the targets file names; a store is
-- a module run.lock.KIND with acquire, renew, release, break_, read and list.
-- Owns the order of these; that no write goes out without it is C's
-- (src/effect/lock.c). Must not use the clients of the playbook.
local clock = require "opsh.c.lock"
local ctask = require "opsh.c.task"
local effect = require "opsh.c.effect"
local err = require "opsh.c.err"
local fail = require "run.fail"
local holder = require "run.holder"
local session = require "run.session"
local sys = require "opsh.c.sys"

local lock = {}

local TTL = 30		-- seconds, unless the targets file says otherwise
local TILT = 2		-- a stall that is told
local PARTING = 0.3	-- for the keeper to end what it has begun

---Seconds of a lease.
---@return number
function lock.ttl()
	return session.config().lock.ttl or TTL
end

-- A client that nobody else uses, with deadlines that leave time for another try
-- within a lease, unless that is short.
local function connect(target)
	local options = {}
	for k, v in pairs(target.options) do options[k] = v end
	local patience = math.min(5, math.max(3, lock.ttl() / 3))
	options.timeout = math.min(options.timeout or patience, patience)
	options.connect_timeout = math.min(options.connect_timeout or patience,
		patience)
	return require("run.targets").open(setmetatable({ options = options },
		{ __index = target }), target.role)
end

---The store that the targets file names; a file's by default.
---@return table store
function lock.store()
	local config = session.config()
	local name = config.lock.store
	if name == "file" then
		return require "run.lock.file"(config.lock)
	end
	local target = config.targets[name]
	local module = ("lua/run/lock/%s.lua"):format(target.kind)
	if not sys.file(module) then
		fail.config("lock store '%s' is of kind '%s': no locks can be kept "
			.. "there", name, target.kind)
	end
	local client, object = connect(target)
	local store = require("run.lock." .. target.kind)(config.lock, client)
	store.name, store.object, store.where = name, object, target.address
	store.ping = function()
		require("opsh." .. target.kind).kind.ping(client)
	end
	return store
end

-- Calls of the lock's own: they pass without a lock and are no write of the run.
local function as_lock(f, ...)
	local before = ctask.label(clock.label())
	local _ <close> = setmetatable({}, { __close = function()
		ctask.label(before)
	end })
	return f(...)
end

local function tell(fields)
	effect.record("lock", fields, true)
	local report = session.report
	if report and report.lock then report.lock(fields) end
end

local function busy(name, h)
	fail.raise { kind = "busy", code = "LOCK", message = h
		and ("lock '%s' is held by %s"):format(name, holder.text(h))
		or ("lock '%s' was just taken by somebody else"):format(name),
		hint = ("nothing was done; opsh locks shows it, and opsh unlock %s "
			.. "frees it when its run is dead"):format(name) }
end

-- What a store's address, or who its server says it is, has in common with a
-- target's: a standby has its primary's system identifier.
local function same_server(a, b)
	if a == b or a:kind() ~= b:kind() then return a == b end
	local function cluster(t)
		return (t:identity() or ""):match "system=(%d+)"
	end
	return a:name() == b:name() or a:identity() ~= nil
		and a:identity() == b:identity() or cluster(a) ~= nil
		and cluster(a) == cluster(b) or a:address() ~= nil
		and a:address() == b:address()
end

-- A lock that goes down with what it guards is none.
local function refuse_same(store, pb, clients)
	for _, name in ipairs(require("run.words").sorted(clients)) do
		local need = pb.needs[name]
		local object = session.target_of(clients[name])
		if need.lock == false and store.object
			and same_server(store.object, object) then
			fail.raise { kind = "config", code = "LOCK", target = object:name(),
				message = ("lock store '%s' is the server of target '%s', which "
				.. "playbook '%s' may take down: the lock would go with it")
				:format(store.name, object:name(), pb.name), hint = "name "
				.. "another store in the targets file, such as lock = { store = "
				.. "\"file\" }" }
		end
	end
end

-- Takes it: the token, or nil and who has it. When the answer was lost the store
-- is asked who holds it: the nonce says whether it is us.
local function acquire(store, name, me, ttl)
	local ok, token, other = pcall(store.acquire, store, name, me, ttl)
	if ok then return token, other end
	if not (err.is(token) and token.outcome == "unknown") then
		error(token, 0)
	end
	local h = store:read(name)
	if h and h.nonce == me.nonce then return h.token end
	error(token, 0)
end

-- The holder of this same run: it was interrupted and is resumed. Its journal is
-- ours now, which a live process would not have let go; nobody else has it.
local function break_own(store, name, h)
	if not h or h.run ~= effect.status().run or not holder.gone(h) then
		return false
	end
	tell { state = "broken", resource = name, id = h.id, store = store.name,
		why = "held by this run, whose process is gone" }
	return store:break_(name, h.token, h.nonce)
end

-- The keeper ----------------------------------------------------------------------

local function lost(held, h)
	local why = h and ("it is held by %s (token %d, ours was %d)"):format(
		holder.text(h), h.token, held.token)
		or ("its store has no token %d any more"):format(held.token)
	clock.lose(why)
	require("opsh.log").error("lock '%s' lost: %s", held.name, why)
	tell { state = "lost", resource = held.name, store = held.store.name,
		token = held.token, why = why }
end

local function unreachable(held, e)
	local first = not clock.state().unreachable
	clock.unreachable(fail.text(e))
	if not first then return end
	require("opsh.log").warn("lock '%s' can't be confirmed: store '%s': %s",
		held.name, held.store.name, fail.text(e))
	tell { state = "unreachable", resource = held.name,
		store = held.store.name, why = fail.text(e),
		left = clock.state().left }
end

-- Asks the store; renew: and makes the lease longer.
local function ask(held, renew)
	local sent = ctask.now()
	holder.beat(held.me)
	local ok, yes, h = pcall(function()
		if renew then
			return held.store:renew(held.name, held.token, held.me, held.ttl)
		end
		local found = held.store:read(held.name)
		return found ~= nil and found.token == held.token
			and found.nonce == held.me.nonce, found
	end)
	if not ok then
		unreachable(held, yes)
	elseif yes then
		local back = clock.state().unreachable
		clock.confirm(sent, renew)
		if back then
			tell { state = "confirmed", resource = held.name,
				store = held.store.name, token = held.token }
		end
		return true
	else
		lost(held, h)
	end
	return false
end

-- Ends when the lock is let go, or lost. A stall is told, and the store asked at
-- once: another may have the lock since.
local function keep(held)
	local tick = math.min(1, held.ttl / 3)
	local due = held.sent + held.ttl / 3
	while true do
		local why, late = clock.next(tick)
		local state = clock.state()
		if why == "stop" or not state or state.lost then return end
		if late > TILT then
			tell { state = "tilt", resource = held.name, seconds = late }
			why = "check"
		end
		if ctask.now() >= due or state.unreachable then
			if ask(held, true) then due = ctask.now() + held.ttl / 3 end
		elseif why == "check" then
			ask(held, false)
		end
	end
end

-- What goes wrong in the keeper itself must reach those who wait for it.
local function keeper(held)
	return function()
		local ok, e = pcall(keep, held)
		if not ok and clock.state() then
			clock.unreachable("its keeper failed: " .. fail.text(e))
			require("opsh.log").error("lock '%s': its keeper failed: %s",
				held.name, fail.text(e))
		end
	end
end

-- Taking and giving back ---------------------------------------------------------

-- Whatever ended the run: what can't be given back ends by itself.
local function let_go(held)
	local state = clock.state()
	clock.drop()
	held.keeper:deadline(PARTING)
	pcall(held.keeper.wait, held.keeper)
	if state and state.lost then return end
	local ok, done = pcall(as_lock, held.store.release, held.store, held.name,
		held.token, held.me.nonce)
	local fields = { state = ok and done and "released" or "left",
		resource = held.name, store = held.store.name, token = held.token,
		why = not ok and fail.text(done) or not done
			and "the store has another token, or none" or nil }
	if fields.state == "left" then
		require("opsh.log").warn("lock '%s' could not be given back, it ends by "
			.. "itself: %s", held.name, fields.why)
	end
	pcall(tell, fields)
end

local Held = { __close = let_go }

---Takes the lock of a playbook, or raises kind busy (exit 11), which says who has
---it. What is returned gives it back when it is closed; nil when the playbook asks
---for none.
---@param pb table the playbook
---@param clients table<string, any> of its needs, connected
---@return table? held
function lock.take(pb, clients)
	if not pb.lock then return nil end
	local store, ttl = lock.store(), lock.ttl()
	if store.ping then store.ping() end
	refuse_same(store, pb, clients)
	local me = holder.me(pb.name)
	local sent, token, other
	for _ = 1, 2 do
		sent = ctask.now()
		token, other = as_lock(acquire, store, pb.lock, me, ttl)
		if token or not as_lock(break_own, store, pb.lock, other) then break end
	end
	if not token then busy(pb.lock, other) end
	local held = setmetatable({ name = pb.lock, store = store, token = token,
		me = me, ttl = ttl, sent = sent }, Held)
	clock.hold { resource = pb.lock, store = store.name, token = token,
		ttl = ttl, sent = sent }
	held.keeper = clock.keeper(keeper(held))
	tell { state = "acquired", resource = pb.lock, store = store.name,
		token = token, id = ("%s#%d"):format(pb.lock, token), ttl = ttl }
	return held
end

---Runs f in a task of its own, which ends after all that it spawned: nothing of
---the run is left when the lock is given back.
---@param f function
---@return any ... f's results
function lock.within(f)
	local handle = ctask.spawn(f)
	ctask.join { handle }
	return handle:wait()
end

---For a plan, which takes no lock: who holds it now. One that can't be asked is
---told, not raised.
---@param pb table
function lock.look(pb)
	if not pb.lock then return end
	local ok, h = pcall(function() return lock.store():read(pb.lock) end)
	local fields = { state = not ok and "unreachable" or h and h.left > 0
		and "held" or "free", resource = pb.lock, why = not ok and fail.text(h)
		or nil }
	if fields.state == "held" then
		fields.id, fields.run, fields.why = h.id, h.run, holder.text(h)
	end
	tell(fields)
end

return lock
