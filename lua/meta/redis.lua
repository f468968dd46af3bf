---@meta opsh.c.redis
-- redis: the documentation of targets of kind redis (client, subscriptions,
-- scripts) and of the C module opsh.c.redis below them. Read by `opsh help`,
-- completion and editors; never executed.

---A target of kind redis: `cache` in playbooks and in the REPL. Every command is
---a method, a subcommand after '_': `cache:get "k"`, `cache:config_get "max*"`.
---Arguments are strings, numbers and secrets; lists of them are flattened; the
---last may be a table of options: `timeout` (seconds), and for writes `expect`
---(the result that a plan goes on with).
---
---Reads return plain values: nil for nil, json.null for nil inside a list,
---numbers for integers. Writes return a result: `value` as it came, `count` of
---an integer, `ok` (false when the server answered nil). HGETALL, CONFIG GET,
---XINFO and the like are tables, INFO is parsed, CLIENT LIST is a list of tables.
---
---Raises: server (code is the first word: WRONGTYPE, READONLY, MOVED, ..),
---auth (NOAUTH, WRONGPASS, NOPERM), connect, tls, timeout, unknown (a write
---whose reply was lost: it may have been applied), limit and protocol (what a
---server may not send), refused, guard, changed (the boundary), usage.
---A lost read is sent again once; a write never.
---
---    cache:set("flights::UAL123", "{}", "EX", 60)
---    assert(cache:get "flights::UAL123" == "{}")
---
---Source: https://redis.io/commands, RESP2.
---@class opsh.redis.client
---@operator call(string): any
local Client = {}

---Any command by its words; the reply as it comes.
---
---    assert(cache:cmd("SET", "k", "v").ok)
---@param ... any words, lists of words, options last
---@return any
function Client:cmd(...) end

---The server's INFO. One section gives its fields, none or several a table a
---section. Numbers are numbers; `db0`, `slave0` and the like are tables.
---
---    local hits = cache:info("stats").keyspace_hits
---@param ... string sections
---@return table
function Client:info(...) end

---@class opsh.redis.identity
---@field run_id string
---@field role string master, replica or sentinel
---@field version string
---@field mode string standalone, cluster or sentinel
---@field address string host:port
---@field db integer
---@field uptime integer seconds
---@field replicas table[] ip, port, state, offset, lag of each
---@field master? {host: string, port: integer, link: string} of a replica
---@field maxmemory integer bytes, 0 none
---@field used_memory integer bytes
---@field maxmemory_policy string

---Who the server is, read from it now (INFO, ROLE). Another server or role than
---before stops the next write (exit 12).
---
---    assert(cache:identity().role == "master")
---@return opsh.redis.identity
function Client:identity() end

---@class opsh.redis.scan_options
---@field match? string glob
---@field count? integer keys that the server looks at in one call (default 1000)
---@field type? string only keys of this type (scan, scan_batches, count)
---@field timeout? number seconds for one call

---Iterates over the keys of the database. While one batch is worked on, the next
---is fetched. A key may come twice while the server resizes its table.
---
---    for key in cache:scan { match = "flights::*" } do print(key) end
---@param opts? opsh.redis.scan_options
---@return fun(): string?
function Client:scan(opts) end

