-- kafka/dlq: what a dead letter topic holds: from where, why, since when, how often
-- it was replayed, and what a replay would do with it. Reads only; no group is
-- joined, nothing is committed.
local dlq = require "opsh.kafka.dlq"

local function span(seconds)
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  if seconds < 7200 then return ("%.0f min"):format(seconds / 60) end
  if seconds < 172800 then return ("%.1f h"):format(seconds / 3600) end
  return ("%.0f d"):format(seconds / 86400)
end

-- The topics whose name says that they are one.
local function named(t)
  local list = {}
  for _, row in ipairs(t.events:topics()) do
    local name = row.topic:lower()
    if name:find "dlq" or name:find "dlt" or name:find "dead.?letter" then
      list[#list + 1] = row.topic
    end
  end
  return list
end

local function tell(t, p, topic)
  local seen = dlq.look(t.events, topic, { replays = p.max_replays,
    reason = p.reason, sample = p.sample, whole = p.whole, timeout = p.timeout })
  print(("%s: %d message%s, the oldest %s old · a replay would send back %d, "
    .. "park %d, leave %d"):format(topic, seen.messages,
    seen.messages == 1 and "" or "s", span(seen.oldest or 0), seen.replay,
    seen.park, seen.skip))
  if seen.messages == 0 then return seen end
  show(seen.origins, { columns = { "origin", "messages", "replay", "park" } })
  show(seen.reasons, { columns = { "reason", "messages" } })
  show(seen.ages, { columns = { "age", "messages" } })
  show(seen.replays, { columns = { "replays", "messages" } })
  if seen.why[1] then show(seen.why, { columns = { "why", "messages" } }) end
  local first = {}
  for n, m in ipairs(seen.sample) do
    local letter = dlq.about(m)
    first[n] = { partition = m.partition, offset = m.offset, key = m.key,
      value = m.value, origin = letter.topic and ("%s/%s@%s"):format(letter.topic,
      letter.partition or "?", letter.offset or "?"), reason = letter.reason }
  end
  if first[1] then
    show(first, { columns = { "partition", "offset", "origin", "reason", "key",
      "value" } })
  end
  return seen
end

return {
  name = "kafka/dlq",
  summary = "Dead letters by origin, reason, age and replays",
  description = [[
    Reads the topic from where the last replay stopped (whole=true: all that is
    there) to its end now, and counts. Origin, reason and number of replays are
    headers: origin-topic, error-reason, replay-count, failed-at, and what Kafka
    Connect and Spring call them. Without topic= each topic whose name says that
    it is one.]],
  severity = "P2",
  tags = { "kafka" },
  runbook = "saga 'DLQ triage', flash sale 'Dead letter queue'",
  needs = { events = { kind = "kafka", help = "the cluster" } },
  params = {
    topic = { type = "string", min = 1, help = "the dead letters",
      example = "orders-dlq" },
    reason = { type = "string", min = 1, help = "only those count as to be "
      .. "replayed that have this in their reason", example = "timeout" },
    max_replays = { type = "integer", default = 3, min = 1,
      help = "as often replayed is to be parked" },
    whole = { type = "boolean", default = false,
      help = "also what was replayed before" },
    sample = { type = "integer", default = 5, min = 0, max = 100,
      help = "messages that are shown" },
    timeout = { type = "duration", default = 30, help = "without an answer" },
  },
  example = {
    "opsh run kafka/dlq",
    "opsh run kafka/dlq topic=orders-dlq whole=true sample=20",
  },
  run = function(t, p)
    local topics = p.topic and { p.topic } or named(t)
    if #topics == 0 then
      log.info "no topic's name says that it holds dead letters: give topic="
    end
    local result = {}
    for _, topic in ipairs(topics) do
      local seen = tell(t, p, topic)
      result[#result + 1] = { topic = topic, messages = seen.messages,
        replay = seen.replay, park = seen.park, skip = seen.skip }
      if seen.replay > 0 then
        log.info("next: opsh plan kafka/dlq-replay topic=%s", topic)
      end
    end
    return result
  end,
}
