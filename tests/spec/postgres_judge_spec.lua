-- Specs of opsh.postgres.judge: each reason for which a failover is refused, one a case,
-- from a view that is well; what is warned of, what would be lost, who takes writes.
-- Owns the views; there is no server.
local judge = require "opsh.postgres.judge"

local SETTINGS <const> = { max_connections = "100", max_worker_processes = "8",
	max_wal_senders = "10", max_prepared_transactions = "5",
	max_locks_per_transaction = "64", recovery_min_apply_delay = "0ms",
	synchronous_standby_names = "", default_transaction_read_only = "off" }

local function settings(changed)
	local out = {}
	for k, v in pairs(SETTINGS) do out[k] = v end
	for k, v in pairs(changed or {}) do out[k] = v end
	return out
end

local function node(fields)
	local out = { name = "n", asked = true, answers = true,
		system_identifier = "7", timeline = 3, version = 150018,
		settings = settings() }
	for k, v in pairs(fields) do out[k] = v end
	return out
end

local function standby(fields)
	local out = node { recovery = true, received = "0/5000000",
		replayed = "0/5000000", paused = false,
		receiver = { status = "streaming", silent = 0.1 } }
	for k, v in pairs(fields or {}) do out[k] = v end
	return out
end

local function primary(fields)
	local out = node { recovery = false, flushed = "0/5000000",
		standbys = { { name = "standby", state = "streaming", sync = "async" } } }
	for k, v in pairs(fields or {}) do out[k] = v end
	return out
end

local function planned(fields)
	local view = { mode = "planned", primary = primary(), standby = standby(),
		others = {}, orchestrated = true, pooled = true, fence = "both",
		lag_limit = 1 << 20, disk_free = 50 }
	for k, v in pairs(fields or {}) do view[k] = v end
	return view
end

local DEAD <const> = { name = "primary", asked = false, answers = false,
	why = "connection refused" }

local function emergency(fields)
	local view = planned { mode = "emergency", primary = DEAD,
		standby = standby { receiver = false }, loss = { bytes = 0 },
		vantages = { { name = "connection", alive = false, why = "refused" },
			{ name = "standby", alive = false, why = "no receiver" } } }
	for k, v in pairs(fields or {}) do view[k] = v end
	return view
end

