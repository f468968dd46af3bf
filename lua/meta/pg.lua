---@meta opsh.c.pg
-- pg: the documentation of targets of kind postgres (client, transaction, rows)
-- and of the C module opsh.c.pg below them. Read by `opsh help`, completion and
-- editors; never executed.

---A row: `row.name` and `row[n]` decode that value. nil is NULL; a name that is
---no column raises. `pairs(row)` goes through names and values in the order of the
---columns. It keeps the memory of its rows alive.
---
---Types: boolean; smallint, integer, bigint and oid as integers, exact; real and
---double as floats; **numeric as its text**, "2.50", with nothing lost: Lua
---computes with such a string (`row.price * 2`), compares it after tonumber(),
---and `::float8` in the SQL gives a float; bytea as its bytes; json and jsonb as
---Lua values (their text when a number in them fits no Lua number); arrays as
---nested lists, with json.null for NULL, bounds dropped; timestamps, dates,
---intervals and every other type as the text that psql shows.
---@class opsh.postgres.row
---@field [integer] any
---@field [string] any

---Rows, which stay as the server sent them: `rows[i]`, `#rows`, `ipairs(rows)`.
---Printed as a table.
---@class opsh.postgres.rows
---@field [integer] opsh.postgres.row
---@field columns string[] names
---@field types string[] names of built-in types, numbers of others
---@field count integer
---@field command string as the server says: "SELECT 3"
---@field notices string[] "NOTICE: ..", 64 KiB at most

---What a write gives. In a plan it is withheld: `expect` stands for it.
---@class opsh.postgres.result
---@field ok boolean
---@field count? integer rows that it hit
---@field rows? opsh.postgres.rows of RETURNING
---@field command string "UPDATE 3"
---@field notices string[]

---@class opsh.postgres.identity
---@field system_identifier? string of the cluster; nil when the role may not read it
---@field timeline? integer
---@field role string primary, standby or pooler
---@field recovery boolean
---@field version string
---@field lsn string
---@field address string host:port or the socket
---@field database string
---@field user string
---@field pid integer
---@field started string
---@field sslmode string as asked for
---@field tls string|boolean the protocol in use, false without TLS
---@field pooled boolean a pooler stands between: prepared statements are not kept

---Options of a read.
---@class opsh.postgres.read_options
---@field timeout? number seconds
---@field max? integer bytes of the result, at most (default 64 MiB)
---@field savepoint? boolean in a transaction that is readonly: false reads without one

---Options of a write.
---@class opsh.postgres.write_options
---@field timeout? number seconds
---@field max? integer bytes of the result, at most
---@field expect? any the result that a plan goes on with
---@field class? "destructive" it is to be guarded

---Options of db:rows.
---@class opsh.postgres.rows_options
---@field timeout? number seconds for each step
---@field reuse? boolean one table for all rows

-- The names that their metatables have.
---@alias opsh.pg.client opsh.postgres.client
---@alias opsh.pg.tx opsh.postgres.transaction
---@alias opsh.pg.rows opsh.postgres.rows
---@alias opsh.pg.row opsh.postgres.row

---A target of kind postgres: `db` in playbooks and in the REPL. `db "select 1"` is
---query for a read, exec for anything else.
---
---Parameters are bound, never put into the text: nil is NULL; strings, numbers,
---booleans, secrets; a list for an array, any table for json and jsonb (a string
---there is JSON text); a string with any bytes for bytea; a number for a timestamp
---is seconds since 1970. Text with a NUL or that is no UTF-8 is refused.
---
---A read that loses its connection is sent again once; a write never: when the
---reply to its COMMIT is lost, pg_xact_status is asked over a new connection to the
---same server and timeline, and the outcome is done, failed, or unknown.
---
---Raises: server (code is the SQLSTATE; fields severity, detail, hint, position,
---sql: the line with a caret, retryable), auth, connect, tls, timeout, cancelled,
---unknown, limit (a result larger than `max`), usage, refused, guard, changed.
---
---    assert(db:value("select $1::int + 1", 41) == 42)
---
---Source: https://www.postgresql.org/docs/current/libpq.html
---@class opsh.postgres.client
---@operator call(string): any

