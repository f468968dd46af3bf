-- gateway/circuit-breaker: an open circuit breaker closed again: what the gateway says
-- and which of its dependencies is down by its own protocol, that one restarted under
-- a guard and waited for, then the breaker's own time waited out, until it is closed and
-- orders flow. It never resets a breaker: it mends what the breaker opened for. Not
-- closed in time: says why and what to try (exit 1).
local breaker = require "opsh.breaker"
local depend = require "opsh.breaker.depend"
local logs = require "opsh.logs"
local recover = require "opsh.breaker.recover"
local roll = require "opsh.roll"

local function report(p, seen)
  show(recover.rows(p, seen), { columns = { "what", "state", "detail", "runs" } })
  if seen.lines and #seen.lines > 0 then
    log.info("its log has %d lines with '%s', the last:", seen.count, p.word)
    for _, entry in ipairs(seen.lines) do log.info("  %s", logs.line(entry)) end
  end
end

-- --- mending ------------------------------------------------------------------

local WHAT_GOES <const> = {
  redis = "what it has not saved (RDB, AOF) is lost when it is restarted",
  kafka = "clients of it wait meanwhile; what it has acknowledged stays",
}

local function ask(t, dep, units, word)
  local sample = {}
  for n, one in ipairs(units) do
    sample[n] = ("%s %s: %s"):format(one.starts and "start" or "restart",
      one.unit, one.text)
  end
  guard(t.orchestrator, { verb = word, count = #units,
    unit = dep.name == "kafka" and "broker" or "server",
    sample = sample, note = word == "restart" and WHAT_GOES[dep.name] or nil })
end

local function start(t, units)
  for _, one in ipairs(units) do
    if one.starts then
      t.orchestrator:start(one.unit)
    else
      t.orchestrator:restart(one.unit)
    end
  end
end

local function wait_well(t, p, dep)
  local said
  return depend.wait(dep, t.orchestrator, { timeout = p.timeout, steady = p.steady,
    probe = p.probe, on_wait = function(now)
      if now ~= said then log.info("%s: %s", dep.name, now) end
      said = now
    end })
end

-- Started, then waited for by its own protocol; again while there are tries left.
local function start_until_well(t, p, dep, units, tries)
  while true do
    tries[dep.name] = (tries[dep.name] or 0) + 1
    start(t, units)
    if roll.is_plan() then return end
    local ok, cause, detail = wait_well(t, p, dep)
    if ok then return detail end
    local n = tries[dep.name]
    if n >= p.attempts or cause == "unreachable" then
      breaker.give_up(cause, ("%s %s after %d start%s: %s"):format(dep.name,
        cause == "flapping" and "comes and goes" or "stays down", n,
        n == 1 and "" or "s", detail), depend.next(dep))
    end
    log.warn("%s: %s; once more", dep.name, detail)
    units = depend.broken(dep, t.orchestrator:status())
  end
end

local function mend(t, p, seen, dep, tries)
  local check, word = seen.checks[dep.name], "start"
  if not t.orchestrator or #dep.services == 0 then
    breaker.give_up("unreachable", ("%s is down (%s), and nothing here can start "
      .. "it: no orchestrator, or no service has the target '%s'"):format(dep.name,
      check.detail, dep.target or dep.name), { "start it where it runs, and run "
      .. "this again" })
  end
  local units, coming = depend.broken(dep, seen.status)
  if coming and not roll.is_plan() then
    log.info("%s is starting already: it is waited for", dep.name)
    if step("wait for " .. dep.name, { again = true }, function()
      return (wait_well(t, p, dep))
    end) then return end
    units = depend.broken(dep, t.orchestrator:status())
  end
  for _, one in ipairs(units) do word = one.starts and word or "restart" end
  ask(t, dep, units, word)
  step(("%s %s"):format(word, dep.name), { idempotent = word == "start",
    verify = function()
      local now = depend.check(dep, p.probe)
      return now.ok, now.detail
    end,
  }, function() return start_until_well(t, p, dep, units, tries) end)
  if dep.name == "redis" and not roll.is_plan() and depend.is_bare(dep.client) then
    log.warn("redis has started without data: what it had not saved is gone; "
      .. "restore it, or see opsh run redis/inventory")
  end
