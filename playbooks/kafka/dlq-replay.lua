-- kafka/dlq-replay: sends dead letters back to the topics they come from, each once:
-- what is written and what was read count in one transaction. One first, then 10,
-- 100, the rest; stops when the dead letters grow. What has no known origin, or was
-- replayed often enough, is parked. Run it again after an interruption.
local dlq = require "opsh.kafka.dlq"

local function sample_of(seen)
  local list = {}
  for n, m in ipairs(seen.sample) do
    local letter = dlq.about(m)
    list[n] = ("%s/%d@%d -> %s: %s"):format(seen.topic, m.partition, m.offset,
      letter.topic or "?", letter.reason)
  end
  return list
end

local function ask(t, p, seen)
  local left = p.parked and ("%d go to '%s'"):format(seen.park, p.parked)
    or ("%d stay, they are passed over"):format(seen.park)
  return guard(t.events, { verb = "produce", count = seen.replay,
    unit = "messages", sample = sample_of(seen),
    note = ("%d of the %d are sent back; %s; %d of another reason are passed "
    .. "over"):format(seen.replay, seen.messages, left, seen.skip) })
end

local function report(state)
  return { snapshot = state.snapshot, replayed = state.replayed,
    parked = state.parked, skipped = state.skipped, batches = state.batches,
    stopped = state.stopped }
end

local function replay(t, p, seen)
  local bar <close> = progress.new { total = seen.messages, label = "letters" }
  local before = 0
  local state = dlq.replay(t.events, seen, { batch = p.batch, settle = p.settle,
    growth = p.growth, timeout = p.timeout, each = function(state)
      local now = state.replayed + state.parked + state.skipped
      bar:add(now - before)
      before = now
    end })
  return state
end

-- Is all that was there where it belongs?
local function judged(p, state)
  local sum = state.replayed + state.parked + state.skipped
  local counts = ("replayed %d, parked %d, passed over %d of %d"):format(
    state.replayed, state.parked, state.skipped, state.snapshot)
  if state.stopped then
    return false, ("stopped, %s: %s"):format(counts, state.stopped)
  elseif sum ~= state.snapshot then
    return false, ("%s: some of '%s' was deleted meanwhile"):format(counts,
      p.topic)
  end
  return true
end

return {
  name = "kafka/dlq-replay",
  summary = "Dead letters back to where they come from, each exactly once",
  description = [[
    Reads the topic from where the last replay stopped to its end now, shows what
    it is, asks, and sends it back: key, value, headers and timestamp as they are,
    replay-count one more, to the partition that it was in. What is written and the
    offsets of what was read are one transaction, so that who reads committed
    messages (isolation.level=read_committed) sees each once, whatever dies between:
    run it again. A second replay of the topic at the same time ends the first.

    Letters without a known origin, replayed max_replays times, or older than their
    topic keeps messages (they would be deleted there), go to the topic parked=, or
    are passed over: they stay in the topic, kafka/reset-offsets goes
    back to them. It stops when new letters come meanwhile: what is sent back fails
    again.]],
  severity = "P1",
  tags = { "kafka" },
  runbook = "saga 'DLQ replay', flash sale 'Replay the dead letter queue'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    topic = { type = "string", required = true, min = 1,
      help = "the dead letters", example = "orders-dlq" },
    parked = { type = "string", min = 1, help = "topic for those that are not "
      .. "to be replayed (default: they stay)", example = "orders-parked" },
    reason = { type = "string", min = 1, help = "only those that have this in "
      .. "their reason; the others are passed over", example = "timeout" },
    max_replays = { type = "integer", default = 3, min = 1,
      help = "as often replayed is enough" },
    batch = { type = "integer", default = 500, min = 1, max = 10000,
      help = "messages of a transaction, after the first 111" },
    settle = { type = "duration", default = 2, min = 0, max = 600,
      help = "after each of the first three batches, before the look at the "
      .. "dead letters" },
    growth = { type = "integer", default = 0, min = 0,
      help = "so many new dead letters are no reason to stop" },
    timeout = { type = "duration", default = 30, min = 1,
      help = "for a batch" },
  },
  checks = { { "topics", function(t, p)
    local there = {}
    for _, row in ipairs(t.events:topics()) do there[row.topic] = true end
    for _, name in ipairs { p.topic, p.parked or p.topic } do
      if not there[name] then return false, ("there is no topic '%s'"):format(
        name) end
    end
    if p.parked == p.topic then return false, "parked= must be another topic" end
  end } },
  example = {
    "opsh plan kafka/dlq-replay topic=orders-dlq parked=orders-parked",
    "opsh run kafka/dlq-replay topic=orders-dlq parked=orders-parked "
      .. "--approve events",
    "opsh run kafka/dlq-replay topic=orders-dlq reason=timeout settle=30s",
  },
  run = function(t, p)
    local seen = dlq.look(t.events, p.topic, { parked = p.parked,
      replays = p.max_replays, reason = p.reason, timeout = p.timeout })
    if seen.messages == 0 then
      log.info("no dead letters in '%s' that were not replayed: nothing to do",
        p.topic)
      return report { snapshot = 0, replayed = 0, parked = 0, skipped = 0, batches = 0 }
    end
    show(seen.origins, { columns = { "origin", "messages", "replay", "park" } })
    show(seen.reasons, { columns = { "reason", "messages" } })
    local how = ask(t, p, seen)
    local state
    -- what was committed is not done again: the group's offsets say so
    step("replay", {
      idempotent = true,
      verify = function() return judged(p, state) end,
    }, function()
      state = replay(t, p, seen)
    end)
    if how == "plan" then
      log.info("%d more in batches of 10, 100, then %d", seen.messages
        - state.replayed - state.parked - state.skipped, p.batch)
    end
    return report(state)
  end,
}