-- The only reason holds this text.
local function refuses(view, text)
	local v = judge.failover(view)
	eq(#v.refuse, 1)
	ok(v.refuse[1]:find(text, 1, true), v.refuse[1])
end

local function allows(view)
	local v = judge.failover(view)
	eq(table.concat(v.refuse, "; "), "")
	return v
end

describe("postgres judge, any failover", function()
	it("allows what is well", function()
		eq(#allows(planned()).warn, 0)
		eq(#allows(emergency()).warn, 0)
	end)

	it("refuses when two nodes take writes", function()
		refuses(planned { standby = standby { recovery = false } },
			"two nodes take writes: primary and standby")
		refuses(planned { others = { c = node { recovery = false } } },
			"two nodes take writes: c and primary")
		refuses(emergency { others = { c = node { recovery = false } } },
			"'c' is the primary already")
	end)

	it("sees what is done already", function()
		local v = judge.failover(emergency { standby =
			standby { recovery = false } })
		eq(v.done, true)
		eq(#v.refuse, 0)
	end)

	it("refuses a standby that can't be asked", function()
		refuses(planned { standby = { name = "standby", asked = false,
			why = "no route" } }, "the standby can't be asked: no route")
	end)

	it("refuses another cluster, version or timeline", function()
		refuses(planned { standby = standby { system_identifier = "8" } },
			"another cluster: system_identifier 8")
		refuses(planned { standby = standby { version = 160001 } },
			"major versions differ: primary 15, standby 16")
		refuses(planned { standby = standby { timeline = 2 } },
			"timelines differ: primary 3, standby 2")
		local s = standby()
		s.system_identifier = nil
		refuses(emergency { standby = s }, "system_identifier can't be read")
		allows(planned { standby = standby { version = 150001 } })
	end)

	it("refuses replay that is paused or delayed", function()
		refuses(planned { standby = standby { paused = true } },
			"replay is paused")
		refuses(planned { standby = standby { settings = settings {
			recovery_min_apply_delay = "60000ms" } } }, "applies with a delay")
	end)

	it("refuses when a sibling has more", function()
		refuses(planned { others = { c = standby { received = "0/5000100" } } },
			"sibling 'c' has received 256 bytes more")
		allows(planned { others = { c = standby { received = "0/4000000" } } })
	end)

	it("refuses a standby that can't carry the load", function()
		for _, name in ipairs { "max_connections", "max_worker_processes",
			"max_wal_senders", "max_prepared_transactions",
			"max_locks_per_transaction" } do
			refuses(planned { standby = standby { settings = settings {
				[name] = "1" } } }, name .. " is 1 on the standby")
		end
		allows(planned { standby = standby { settings = settings {
			max_connections = "500" } } })
		refuses(planned { disk_free = 1.5 }, "disk is full: 1.5 % are free")
	end)

	it("refuses a fence that can't be raised", function()
		refuses(planned { pooled = false }, "fence=both needs")
		refuses(emergency { orchestrated = false, fence = "stop" },
			"fence=stop needs the target 'orchestrator'")
		refuses(emergency { pooled = false, fence = "pooler" },
			"fence=pooler needs the target 'pooler'")
		refuses(planned { fence = "pooler" }, "leaves the primary writable")
		allows(emergency { orchestrated = false, fence = "pooler" })
	end)

	it("sees synchronous_standby_names that nobody answers to", function()
		local function with(names, others)
			return judge.failover(planned { others = others or {},
				standby = standby { settings = settings {
				synchronous_standby_names = names } } })
		end
		eq(with "".clear_sync, nil)
		eq(with "dead".clear_sync, "dead")
		ok(with "dead".warn[1]:find("commits would hang", 1, true))
		local c = { c = standby { settings = settings { cluster_name = "C" } } }
		eq(with("c", c).clear_sync, nil)
		eq(with("*", c).clear_sync, nil)
		eq(with("FIRST 2 (c, d)", c).clear_sync, "FIRST 2 (c, d)")
		eq(with("ANY 1 (c, d)", c).clear_sync, nil)
	end)

	it("reads synchronous_standby_names", function()
		local n, names = judge.sync 'ANY 2 (a, "B b", c)'
		eq(n, 2)
		eq(table.concat(names, "|"), "a|b b|c")
		eq(judge.sync "  ", 0)
		eq(judge.sync "a, b", 1)
		eq(judge.sync "3 (a, b, c)", 3)
	end)

	it("warns of a standby that refuses plain writes", function()
		local v = allows(planned { standby = standby { settings = settings {
			default_transaction_read_only = "on" } } })
		ok(v.warn[1]:find("default_transaction_read_only", 1, true))
	end)
end)

describe("postgres judge, managed", function()
	it("needs nothing that fences", function()
		allows(planned { managed = true, orchestrated = false, pooled = false })
		allows(emergency { managed = true, orchestrated = false, pooled = false })
		refuses(emergency { managed = true, vantages = {} }, "from two sides")
	end)
end)

describe("postgres judge, planned", function()
	it("refuses a primary that is dead, or none", function()
		refuses(planned { primary = DEAD }, "mode=emergency is for one")
		refuses(planned { primary = standby() }, "it is none: mode=emergency is for one")
	end)

	it("refuses without something that stops the primary", function()
		local v = judge.failover(planned { orchestrated = false })
		ok(table.concat(v.refuse, "; "):find("has to be stopped first", 1, true))
	end)

	it("refuses a standby that does not stream", function()
		refuses(planned { standby = standby { receiver = false } },
			"it has no receiver")
		refuses(planned { primary = primary { standbys = {} } },
			"does not stream from the primary")
	end)

	it("refuses one that is far behind", function()
		refuses(planned { standby = standby { replayed = "0/4000000" } },
			"16777216 bytes behind, more than max_lag=1048576")
		allows(planned { standby = standby { replayed = "0/4FF0000" } })
	end)
end)

describe("postgres judge, emergency", function()
	it("refuses when anybody has seen the primary alive", function()
		for n = 1, 2 do
			local view = emergency()
			view.vantages = { { name = "connection", alive = n == 1,
				why = "x" }, { name = "standby", alive = n == 2, why = "y" } }
			refuses(view, n == 1 and "alive, seen by connection: x"
				or "alive, seen by standby: y")
		end
	end)

	it("refuses to believe one side", function()
		refuses(emergency { vantages = { { name = "connection", alive = false,
			why = "x" } } }, "from two sides")
	end)

	it("goes on when the primary came back as a standby", function()
		local v = allows(emergency { primary = standby() })
		ok(v.warn[1]:find("in recovery", 1, true))
	end)

	it("refuses a process that runs and can't be stopped", function()
		refuses(emergency { orchestrated = false, fence = "pooler",
			process = "running" }, "its process runs")
	end)
end)

describe("postgres judge, loss", function()
	it("is text", function()
		eq(judge.loss_text { bytes = 80, commits = 2, seconds = 0.25 },
			"80 bytes (2 commits), 0.2 s")
		ok(judge.loss_text { why = "no folder", seconds = 3 }:find(
			"not known (no folder)", 1, true))
	end)

	it("is accepted up to what was given", function()
		eq(judge.loss_accepted({ bytes = 0 }, nil), true)
		eq(judge.loss_accepted({ bytes = 1 }, nil), false)
		eq(judge.loss_accepted({ bytes = 10 }, 10), true)
		local fine, why = judge.loss_accepted({ bytes = 11 }, 10)
		eq(fine, false)
		ok(why:find("more than max_loss=10", 1, true))
		eq(judge.loss_accepted({}, 1 << 40), false)
		eq(judge.loss_accepted({}, -1), true)
	end)

	it("finds who takes writes", function()
		eq(table.concat(judge.writable { b = primary(), a = primary(),
			c = standby(), d = DEAD }, " "), "a b")
	end)
end)
