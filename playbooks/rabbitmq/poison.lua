-- rabbitmq/poison: finds the message that comes back again and again, shows it, and
-- takes that one out under a guard: to a parking queue, or away. Copies are written
-- before anything is taken, so a break in between leaves a message twice, never none.
-- A plan looks at no message: looking marks them as redelivered.
local rabbitmq = require "opsh.rabbitmq"
local task = require "opsh.task"

local function short(text, limit)
  text = text:gsub("%s+", " ")
  return #text > limit and text:sub(1, limit) .. "..." or text
end

-- How often it came back, as far as the broker tells.
local function suspicion(m)
  return (m.deliveries or 0) + m.deaths + (m.redelivered and 1 or 0)
end

local function row_of(m, place)
  return { id = rabbitmq.id(m), place = place, redelivered = m.redelivered,
    deliveries = m.deliveries, deaths = m.deaths, key = m.routing_key,
    message_id = m.properties.message_id, bytes = m.bytes,
    payload = m.encoding == "string" and short(m.payload, 60)
      or "base64 " .. short(m.payload, 50) }
end

-- What is at the head: rows of those that came back, and the messages themselves.
-- With consumers at work it may be in their hands for a moment, so several times.
local function find(mq, p, tries)
  local list, rows = {}, {}
  for try_no = 1, tries do
    list, rows = mq:get(p.queue, { vhost = p.vhost, count = p.depth,
      expect = {} }), {}
    for place, m in ipairs(list) do
      if suspicion(m) >= p.least then rows[#rows + 1] = row_of(m, place) end
    end
    if #rows > 0 or try_no == tries then break end
    task.sleep(0.3)
  end
  table.sort(rows, function(a, b)
    local x = (a.deliveries or 0) + a.deaths
    local y = (b.deliveries or 0) + b.deaths
    if x ~= y then return x > y end
    return a.place < b.place
  end)
  return rows, list
end

local function place_of(list, id)
  for place, m in ipairs(list) do
    if rabbitmq.id(m) == id then return place end
  end
end

local function look(mq, p, count)
  return mq:get(p.queue, { vhost = p.vhost, count = count or p.depth,
    expect = {} })
end

-- A copy of a message at the tail of a queue, by the default exchange. True when
-- the queue has it.
local function copy(mq, p, queue, m)
  local r = mq:publish(queue, m.payload, { vhost = p.vhost,
    encoding = m.encoding, properties = m.properties })
  if r.json.routed == false then
    fail("no copy: there is no queue '%s'", queue)
  end
end

-- Takes as many as stand up to it from the head, and compares. What it took by
-- mistake goes back, at the tail.
local function take(mq, p, wanted)
  local taken = mq:get(p.queue, { vhost = p.vhost, count = #wanted,
    requeue = false, expect = {} })
  local strangers = {}
  for n, m in ipairs(taken) do
    if not wanted[n] or rabbitmq.id(m) ~= wanted[n] then
      strangers[#strangers + 1] = m
    end
  end
  for _, m in ipairs(strangers) do copy(mq, p, p.queue, m) end
  if #strangers > 0 then
    fail("the head of '%s' changed meanwhile: %d other messages were taken and "
      .. "put back at its tail; look again", p.queue, #strangers)
  end
  return #taken
end

local function refuse_unless_still(q, p)
  if q.consumers > 0 then
    fail("'%s' has %d consumers: stop them first, else another message is taken",
      p.queue, q.consumers)
  elseif q.type == "stream" then
    fail("'%s' is a stream: nothing can be taken out of it", p.queue)
  end
end

-- How many are ready, as the messages themselves tell: no statistics of seconds ago.
local function ready_of(list)
  return list[1] and list[1].remaining + 1 or 0
end

local function count_of(list, id)
  local n = 0
  for _, m in ipairs(list) do
    if rabbitmq.id(m) == id then n = n + 1 end
  end
  return n
end

-- A plan has looked at nothing: what would be done, with the place unknown.
local function plan(t, mq, p, q)
  log.info("a plan looks at no message: where '%s' stands is not known", p.id)
  guard(t.rabbitmq, { verb = p.action .. " message", count = 1,
    unit = "message", ask = p.id, note = ("one of %d in %s; %s"):format(q.ready,
      p.queue, p.action == "park" and "it goes to " .. p.to or "it is lost") })
  step("copy", function()
    if p.action == "park" then mq:declare(p.to, { vhost = p.vhost }) end
  end)
  step("take", function()
    mq:get(p.queue, { vhost = p.vhost, requeue = false, expect = {} })
  end)
end

local function remove(t, mq, p, q, list)
  refuse_unless_still(q, p)
  local place = place_of(list, p.id)
  if #list == 0 and (q.ready or 0) > 0 then
    return plan(t, mq, p, q)
  elseif not place then
    fail("no message '%s' among the first %d of '%s'", p.id, #list, p.queue)
  elseif place - 1 > p.ahead then
    fail("%d messages are ahead of it; they would go to the tail of '%s': allow "
      .. "that with ahead=%d", place - 1, p.queue, place - 1)
  end
  local wanted, message = {}, list[place]
  for n = 1, place do wanted[n] = rabbitmq.id(list[n]) end
  local before = ready_of(list)
  guard(t.rabbitmq, { verb = p.action .. " message", count = 1,
    unit = "message", ask = p.id, sample = { short(message.payload, 200) },
    note = ("place %d of %d in %s; %s%s"):format(place, before, p.queue,
      p.action == "park" and "it goes to " .. p.to or "it is lost", place > 1
      and ("; %d ahead of it go to the tail"):format(place - 1) or "") })
  step("copy", { verify = function() return true end }, function()
    if p.action == "park" then
      mq:declare(p.to, { vhost = p.vhost })
      copy(mq, p, p.to, message)
    end
    for n = 1, place - 1 do copy(mq, p, p.queue, list[n]) end
  end)
  step("take", {
    -- the reply was lost: is it still at the head?
    probe = function() return place_of(look(mq, p), p.id) == nil end,
    verify = function()
      local now = look(mq, p)
      if ready_of(now) < before - 1 then
        return false, ("%d messages are ready, expected %d at least"):format(
          ready_of(now), before - 1)
      end
      return count_of(list, p.id) > 1 or count_of(now, p.id) == 0,
        "it is still there"
    end,
  }, function() return { taken = take(mq, p, wanted) } end)
  return { id = p.id, action = p.action, to = p.action == "park" and p.to or nil }
end

local function list_only(q, rows)
  if #rows == 0 then
    log.info("no message at the head of '%s' came back%s", q.name,
      q.redeliver_rate > 0 and (", though %.3g/s are redelivered: consumers hold "
      .. "them; stop one and look again"):format(q.redeliver_rate) or "")
    return
  end
  show(rows, { columns = { "id", "place", "redelivered", "deliveries", "deaths",
    "message_id", "key", "bytes", "payload" } })
  if #rows > 1 and not rows[1].deliveries and rows[1].deaths == 0 then
    log.info("the queue counts no deliveries, so all that were handed out before "
      .. "are listed, by a look such as this one too")
  end
  log.info("take one out: opsh run rabbitmq/poison queue='%s' id=%s action=park",
    q.name, rows[1].id)
end

return {
  name = "rabbitmq/poison",
  summary = "The message that comes back again and again: find, park or drop it",
  description = [[
    Looks at the first depth messages of a queue and lists those that were
    handed out before: marked redelivered, counted by a quorum queue, or
    dead-lettered (x-death). The first one that a consumer fails on stands at
    the head again, so that is where it is found.

    action=park id=ID copies it to a parking queue (queue.parked, made when
    missing) and takes it out; action=drop throws it away. Both are guarded, and
    refused while the queue has consumers: the management API only takes from
    the head, and a consumer could change what stands there. Messages ahead of
    it go to the tail, and only when ahead=N allows it. What was taken by
    mistake goes back. A copy keeps payload, properties and headers; it is
    published by the default exchange, so exchange and routing key are the
    queue's, and a break between copy and taking leaves it twice.

    Looking marks messages as redelivered, and a quorum queue counts it as a
    delivery: near its delivery limit that can dead-letter one.]],
  severity = "P2",
  tags = { "rabbitmq" },
  runbook = "movie booking 'RabbitMQ Queue Backlog', solution 3",
  needs = { rabbitmq = { kind = "http", help = "management API" } },
  params = {
    queue = { type = "string", required = true, min = 1, help = "which",
      example = "payments" },
    vhost = { type = "string", default = "/", help = "its virtual host" },
    action = { type = "enum", choices = { "list", "park", "drop" },
      default = "list", help = "what to do" },
    id = { type = "string", pattern = "%x+", help = "of the message, as listed" },
    to = { type = "string", help = "parking queue (default: QUEUE.parked)" },
    depth = { type = "integer", default = 20, min = 1, max = 1000,
      help = "messages of the head to look at" },
    least = { type = "integer", default = 1, min = 1,
      help = "came back at least so often" },
    ahead = { type = "integer", default = 0, min = 0, max = 1000,
      help = "messages ahead of it that may go to the tail" },
  },
  checks = {
    { "id goes with park and drop", function(_, p)
      if (p.action == "list") ~= (p.id == nil) then
        return false, p.id and "id is given, action is list"
          or "action=" .. p.action .. " needs the id of the message"
      end
    end },
  },
  example = {
    "opsh run rabbitmq/poison queue=payments",
    "opsh run rabbitmq/poison queue=payments id=90ab12cd34ef5678 action=park "
      .. "--approve rabbitmq",
  },
  run = function(t, p)
    local mq = rabbitmq.of(t.rabbitmq)
    p.to = p.to or p.queue .. ".parked"
    local q = mq:queue(p.queue, { vhost = p.vhost })
    if not q then
      fail("there is no queue '%s' in '%s'", p.queue, p.vhost)
    end
    if p.action ~= "list" then refuse_unless_still(q, p) end
    local rows, list = find(mq, p, p.action == "list"
      and q.redeliver_rate > 0 and 10 or 1)
    if p.action == "list" then return list_only(q, rows) end
    return remove(t, mq, p, q, list)
  end,
}