end

-- Errors that say something of Kafka, and not of us.
local OUTSIDE <const> = { connect = true, timeout = true, server = true,
  unknown = true, protocol = true, check = true }

-- Metadata may be well where messages are not taken.
local function round_trip(t, p, doubtful)
  if not t.events or p.topic == "none" or roll.is_plan() or doubtful then return end
  local trip = step("round trip", { verify = function(trip)
    return trip.ok
  end }, function()
    local trip, e = try(recover.round_trip, t.events, p.topic, 10)
    if trip then return trip end
    if not OUTSIDE[e.kind] then error(e, 0) end
    breaker.give_up("unreachable", ("kafka answers, but does not take a message and "
      .. "give it back: %s"):format(e.message), { "opsh run kafka/health" })
  end)
  log.info("kafka takes a message and gives it back in %.0f ms",
    trip.total * 1000)
end

-- --- the breaker's own time ---------------------------------------------------

-- One order of ours while it is half-open, when one was given.
local function try_order(t, p, track)
  local r, e = try(t.gateway.post, t.gateway, p.orders, { json = json.decode(p.order),
    timeout = 10, idempotency_key = ("opsh-%d-%d"):format(os.time(),
    math.random(1 << 30)) })
  log.info("our order while it is half-open (attempt %d): %s",
    math.max(1, track.attempts), r and ("status %d"):format(r.status) or e.message)
end

local function wait_closed(t, p, seen, track)
  return step("wait for the breaker", { again = true,
    timeout = p.breaker_timeout + 60, verify = function(ended)
      return ended ~= nil or breaker.recovered(track.last)
    end }, function()
    return recover.await(t, p, seen, track, {
      change = function(text) log.info("%s: %s", p.service, text) end,
      half_open = p.order and function() try_order(t, p, track) end or nil })
  end)
end

-- Mends and waits; once more when a dependency is lost meanwhile.
local function close(t, p, seen)
  local tries, track = {}, breaker.track()
  while true do
    local down, doubtful = recover.down(seen)
    for _, name in ipairs(doubtful) do
      log.warn("%s does not answer us, but '%s' reaches it: is the address of its "
        .. "target right?", name, p.service)
    end
    for _, dep in ipairs(down) do mend(t, p, seen, dep, tries) end
    round_trip(t, p, doubtful[1] == "kafka")
    if roll.is_plan() then return end
    local ended, checks = wait_closed(t, p, seen, track)
    if not ended then return end
    local lost = checks[ended]
    if not lost or (tries[ended] or 0) >= p.attempts then
      breaker.give_up(breaker.why(recover.facts(system, t, p, seen, track,
        checks)))
    end
    log.warn("%s is down (again): %s", ended, lost.detail)
    seen.checks, seen.sample = checks, track.last
    seen.status = t.orchestrator and t.orchestrator:status()
  end
end

-- What the targets file knows where no parameter says otherwise.
local function with_patterns(p)
  local patterns = system.patterns
  return setmetatable({ group = p.group or patterns.group,
    word = p.word or patterns.circuit_log or "circuit" }, { __index = p })
end

