---@meta opsh.c.http
-- http: the documentation of targets of kind http (client, responses, streams) and
-- of the C module opsh.c.http below them. Read by `opsh help`, completion and
-- editors; never executed.

---@class opsh.http.options
---@field headers? table<string, string|number|userdata|any[]> values may be secrets; a list sends the header several times
---@field query? table<string, any> appended to the path, encoded
---@field body? string|userdata|fun(): string?|{file: string} the bytes; from a function chunk by chunk until nil; from a file
---@field json? any encoded as JSON
---@field form? table<string, any> as application/x-www-form-urlencoded
---@field multipart? {name: string, value?: any, file?: string, filename?: string, type?: string}[]
---@field timeout? number seconds for the whole call, DNS included (default 30)
---@field connect_timeout? number seconds until connected, DNS and TLS included (default 10)
---@field expect? integer|integer[]|"any" statuses; any other raises kind server
---@field expect_result? any what a plan goes on with in place of a write's result
---@field effect? "read"|"write"|"destructive" "read" on a POST that only searches
---@field idempotency_key? string sent as Idempotency-Key: the call may be sent again
---@field retry? {attempts?: integer, delay?: number, factor?: number, max_delay?: number, each?: number}|false
---@field max_body? integer bytes of the response, decoded and on the wire
---@field to? string path of a file that the body goes to
---@field follow? integer redirects within the origin, of GET and HEAD (default 5)
---@field auth? {token: string|userdata}|{user: string, password?: string|userdata}|false

---@class opsh.http.response
---@field status integer
---@field ok boolean status below 400
---@field headers table<string, string> small letters; repeated ones joined by ", "
---@field headers_list string[][] {name, value} in the order they came
---@field body string
---@field json any the body parsed, when it is first asked for; raises protocol
---@field timing {dns: number, connect: number, tls: number, first_byte: number, total: number} seconds; the first three of this call's own connection, 0 on one that stood; first_byte and total since the call began
---@field certificate? opsh.http.certificate
---@field url string that was answered
---@field version string "1.1", "2"
---@field attempts? integer when it was sent more than once
---@field file? string with `to`
---@field size? integer bytes in it

---@class opsh.http.certificate
---@field subject string
---@field issuer string
---@field names string[] that it is for
---@field not_before string
---@field not_after string "2026-01-31T12:00:00Z"
---@field days_left number negative when it has expired
---@field serial string
---@field sha256 string fingerprint
---@field verified boolean
---@field problem? string why it is not
---@field code? string EXPIRED, HOSTNAME, UNTRUSTED, NOT_YET_VALID, VERIFY
---@field protocol string "TLSv1.3"
---@field cipher string
---@field chain table[] the server's own first

---A target of kind http: `api` in playbooks and in the REPL.
---
---Reads (GET, HEAD, OPTIONS, TRACE; POST with effect = "read") return the response
---whatever its status, unless `expect` says what is expected. Writes return a
---result with the same fields, and raise kind server for a status of 400 and more
---that `expect` does not list. DELETE is destructive.
---
---Raises: server (code is the status), connect, tls, timeout, unknown (a write
---whose answer was lost, or a gateway's 502 or 504: it may have been applied),
---protocol, limit, io, refused, guard, usage. A write is never sent twice unless it
---carries an idempotency key.
---
---    local r = api:get("/health", { expect = 200 })
---    print(r.json.status, r.timing.total)
---
---Source: RFC 9110, RFC 9112, libcurl.
---@class opsh.http.client
---@operator call(string): opsh.http.response
local Client = {}

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:get(path, opts) end

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:head(path, opts) end

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:options(path, opts) end

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:delete(path, opts) end

---    api:post("/jobs", { json = { n = 1 }, idempotency_key = "job-1" })
---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:post(path, opts) end

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:put(path, opts) end

---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:patch(path, opts) end

---Any method by its name, in capitals.
---@param method string
---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:request(method, path, opts) end

---A response whose `body` is an iterator over its bytes as they come, and which can
---be closed. `timeout` is for each wait; opts.method is another method than GET.
---
---    local r <close> = api:stream "/dump"
---    for bytes in r.body do print(#bytes) end
---@param path string
---@param opts? opsh.http.options
---@return opsh.http.response
function Client:stream(path, opts) end

---The lines of a response as they come.
---
---    for line in api:lines("/events", { timeout = 60 }) do print(line) end
---@param path string
---@param opts? opsh.http.options
---@return fun(): string?
function Client:lines(path, opts) end

---The certificate that the server shows, trusted or not: a handshake, no request.
---@param opts? {timeout?: number}
---@return opsh.http.certificate
function Client:certificate(opts) end

---@return {origin: string, address: string}
function Client:identity() end

---Calls after it raise usage.
function Client:close() end

-- --- the C module: what opsh.http is made of ---------------------------------

---@class opsh.c.http
local http = {}

---A client; connects when it is first used.
---@param target userdata opsh.target
---@param options table tls, host, port, socket, base, ca, cert, key, server_name,
---proxy, proxy_host, proxy_port, proxy_auth, token, user, password, headers (a
---flat list), verify, http2, timeout, connect_timeout, max_body
---@param state table kept with it
---@return opsh.http.client
function http.connect(target, options, state) end

---@param client opsh.http.client
function http.close(client) end

---@param client opsh.http.client
---@return userdata target opsh.target
function http.target(client) end

---@param client opsh.http.client
---@return table state as given to connect
function http.state(client) end

---@param client opsh.http.client
---@return string
function http.origin(client) end

---A value that is masked from now on.
---@param text string
function http.register(text) end

---Clients find their methods in `t`.
---@param t table
function http.methods(t) end

---`f` gives the fields of a response that are made when they are asked for.
---@param f fun(response: table, name: string): any
function http.response_index(f) end

---A call that waits for its whole response.
---@param client opsh.http.client
---@param method string
---@param path string|userdata
---@param spec? table class, headers and query and form (flat lists), body,
---body_file, multipart, chunks, timeout, connect_timeout, expect (true or a list),
---expect_result, keyed, retry, follow, auth, to, max_body, cert_only
---@return opsh.http.response
function http.call(client, method, path, spec) end

---Begins a transfer that Lua goes along with; nil and the withheld value in a plan.
---@param client opsh.http.client
---@param method string
---@param path string|userdata
---@param spec table as for call; stream: the body is taken by read
---@return userdata? stream, any? withheld
function http.open(client, method, path, spec) end

---The response, without its body.
---@param stream userdata
---@return opsh.http.response
function http.head(stream) end

---@param stream userdata
---@return string? bytes nil at the end
function http.read(stream) end

---@param stream userdata
---@param chunk string
---@return boolean more is more wanted?
function http.write(stream, chunk) end

---The request was given wholly.
---@param stream userdata
---@return opsh.http.response
function http.finish(stream) end

---@param stream userdata
function http.close_stream(stream) end

return http
