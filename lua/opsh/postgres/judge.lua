-- judge: may this standby take over from this primary, and what would it cost? Pure
-- functions on what was seen (opsh.postgres.cluster): the same view gives the same
-- answer, so that each refusal is shown by a spec. Asks nothing, changes nothing.
local cluster = require "opsh.postgres.cluster"

local M = {}

-- What is judged.
---@class opsh.postgres.view
---@field mode "planned"|"emergency"
---@field primary opsh.postgres.node
---@field standby opsh.postgres.node
---@field others? table<string, opsh.postgres.node> siblings
---@field vantages? opsh.postgres.vantage[] emergency
---@field loss? {bytes?: integer, seconds?: number, commits?: integer, why?: string}
---@field process? string state of the primary's process, as its orchestrator says
---@field orchestrated boolean there is an orchestrator that can stop the primary
---@field pooled boolean there is a pooler that can hold writes back
---@field managed? boolean by Patroni, which fences and promotes
---@field fence "pooler"|"stop"|"both"
---@field lag_limit integer bytes that a planned one may have to catch up
---@field disk_free? number percent, on the standby

---@class opsh.postgres.verdict
---@field refuse string[] each is a reason against it; none: it may be done
---@field warn string[]
---@field done boolean it is done already: the standby is the primary
---@field clear_sync? string synchronous_standby_names that nobody would answer to

-- Limits that a standby must have at least as high as its primary, or it can't carry
-- what the primary did.
local CAPACITY <const> = { "max_connections", "max_worker_processes",
	"max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction" }

