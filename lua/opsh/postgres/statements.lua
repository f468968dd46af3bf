-- postgres.statements: what pg_stat_statements has counted, by either naming of its
-- columns (mean_time until Postgres 12, mean_exec_time since), from whatever schema it
-- stands in. Says what to do where it is missing. Reads only.
local activity = require "opsh.postgres.activity"
local err = require "opsh.c.err"
local postgres = require "opsh.postgres"

local M = {}

-- What the order is by, of the columns below.
M.orders = { total = "total_ms", mean = "mean_ms", calls = "calls",
	rows = "rows", reads = "blocks_read", max = "max_ms", temp = "temp_blocks" }

---@class opsh.postgres.statement
---@field queryid string a number of 64 bits, as text
---@field query string as it was normalised, with $1 for constants
---@field user? string
---@field database? string
---@field calls integer
---@field total_ms number
---@field mean_ms number
---@field max_ms number
---@field stddev_ms number
---@field rows integer
---@field blocks_hit integer
---@field blocks_read integer
---@field temp_blocks integer
---@field share number percent of the time of all

local function missing(message, hint)
	error(err.new { kind = "check", code = "NO_STATEMENTS", message = message,
		hint = hint }, 0)
end

---Where the extension is and how its columns are named. Raises kind check, with
---what to do, when it is not there.
---@param db opsh.postgres.client
---@return {view: string, time: string, mean: string, version: string}
function M.find(db)
	local row = db:one [[
		select quote_ident(n.nspname) || '.pg_stat_statements' as view,
			e.extversion as version, exists (select 1 from pg_attribute a
				where a.attrelid = (quote_ident(n.nspname)
				|| '.pg_stat_statements')::regclass
				and a.attname = 'mean_exec_time' and not a.attisdropped) as new
		from pg_extension e join pg_namespace n on n.oid = e.extnamespace
		where e.extname = 'pg_stat_statements']]
	local name = db:value "select current_database()"
	if not row then
		local loaded = db:value [[select setting from pg_settings
			where name = 'pg_stat_statements.max']]
		missing(("pg_stat_statements is not in database '%s'"):format(name),
			loaded and "its library is loaded: `create extension "
			.. "pg_stat_statements` in this database"
			or "1. opsh run postgres/tune setting=shared_preload_libraries "
			.. "value=pg_stat_statements  2. restart the server  3. `create "
			.. "extension pg_stat_statements` in this database")
	end
	return { view = row.view, version = row.version,
		time = row.new and "_exec_time" or "_time" }
end

local COLUMNS <const> = [[
select s.queryid::text as queryid, s.query, r.rolname as "user",
  d.datname as database, s.calls, s.total@ as total_ms, s.mean@ as mean_ms,
  s.max@ as max_ms, s.stddev@ as stddev_ms, s.rows,
  s.shared_blks_hit as blocks_hit, s.shared_blks_read as blocks_read,
  s.temp_blks_read + s.temp_blks_written as temp_blocks,
  coalesce(s.total@ * 100 / nullif(sum(s.total@) over (), 0), 0) as share
from VIEW s left join pg_roles r on r.oid = s.userid
left join pg_database d on d.oid = s.dbid
where ($2::text is null or s.queryid::text = $2)
  and ($3::text is null or d.datname = $3)
  and s.calls >= $4
order by ORDER desc limit $1]]

---Statements in an order (M.orders), the most expensive first. What this program
---asks itself is left out.
---@param db opsh.postgres.client
---@param opts? {by?: string, limit?: integer, queryid?: string, database?: string, calls?: integer}
---@return opsh.postgres.statement[]
function M.top(db, opts)
	opts = opts or {}
	local order = M.orders[opts.by or "total"]
	if not order then error(("unknown order '%s'"):format(opts.by), 2) end
	local found = M.find(db)
	local text = COLUMNS:gsub("@", found.time):gsub("VIEW", found.view)
		:gsub("ORDER", order)
	local out = postgres.list(db:query(text, opts.limit or 20, opts.queryid,
		opts.database, opts.calls or 1))
	for _, s in ipairs(out) do	-- of another, to a role that may not see
		s.query = s.query or "<not to be seen by this role>"
	end
	return out
end

---Rows for a table: times in words, statements on one line.
---@param list opsh.postgres.statement[]
---@param width integer
---@return table[]
function M.rows(list, width)
	local rows = {}
	for n, s in ipairs(list) do
		local read = s.blocks_hit + s.blocks_read
		rows[n] = { queryid = s.queryid, calls = s.calls, user = s.user,
			database = s.database, rows = s.rows,
			total_ms = s.total_ms, mean_ms = s.mean_ms, max_ms = s.max_ms,
			blocks_read = s.blocks_read, temp_blocks = s.temp_blocks,
			share = ("%.1f"):format(s.share),
			total = activity.span(s.total_ms / 1000),
			mean = ("%.3g"):format(s.mean_ms), max = ("%.3g"):format(s.max_ms),
			per_call = ("%.4g"):format(s.rows / s.calls),
			memory = read > 0 and ("%.1f"):format(s.blocks_hit * 100 / read)
				or nil,
			query = activity.one_line(s.query, width) }
	end
	return rows
end

return M
