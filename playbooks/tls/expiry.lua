-- tls/expiry: every certificate in use and how long it is good for: of targets and
-- services, of addresses, of ingresses and cert-manager, of files. All asked at
-- once, in the time of the slowest; who does not answer is a row. Reads only.
local service = require "opsh.service"
local tls = require "opsh.tls"

-- The places that a Kubernetes adds, and its own rows.
local function ask_cluster(p, sources, rows)
  local o, kind = service.orchestrator(system, p.orchestrator)
  if kind ~= "kubernetes" then return end
  local got, e = try(function()
    local more, hosts = tls.cluster(o, p.orchestrator or "orchestrator",
      { ca = p.ca })
    table.move(more, 1, #more, #rows + 1, rows)
    table.move(hosts, 1, #hosts, #sources + 1, sources)
    return true
  end)
  if not got then log.warn("the cluster does not answer: %s", e) end
end

return {
  name = "tls/expiry",
  summary = "Certificates in use, days left, whether a client trusts them",
  description = [[
    Finds every certificate that the system uses: targets and services that
    speak TLS (HTTP, Redis), hosts of ingresses and what cert-manager issued
    where the orchestrator is a Kubernetes, addresses and PEM files that are
    given. A handshake shows the certificate also when it is not trusted, and
    says why; files are read by openssl. Exit 1 when one has expired, has fewer
    days left than `critical`, or a client would refuse it. A host that does not
    answer is a row of state "unknown", and fails the check with `strict`.]],
  severity = "P3",
  tags = { "tls", "check" },
  runbook = "'SSL Certificate Renewal', 'Certificate Rotation'",
  params = {
    warn = { type = "integer", default = 30, min = 0,
      help = "fewer days left are a warning" },
    critical = { type = "integer", default = 7, min = 0,
      help = "fewer days left fail the check" },
    timeout = { type = "duration", default = 5, min = 0.05, max = 300,
      help = "for each answer" },
    only = { type = "list", help = "these targets and services (default: all)",
      example = "api,admin" },
    addresses = { type = "list", help = "HOST:PORT, asked as well",
      example = "mail.example.org:465" },
    files = { type = "list", help = "PEM files, or patterns of them",
      example = "/etc/letsencrypt/live/*/fullchain.pem" },
    ca = { type = "string",
      help = "PEM file of authorities, for what has no `ca` of its own" },
    verify = { type = "boolean", default = true,
      help = "false: judge the dates only" },
    strict = { type = "boolean", default = false,
      help = "what does not answer fails the check as well" },
    orchestrator = { type = "string",
      help = "target that runs the services (default: the one there is)" },
  },
  example = {
    "opsh run tls/expiry",
    "opsh run tls/expiry warn=60 files=/etc/ssl/own/*.pem --output jsonl",
  },
  run = function(_, p)
    local rows
    step("ask", { again = true }, function()
      local sources, more = tls.sources(system, { only = p.only, ca = p.ca,
        addresses = p.addresses, files = p.files }), {}
      if not p.only or #p.only == 0 then ask_cluster(p, sources, more) end
      rows = tls.check(system, sources, { timeout = p.timeout })
      table.move(more, 1, #more, #rows + 1, rows)
      tls.judge(rows, { warn = p.warn, critical = p.critical,
        verify = p.verify })
      return { verdict = tls.verdict(rows) }
    end)
    if #rows == 0 then
      fail("nothing here speaks TLS: no https or rediss target, no service with "
        .. "`tls`; give addresses=HOST:PORT or files=PATH")
    end
    print(tls.verdict(rows))
    show(rows, { columns = { "state", { key = "days_left", title = "days" },
      "expires", "where", "names", "issuer", { key = "held_by",
      title = "held by" }, "problem" } })
    tls.demand(rows, p.strict)
  end,
}