---The same in lists, none of them empty.
---
---    for keys in cache:scan_batches { match = "tmp:*" } do print(#keys) end
---@param opts? opsh.redis.scan_options
---@return fun(): string[]?
function Client:scan_batches(opts) end

---Iterates over the fields and values of a hash.
---@param key string
---@param opts? opsh.redis.scan_options
---@return fun(): string?, string?
function Client:hscan(key, opts) end

---Iterates over the members of a set.
---@param key string
---@param opts? opsh.redis.scan_options
---@return fun(): string?
function Client:sscan(key, opts) end

---Iterates over the members and scores of a sorted set.
---@param key string
---@param opts? opsh.redis.scan_options
---@return fun(): string?, number?
function Client:zscan(key, opts) end

---Counts the keys that match, and picks some from anywhere among them.
---
---    local found = cache:count { match = "flights::*", sample = 5 }
---    print(found.count, #found.sample)
---@param opts? {match?: string, type?: string, sample?: integer, count?: integer, timeout?: number}
---@return {count: integer, sample: string[], scanned: integer} found scanned: keys in the database
function Client:count(opts) end

---Several commands at once, one record. With a command and a list: the command
---for each element (an element may be a list of arguments), replies in order;
---a writing command gives a result with the replies in `value`, their sum in
---`count`. With a function: what it notes on `p`, a result for each.
---
---An error among the replies is raised after all have come (outcome "done": the
---others are applied), or left in place with `errors = "keep"`. In a plan, what
---is read before the first write is read, the rest is withheld.
---
---    local values = cache:pipeline("GET", { "a", "b" })
---    local r = cache:pipeline(function(p) p:incr "n" p:get "n" end)
---@param what string|fun(p: table) words of a command, or a function
---@param list? any[]|table the list; options when `what` is a function
---@param opts? {timeout?: number, expect?: any, errors?: "keep"}
---@return any[] results
function Client:pipeline(what, list, opts) end

---A transaction: all of it is applied, or nothing (a command that fails while it
---runs excepted: Redis does not undo the others). With `watch` it fails with
---code WATCH when a watched key has changed since; `c` reads on the connection
---that watches.
---
---    cache:multi({ watch = "seats" }, function(tx, c)
---      tx:set("seats", c:get "seats" - 1)
---    end)
---@param opts {watch?: string|string[], timeout?: number, expect?: any}
---@param f fun(tx: table, c: opsh.redis.client)
---@return any[] results
---@overload fun(self, f: fun(tx: table)): any[]
function Client:multi(opts, f) end

---@class opsh.redis.script
---@field sha string
local script = {}

---Runs it: a write. Calling the script does the same.
---@param keys string[]
---@param args? any[]
---@param opts? {timeout?: number, expect?: any}
---@return any
function script:run(keys, args, opts) end

---Runs it read-only (EVALSHA_RO): a read.
---@param keys string[]
---@param args? any[]
---@param opts? {timeout?: number}
---@return any
function script:run_ro(keys, args, opts) end

---A Lua script of the server, sent by its hash and, when the server does not know
---that, as text.
---
---    local s = cache:script "return redis.call('GET', KEYS[1])"
---    print(s:run_ro { "k" })
---@param text string
---@return opsh.redis.script
function Client:script(text) end

---Runs a script once: lists of keys and arguments, or as redis-cli takes them.
---eval_ro, evalsha, evalsha_ro, fcall, fcall_ro likewise. An error of a script
---that may have written before it has the outcome unknown.
---
---    assert(cache:eval_ro("return ARGV[1]", {}, { "x" }) == "x")
---@param text string
---@param keys string[]|integer
---@param ... any
---@return any
function Client:eval(text, keys, ...) end

---@class opsh.redis.subscription
---@operator call: table?
local subscription = {}

---The next message; waits for it. Raises timeout, and connect when the
---connection is lost: messages may be missing then.
---@return {channel: string, payload: string, pattern?: string}? message nil once closed
function subscription:next() end

---Ends the subscription; a loop does it by itself.
function subscription:close() end

---Messages of channels, as an iterator on a connection of its own.
---
---    for m in cache:subscribe { channels = { "flights" }, timeout = 60 } do
---      print(m.channel, m.payload)
---    end
---@param opts {channels?: string|string[], patterns?: string|string[], timeout?: number} timeout: seconds for each message
---@return opsh.redis.subscription
function Client:subscribe(opts) end

---Closes all connections; further calls raise usage.
function Client:close() end

-- --- the C module: what opsh.redis is made of --------------------------------

---@class opsh.c.redis
local redis = {}

---A client; connects when it is first used.
---@param target userdata opsh.target
---@param options table addr {host, port}, path, user, password, db, tls, ca,
---cert, key, server_name, sentinels, master_name, sentinel_user,
---sentinel_password, timeout, connect_timeout, max_reply, max_elements
---@return opsh.redis.client
function redis.connect(target, options) end

---@param client opsh.redis.client
function redis.close(client) end

---Clients and leases find their methods in `t`.
---@param t table
function redis.methods(t) end

---A method for the command `name` (`sub` its second word). map: the reply is a
---flat list of names and values, make it a table.
---@param name string
---@param sub? string
---@param map? boolean
---@return fun(self, ...): any
function redis.method(name, sub, map) end

---@param client opsh.redis.client
---@param ... any
---@return any
function redis.cmd(client, ...) end

---One line in the quoting of redis-cli.
---@param client opsh.redis.client
---@param text string
---@param opts? table
---@return any
function redis.line(client, text, opts) end

---`words` for each of list[from..to].
---@param client opsh.redis.client
---@param words string
---@param list any[]
---@param from integer
---@param to integer
---@param opts? table
---@return any[]
function redis.flat(client, words, list, from, to, opts) end

---Several commands as one; nil and the withheld value in a plan with a write.
---@param client opsh.redis.client
---@param commands any[][]
---@param opts? table
---@param atomic? boolean between MULTI and EXEC
---@return any[]? results, any? withheld
function redis.list(client, commands, opts, atomic) end

---What the boundary takes a command for; asks the server when it must.
---@param client opsh.redis.client
---@param ... any
---@return "read"|"write"|"destructive"
function redis.class(client, ...) end

---Reads identity and role from the server now.
---@param client opsh.redis.client
---@return string identity, string role, string address
function redis.refresh(client) end

---@param client opsh.redis.client
---@return userdata target opsh.target
function redis.target(client) end

---@param client opsh.redis.client
---@return integer
function redis.db(client) end

---A connection of one's own, for WATCH.
---@param client opsh.redis.client
---@return userdata
function redis.lease(client) end

---@param lease userdata
---@param clean boolean nothing is watched on it: it can serve others
function redis.lease_end(lease, clean) end

---@param client opsh.redis.client
---@param channels string[]
---@param patterns string[]
---@param timeout? number
---@return userdata sub
function redis.sub_open(client, channels, patterns, timeout) end

---@param sub userdata
---@return any[]? message as the server sent it
function redis.sub_next(sub) end

---@param sub userdata
function redis.sub_close(sub) end

---SHA-1 in hexadecimal.
---@param text string
---@return string
function redis.sha1(text) end

return redis