local function adder(list)
	return function(fmt, ...) list[#list + 1] = fmt:format(...) end
end

local function number(settings, name)
	return tonumber((settings or {})[name])
end

-- Names that synchronous_standby_names waits for; "*" is anybody.
local function sync_names(text)
	local inner = text:match "%((.*)%)" or text
	local names = {}
	for name in inner:gmatch "[^,]+" do
		name = name:match '^%s*"?(.-)"?%s*$'
		if name ~= "" then names[#names + 1] = name:lower() end
	end
	return names
end

---How many standbys synchronous_standby_names wants, and whom it names.
---@param text string
---@return integer wanted, string[] names
function M.sync(text)
	if not text:find "%S" then return 0, {} end
	local n = text:match "^%s*[Aa][Nn][Yy]%s+(%d+)%s*%("
		or text:match "^%s*[Ff][Ii][Rr][Ss][Tt]%s+(%d+)%s*%("
		or text:match "^%s*(%d+)%s*%("
	return math.tointeger(tonumber(n)) or 1, sync_names(text)
end

-- Who of the siblings would answer to these names?
local function answering(names, others)
	local n = 0
	for _, node in pairs(others or {}) do
		local own = ((node.settings or {}).cluster_name or ""):lower()
		for _, name in ipairs(names) do
			if node.asked and node.recovery and (name == "*" or name == own) then
				n = n + 1
				break
			end
		end
	end
	return n
end

-- --- the standby -----------------------------------------------------------------------

local function judge_capacity(view, refuse)
	for _, name in ipairs(CAPACITY) do
		local has = number(view.standby.settings, name)
		local needs = number(view.primary.settings, name)
		if has and needs and has < needs then
			refuse("%s is %d on the standby, %d on the primary: it can't carry "
				.. "the load", name, has, needs)
		end
	end
	if view.disk_free and view.disk_free < 2 then
		refuse("the standby's disk is full: %.1f %% are free", view.disk_free)
	end
end

local function judge_identity(view, refuse)
	local p, s = view.primary, view.standby
	if not s.system_identifier then
		refuse "the standby's system_identifier can't be read: use a role that may"
	elseif p.asked and p.system_identifier ~= s.system_identifier then
		refuse("the standby is of another cluster: system_identifier %s, the "
			.. "primary has %s", s.system_identifier, tostring(p.system_identifier))
	end
	if p.asked and p.version and s.version
		and p.version // 10000 ~= s.version // 10000 then
		refuse("major versions differ: primary %d, standby %d",
			p.version // 10000, s.version // 10000)
	end
	if p.asked and p.timeline and s.timeline and p.timeline ~= s.timeline then
		refuse("timelines differ: primary %d, standby %d", p.timeline, s.timeline)
	end
end

local function judge_candidate(view, refuse, warn)
	local s = view.standby
	if s.paused then
		refuse "replay is paused on the standby: pg_wal_replay_resume() first"
	end
	local delay = (s.settings or {}).recovery_min_apply_delay or "0"
	if tonumber(delay:match "^%-?%d+") ~= 0 then
		refuse("the standby applies with a delay (recovery_min_apply_delay = %s)",
			delay)
	end
	for name, other in pairs(view.others or {}) do
		local ahead = cluster.bytes(s.received, other.received)
		if other.asked and other.recovery and ahead and ahead > 0 then
			refuse("sibling '%s' has received %d bytes more than the standby",
				name, ahead)
		end
	end
	if (s.settings or {}).default_transaction_read_only == "on" then
		warn "default_transaction_read_only is on: it will refuse plain writes"
	end
end

local function judge_sync(view, out, warn)
	local names = (view.standby.settings or {}).synchronous_standby_names or ""
	local wanted, list = M.sync(names)
	if wanted == 0 then return end
	if answering(list, view.others) < wanted then
		out.clear_sync = names
		warn("synchronous_standby_names = '%s' on the standby names nobody who is "
			.. "there: commits would hang, so it is emptied before the promotion",
			names)
	end
end

-- --- the primary -------------------------------------------------------------------------

local function judge_planned(view, refuse)
	local p, s = view.primary, view.standby
	if not p.asked then
		refuse("the primary can't be asked (%s): mode=emergency is for one that is "
			.. "dead", p.why or "?")
		return
	elseif p.recovery then
		refuse("the primary is in recovery, it is none: mode=emergency is for one "
			.. "that is dead")
		return
	end
	if not view.orchestrated and not view.managed then
		refuse "the primary has to be stopped first: give the target 'orchestrator'"
	end
	local found
	for _, row in ipairs(p.standbys or {}) do
		found = found or row.state == "streaming"
	end
	if not found or not s.receiver or s.receiver.status ~= "streaming" then
		refuse("the standby does not stream from the primary (%s)", s.receiver
			and s.receiver.status or "it has no receiver")
	end
	local lag = cluster.bytes(s.replayed, p.flushed)
	if lag and lag > view.lag_limit then
		refuse("the standby is %d bytes behind, more than max_lag=%d", lag,
			view.lag_limit)
	end
end

local function judge_emergency(view, refuse, warn)
	if view.primary.asked and view.primary.recovery then
		warn "the primary answers, in recovery: it takes no writes"
	end
	for _, v in ipairs(view.vantages or {}) do
		if v.alive then
			refuse("the primary is alive, seen by %s: %s", v.name, v.why)
		end
	end
	if not view.vantages or #view.vantages < 2 then
		refuse "the primary's death must be seen from two sides"
	end
	if view.process == "running" and not view.orchestrated then
		refuse "its process runs, and there is nothing to stop it by"
	end
end

local function judge_fence(view, refuse)
	local needs = { pooler = { view.pooled }, stop = { view.orchestrated },
		both = { view.pooled, view.orchestrated } }
	for _, there in ipairs(needs[view.fence]) do
		if not there then
			refuse("fence=%s needs %s", view.fence, view.fence == "both"
				and "the targets 'pooler' and 'orchestrator'"
				or view.fence == "stop" and "the target 'orchestrator'"
				or "the target 'pooler'")
			return
		end
	end
	if view.mode == "planned" and view.fence == "pooler" then
		refuse "fence=pooler leaves the primary writable: a planned failover stops it"
	end
end

local function writable(view)
	local names = {}
	for name, node in pairs(view.others or {}) do
		if node.asked and not node.recovery then names[#names + 1] = name end
	end
	if view.primary.asked and not view.primary.recovery then
		names[#names + 1] = "primary"
	end
	if view.standby.asked and not view.standby.recovery then
		names[#names + 1] = "standby"
	end
	table.sort(names)
	return names
end

---Judges a failover. `refuse` is empty when it may be done.
---@param view opsh.postgres.view
---@return opsh.postgres.verdict
function M.failover(view)
	local out = { refuse = {}, warn = {}, done = false }
	local refuse, warn = adder(out.refuse), adder(out.warn)
	local up = writable(view)
	if #up > 1 then
		refuse("two nodes take writes: %s", table.concat(up, " and "))
		return out
	elseif not view.standby.asked then
		refuse("the standby can't be asked: %s", view.standby.why or "?")
		return out
	elseif not view.standby.recovery then
		out.done = true
		return out
	elseif #up == 1 and up[1] ~= "primary" then
		refuse("'%s' is the primary already", up[1])
	end
	judge_identity(view, refuse)
	judge_candidate(view, refuse, warn)
	judge_capacity(view, refuse)
	if not view.managed then
		judge_fence(view, refuse)
		judge_sync(view, out, warn)
	end
	if view.mode == "planned" then
		judge_planned(view, refuse)
	else
		judge_emergency(view, refuse, warn)
	end
	return out
end

-- --- the loss -----------------------------------------------------------------------------

---The loss as text: what would be lost at most.
---@param loss {bytes?: integer, seconds?: number, commits?: integer, why?: string}
---@return string
function M.loss_text(loss)
	if not loss.bytes then
		return ("not known (%s): %s"):format(loss.why or "the primary's WAL can't "
			.. "be read", loss.seconds and ("the standby's last transaction is "
			.. "%.1f s old"):format(loss.seconds) or "nor how old")
	end
	return ("%d bytes%s, %.1f s"):format(loss.bytes, loss.commits and (" (%d "
		.. "commits)"):format(loss.commits) or "", loss.seconds or 0)
end

---May that be lost, by what was given on the command line?
---@param loss {bytes?: integer, why?: string}
---@param max_loss integer? nil: not given; -1: any
---@return boolean ok, string? why not
function M.loss_accepted(loss, max_loss)
	if max_loss == -1 or loss.bytes and loss.bytes <= (max_loss or 0) then
		return true
	end
	if not loss.bytes then
		return false, "how much would be lost is " .. M.loss_text(loss)
	end
	return false, ("%d bytes would be lost, more than max_loss=%d"):format(
		loss.bytes, max_loss or 0)
end

---After it: how many nodes take writes? More than one is an alarm.
---@param nodes table<string, opsh.postgres.node>
---@return string[] names of those that do, sorted
function M.writable(nodes)
	local names = {}
	for name, node in pairs(nodes) do
		if node.asked and not node.recovery then names[#names + 1] = name end
	end
	table.sort(names)
	return names
end

return M