---What transaction(f) gives to f: query, exec, one, value and the others of a
---client, on one connection. Its reads stand in a savepoint that is read only, so
---that one that fails does not end the transaction.
---@class opsh.postgres.transaction
---@operator call(string): any

---@class opsh.c.pg
local pg = {}

---Sets the functions that json and jsonb are read and written by.
---@param decode fun(text: string): any
---@param encode fun(value: any): string
function pg.json(decode, encode) end

---Sets the tables that methods of clients and transactions are looked up in.
---@param client table
---@param tx table
function pg.methods(client, tx) end

---A client; connects when it is first used.
---@param target userdata opsh.target
---@param options table hosts {{host, port}..}, keywords, timeout, connect_timeout, max, pool, unnamed
---@return opsh.postgres.client
function pg.connect(target, options) end

---@param client opsh.postgres.client
function pg.close(client) end

---@param client opsh.postgres.client
---@return userdata target opsh.target
function pg.target(client) end

---Asks the server to end what other tasks run on this client's connections.
---@param client opsh.postgres.client
---@return integer asked
function pg.cancel(client) end

---What a connection keyword was given, or nil.
---@param client opsh.postgres.client
---@param name string
---@return string?
function pg.keyword(client, name) end

---@param db opsh.postgres.client|opsh.postgres.transaction
---@param sql string
---@param ... any
---@return opsh.postgres.rows
function pg.query(db, sql, ...) end

---@param db opsh.postgres.client|opsh.postgres.transaction
---@param sql string
---@param ... any
---@return opsh.postgres.result
function pg.exec(db, sql, ...) end

---query for a read, exec for anything else.
---@param db opsh.postgres.client|opsh.postgres.transaction
---@param sql string
---@param ... any
---@return opsh.postgres.rows|opsh.postgres.result
function pg.auto(db, sql, ...) end

---@param db opsh.postgres.client|opsh.postgres.transaction
---@param sql string
---@param ... any
---@return fun(): opsh.postgres.row? next, nil, nil, userdata cursor
function pg.rows(db, sql, ...) end

---Starts a COPY on a transaction; a stand-in when a plan withholds it.
---@param tx opsh.postgres.transaction
---@param sql string
---@param opts? table timeout, expect
---@return userdata copy
function pg.copy(tx, sql, opts) end

---@param value any
---@return boolean is it a copy, or what stands for a withheld one?
function pg.is_copy(value) end

---@param copy userdata
---@return string? piece, table? result nil and {count, bytes, ok} at the end
function pg.copy_next(copy) end

---@param copy userdata
---@param piece string
function pg.copy_put(copy, piece) end

---@param copy userdata
---@return table result count, bytes, ok
function pg.copy_end(copy) end

---A connection that listens to channels.
---@param client opsh.postgres.client
---@param channels string[]
---@return userdata listener
function pg.listen(client, channels) end

---@param listener userdata
---@param seconds? number at most; none: without end
---@return {channel: string, payload: string, pid: integer}? nil when none came
function pg.listen_next(listener, seconds) end

---@param listener userdata
function pg.listen_close(listener) end

---What a statement would do, without sending it: class, why, tags, statements,
---parameters, relations, functions and operators that the server has to be asked
---about, block ("any", "bare", "outside" of a transaction), error, error_at.
---@param text string
---@return table verdict
function pg.judge(text) end

---Rows, or a row, as plain tables; NULL is json.null.
---@param rows opsh.postgres.rows|opsh.postgres.row
---@return table
function pg.plain(rows) end

---@param client opsh.postgres.client
---@param opts? table isolation, readonly, timeout
---@return opsh.postgres.transaction
function pg.begin(client, opts) end

---@param tx opsh.postgres.transaction
function pg.commit(tx) end

---@param tx opsh.postgres.transaction
function pg.rollback(tx) end

---Reads identity and role from the server now.
---@param client opsh.postgres.client
---@return string address, boolean pooled, string|boolean tls, string ident, string role
function pg.refresh(client) end

return pg
