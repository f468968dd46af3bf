-- rabbitmq/purge: throws away what is ready in one queue, under a guard with the
-- live count and a sample. A plan looks at no message: the broker marks what it has
-- shown as redelivered, so looking is a write.
local rabbitmq = require "opsh.rabbitmq"
local task = require "opsh.task"

local function line(message)
  local text = message.payload:gsub("%s+", " ")
  if #text > 80 then text = text:sub(1, 80) .. "..." end
  return ("%s%s: %s"):format(message.routing_key,
    message.redelivered and " (redelivered)" or "", text)
end

-- The statistics of the broker lag; waits until they have stood still.
local function depth(mq, p)
  local last, still = nil, 0
  for _ = 1, 150 do
    local q = mq:queue(p.queue, { vhost = p.vhost })
    if not q then return nil end
    local now = q.ready and q.ready + (q.unacked or 0) * 2^32
    still = now and now == last and still + 1 or 0
    if still >= 3 then return q end
    last = now
    task.sleep(p.settle / 3)
  end
  return mq:queue(p.queue, { vhost = p.vhost })
end

local function sample(mq, p, q)
  if p.sample == 0 or q.type == "stream" then return {} end
  local list = step("sample", { idempotent = true, verify = function()
    return true
  end }, function()
    local lines = {}
    for n, m in ipairs(mq:get(p.queue, { vhost = p.vhost, count = p.sample,
      expect = {} })) do
      lines[n] = line(m)
    end
    return lines
  end)
  return list
end

return {
  name = "rabbitmq/purge",
  summary = "Throw away all ready messages of one queue (they are lost)",
  description = [[
    Shows how many messages there are and some of them, asks for the count to be
    typed, purges, and verifies that no more than what came meanwhile is left.
    Messages that consumers hold unacknowledged are not purged.

    The sample is taken by the management API, which hands messages out and
    takes them back at their place: they are marked as redelivered, and a quorum
    queue counts one more delivery. sample=0 looks at none; a plan never does.

    Before it: consumers first (rabbitmq/backlog), and is it only one message
    (rabbitmq/poison)?]],
  severity = "P1",
  tags = { "rabbitmq", "destructive" },
  runbook = "movie booking 'RabbitMQ Queue Backlog', solution 4",
  needs = { rabbitmq = { kind = "http", help = "management API" } },
  params = {
    queue = { type = "string", required = true, min = 1, help = "which",
      example = "payments" },
    vhost = { type = "string", default = "/", help = "its virtual host" },
    sample = { type = "integer", default = 3, min = 0, max = 20,
      help = "messages to show (marks them as redelivered)" },
    settle = { type = "duration", default = 2, min = 0.1, max = 30,
      help = "the broker's statistics stand after this" },
  },
  example = {
    "opsh plan rabbitmq/purge queue=payments",
    "opsh run rabbitmq/purge queue=payments --approve rabbitmq",
  },
  run = function(t, p)
    local mq = rabbitmq.of(t.rabbitmq)
    local before = depth(mq, p)
    if not before then
      fail("there is no queue '%s' in '%s'", p.queue, p.vhost)
    elseif before.type == "stream" then
      fail("'%s' is a stream: it can't be purged, only shortened by its policy",
        p.queue)
    elseif before.ready == 0 then
      log.info("'%s' has no ready message%s", p.queue, before.unacked > 0
        and ("; %d are with its consumers"):format(before.unacked) or "")
      return { purged = 0 }
    end
    local lines = sample(mq, p, before)
    local how = guard(t.rabbitmq, { verb = "purge", count = before.ready,
      unit = "messages", sample = lines, note = ("queue %s of %s, %s; %d "
      .. "unacknowledged stay; %d consumers; published %.3g/s"):format(p.queue,
      p.vhost, before.type, before.unacked, before.consumers,
      before.publish_rate) })
    step("purge", {
      -- the reply was lost: an empty queue says that it was done
      probe = function()
        local now = depth(mq, p)
        if now and now.ready == 0 then return true end
      end,
      -- the statistics lag: looks until they show it, for as long as that may take
      verify = function()
        local left, came
        for _ = 1, 60 do
          local now = mq:queue(p.queue, { vhost = p.vhost })
          local published = ((now.stats or {}).publish or 0)
            - ((before.stats or {}).publish or 0)
          left, came = now.ready or 0, math.max(published, 0) + before.unacked
          if left <= came then return true end
          task.sleep(0.5)
        end
        return false, ("%d messages are left, %d could have come meanwhile")
          :format(left, came)
      end,
    }, function()
      mq:purge(p.queue, { vhost = p.vhost })
    end)
    if how ~= "plan" then return { purged = before.ready } end
  end,
}
