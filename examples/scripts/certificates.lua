-- certificates: the certificates of addresses, the one that ends first on top. Makes
-- the TLS handshake only; one that no client trusts is shown too, with the reason.
--   opsh run examples/scripts/certificates.lua example.org:443 localhost:8443
local http = require "opsh.http"

local addresses = { ... }
if #addresses == 0 then error("addresses are needed, such as example.org:443", 0) end

local rows = task.map(addresses, { limit = 20 }, function(address)
  local cert, e = try(http.certificate, address,
    { timeout = 5, ca = os.getenv "CA_FILE" })
  if not cert then return { address = address, problem = e.message } end
  return { address = address, days_left = math.floor(cert.days_left),
    not_after = cert.not_after, problem = cert.problem }
end)
table.sort(rows, function(a, b)
  return (a.days_left or -math.huge) < (b.days_left or -math.huge)
end)
show(rows, { columns = { "address", "days_left", "not_after", "problem" } })