return {
  name = "gateway/circuit-breaker",
  summary = "Close an open circuit breaker: mend what it opened for, prove it",
  description = [[
    Reads the gateway's /health and breaker metric and asks what it depends on by its
    own protocol: Kafka's metadata, leaders and a message through a probe topic,
    Redis' PING; shows the gateway's log around 'circuit'. What is down is started or
    restarted through the orchestrator, under a guard, and waited for. Then the
    breaker's own time is waited out, each attempt shown, until it is closed, calls
    its dependencies well, orders are taken and the group's lag is worked off.

    A half-open breaker needs an order that tries: the customers', or one of ours,
    order='{"user_id":"ops","item_id":"101"}'. Not closed in time: exit 1, with the
    reason (still unreachable, comes and goes, wrong address, pending) and what to
    try.]],
  severity = "P0",
  tags = { "gateway", "kafka", "incident" },
  runbook = "flash sale 'Circuit Breaker Open'",
  lock = "circuit-breaker",
  needs = {
    gateway = { kind = "http", reach = false, help = "the service with the breaker" },
    events = { kind = "kafka", optional = true, reach = false, lock = false,
      help = "Kafka that it puts orders into" },
    cache = { kind = "redis", optional = true, reach = false, lock = false,
      help = "Redis that it needs" },
    orchestrator = { kind = { "compose", "kubernetes", "local" }, optional = true,
      lock = false, help = "what runs them" },
  },
  params = {
    service = { type = "string", default = "gateway",
      help = "the gateway's service in the targets file" },
    health = { type = "string", default = "/health", help = "its health" },
    metrics = { type = "string", default = "/metrics", help = "its metrics" },
    orders = { type = "string", default = "/orders", help = "where orders go" },
    order = { type = "string", help = "JSON of an order to try with while it is "
      .. "half-open", example = '{"user_id":"ops","item_id":"101"}' },
    group = { type = "string", help = "consumer group that works orders off "
      .. "(default: patterns.group of the targets file)", example = "processor" },
    topic = { type = "string", default = "opsh-probe",
      help = "for the round trip, made when it is not there; none: no round trip" },
    timeout = { type = "duration", default = 120, min = 1,
      help = "until a dependency must be well" },
    steady = { type = "duration", default = 3, help = "so long it must stay so" },
    attempts = { type = "integer", default = 2, min = 1, max = 10,
      help = "starts of a dependency, at most" },
    breaker_timeout = { type = "duration", default = 360, min = 1,
      help = "until the breaker must be closed" },
    grace = { type = "duration", default = 30, help = "for the gateway to reach "
      .. "again what is well, and for what is lost to come back" },
    watch = { type = "duration", default = 10, min = 1,
      help = "how long orders are watched at the end" },
    flow_timeout = { type = "duration", default = 90,
      help = "until orders must flow: the group has to find its broker again" },
    probe = { type = "duration", default = 3, min = 0.1,
      help = "for each look at something" },
    interval = { type = "duration", default = 0.5, min = 0.1,
      help = "between two looks" },
    word = { type = "string", help = "in the gateway's log (default: "
      .. "patterns.circuit_log of the targets file, else 'circuit')" },
    tail = { type = "integer", default = 2000, min = 1,
      help = "lines of its log that are searched" },
    state_metric = { type = "string", default = "gateway_circuit_breaker_state",
      help = "0 closed, 1 open, 2 half-open" },
    received_metric = { type = "string",
      default = "gateway_orders_received_total", help = "orders that came" },
    successful_metric = { type = "string",
      default = "gateway_orders_successful_total", help = "orders taken" },
  },
  checks = {
    { "order is JSON", function(_, p)
      if not p.order then return end
      local body, e = try(json.decode, p.order)
      if not body then return false, e.message end
    end },
  },
  example = {
    "opsh plan gateway/circuit-breaker",
    "opsh run gateway/circuit-breaker group=processor --approve orchestrator",
  },
  run = function(t, given)
    local p, seen = with_patterns(given), nil
    step("look", { again = true }, function()
      seen = recover.survey(system, t, p)
      return { sample = seen.sample, checks = seen.checks }
    end)
    report(p, seen)
    if not seen.sample.answers then
      breaker.give_up("gateway", ("'%s' itself does not answer: %s"):format(
        p.service, seen.sample.error), {
        "opsh run services/triage service=" .. p.service })
    end
    close(t, p, seen)
    if roll.is_plan() then return end
    local proof = step("orders", { again = true }, function()
      return recover.prove(t, p)
    end)
    if proof.flows == false then
      breaker.give_up("flow", ("the breaker is %s, but orders do not flow: %s")
        :format(proof.state or "?", proof.text), { "opsh run services/triage",
        "opsh run kafka/lag" })
    elseif proof.flows == nil then
      log.warn("%s", proof.text)
    end
    return { breaker = proof.state, orders = proof.text }
  end,
}
