-- services/logs: the logs of one or all services as one stream: by level, text,
-- time, or the id of one request across services; followed, or exported to a
-- file. JSON lines and plain ones. Reads only, but for the file it exports to.
local logs = require "opsh.logs"
local service = require "opsh.service"

local UNFILTERED <const> = 100 -- lines shown when nothing else is asked for
local FILTERED <const> = 20000 -- lines read of each service when something does

local function filter_of(p, now)
  return { level = p.level, grep = p.grep, correlation_id = p.correlation_id,
    since = p.since and now - p.since, until_ = p["until"] and now - p["until"] }
end

local function narrows(p)
  return p.level or p.grep or p.correlation_id or p.since or p["until"]
end

local function entry_of(line)
  local entry = logs.parse(line.text, line.time)
  entry.service, entry.name = line.service, line.name
  return entry
end

-- The names that the orchestrator uses; nil: all.
local function units(o, kind, p)
  if not p.service or #p.service == 0 then return nil end
  local status, out = o:status(), {}
  for n, s in ipairs(service.named(system, p.service)) do
    out[n] = service.resolve(s, kind, status)
  end
  return out
end

-- Lines that are shown: an export is whole unless something else is asked for.
local function shown(p)
  return p.tail or p.export and 0 or UNFILTERED
end

local function options(p, follow)
  local n = shown(p)
  local tail = n > 0 and n or nil
  if narrows(p) and not follow then tail = p.read end
  return { tail = tail, since = p.since and math.ceil(p.since),
    follow = follow or nil, previous = p.previous or nil }
end

local function line_of(entry, p, width)
  if p.format == "raw" then return entry.text end
  if p.format == "json" then
    return json.encode({ service = entry.service, name = entry.name,
      time = entry.time, level = entry.level, message = entry.message,
      correlation_id = entry.correlation_id, fields = entry.fields })
  end
  return logs.line(entry, width)
end

local function follow(o, names, p)
  local filter, width = filter_of(p, os.time()), 1
  for line in o:logs(names, options(p, true)) do
    local entry = entry_of(line)
    if logs.matches(entry, filter) then
      width = math.max(width, #(entry.name or ""))
      print(line_of(entry, p, width))
    end
  end
end

-- What matches, in the order of time; the newest p.tail of it.
local function collect(o, names, p)
  local filter, entries = filter_of(p, os.time()), {}
  for line in o:logs(names, options(p)) do
    local entry = entry_of(line)
    if logs.matches(entry, filter) then entries[#entries + 1] = entry end
  end
  logs.merge(entries)
  local all, n = #entries, shown(p)
  if n > 0 and all > n then
    entries = table.move(entries, all - n + 1, all, 1, {})
  end
  return entries, all
end

local function export(entries, p, width)
  local lines = {}
  for n, entry in ipairs(entries) do lines[n] = line_of(entry, p, width) end
  local text = table.concat(lines, "\n") .. (#lines > 0 and "\n" or "")
  step("export", { verify = function()
    local found = fs.stat(p.export)
    return found ~= nil and found.size == #text, "the file is not there, whole"
  end }, function()
    fs.write(p.export, text, { mode = "0600" })
    return { path = p.export, lines = #lines, bytes = #text }
  end)
  print(("%d lines, %d bytes: %s"):format(#lines, #text, p.export))
end

return {
  name = "services/logs",
  summary = "Logs of all services as one: level, text, time, request, follow",
  description = [[
    Lines of many services in the order of time. `correlation_id` follows one
    request across them. `level` counts a line that states none when it tells of
    a failure. `grep` is text, with | between alternatives. With `follow` it goes
    on until Ctrl-C. `export` writes a new file that only you can read.]],
  severity = "P2",
  tags = { "services", "logs", "incident" },
  runbook = "'View Logs', 'High Error Rate', 'Log Rotation'",
  needs = { orchestrator = { kind = { "compose", "kubernetes", "local" },
    help = "what runs the services" } },
  params = {
    service = { type = "list", help = "these services (default: all)",
      example = "gateway,processor" },
    tail = { type = "integer", min = 0, max = 1000000,
      help = "lines shown, the newest (100; all of an export); 0: all" },
    read = { type = "integer", default = FILTERED, min = 1, max = 10000000,
      help = "lines of each service that are looked through" },
    level = { type = "enum", choices = { "trace", "debug", "info",
      "warn", "error", "fatal" },
      help = "this bad or worse" },
    grep = { type = "string", help = "text in the line", example = "lock|conflict" },
    since = { type = "duration", help = "no older than", example = "15m" },
    ["until"] = { type = "duration", help = "no newer than", example = "5m" },
    correlation_id = { type = "string", help = "lines of one request" },
    follow = { type = "boolean", default = false, help = "until Ctrl-C" },
    previous = { type = "boolean", default = false,
      help = "of the instances before their last restart" },
    export = { type = "string", help = "path of a new file",
      example = "logs_gateway.txt" },
    format = { type = "enum", choices = { "text", "json", "raw" },
      default = "text", help = "of each line" },
  },
  checks = {
    { "what is asked for", function(_, p)
      if p.follow and p.export then
        return false, "follow and export exclude each other"
      elseif p.export and fs.exists(p.export) then
        return false, ("'%s' is there already"):format(p.export)
      end
      return true
    end },
  },
  example = {
    "opsh run services/logs service=gateway level=error since=15m",
    "opsh run services/logs correlation_id=uuid-123",
    "opsh run services/logs follow=true 'grep=ERROR|WARN'",
  },
  run = function(t, p)
    local kind = service.kind(system, t.orchestrator)
    local names = units(t.orchestrator, kind, p)
    if p.follow then return follow(t.orchestrator, names, p) end
    local entries, all
    step("read", { again = true }, function()
      entries, all = collect(t.orchestrator, names, p)
      return { lines = all }
    end)
    local width = 1
    for _, entry in ipairs(entries) do
      width = math.max(width, #(entry.name or entry.service or ""))
    end
    if p.export then return export(entries, p, width) end
    for _, entry in ipairs(entries) do print(line_of(entry, p, width)) end
    if all > #entries then
      log.info("%d lines match, the newest %d are shown (tail=0: all)", all,
        #entries)
    elseif all == 0 then
      log.info("no line matches")
    end
  end,
}
