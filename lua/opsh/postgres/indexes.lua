-- postgres.indexes: which indexes are missing, unused, the same as another, invalid,
-- or swollen, by the server's own statistics. What is estimated says so. Reads only:
-- it gives the statement that would mend it, and never sends one.
local postgres = require "opsh.postgres"

local M = {}

-- Parts of names that are counted: whose tables they are.
local USERS <const> = [[n.nspname not in ('pg_catalog', 'information_schema')
  and n.nspname !~ '^pg_(toast|temp)']]

-- Tables that are read whole, often, and are large; what reads them by an index
-- is compared.
local MISSING <const> = [[
select format('%I.%I', s.schemaname, s.relname) as "table",
  s.seq_scan as scans, s.seq_tup_read as rows_read,
  (s.seq_tup_read / greatest(s.seq_scan, 1))::int8 as rows_a_scan,
  coalesce(s.idx_scan, 0) as index_scans,
  greatest(c.reltuples, 0)::int8 as rows, pg_table_size(c.oid) as bytes
from pg_stat_user_tables s join pg_class c on c.oid = s.relid
where s.seq_scan >= $1 and s.seq_tup_read / greatest(s.seq_scan, 1) >= $2
order by s.seq_tup_read desc limit 50]]

-- Nobody has read them since the statistics began. What holds a rule (unique,
-- primary, excluding, replica identity) or a partition's whole is no candidate.
local UNUSED <const> = [[
select format('%I.%I', n.nspname, c.relname) as index, t.oid::regclass::text
    as "table", pg_relation_size(c.oid) as bytes, s.idx_scan as scans,
  pg_get_indexdef(c.oid) as definition
from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_class t on t.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_stat_user_indexes s on s.indexrelid = c.oid
where s.idx_scan <= $1 and not i.indisunique and not i.indisprimary
  and not i.indisexclusion and not i.indisreplident and i.indisvalid
  and c.relkind = 'i' and not exists (select 1 from pg_constraint k
    where k.conindid = c.oid)
  and not exists (select 1 from pg_inherits h where h.inhrelid = c.oid)
  and pg_relation_size(c.oid) >= $2 and USERS
order by 3 desc limit 100]]

-- Same table, columns, order, operators, expression and condition. The one that a
-- constraint stands on, or that is unique, is the one that stays.
local DUPLICATE <const> = [[
with x as (
  select i.indexrelid, i.indrelid, c.relname, c.relam, i.indkey::text as keys,
    i.indclass::text as classes, i.indcollation::text as collations,
    i.indoption::text as options, i.indnkeyatts as n,
    coalesce(pg_get_expr(i.indexprs, i.indrelid), '') as expressions,
    coalesce(pg_get_expr(i.indpred, i.indrelid), '') as predicate,
    i.indisunique as uniq, exists (select 1 from pg_constraint k
      where k.conindid = i.indexrelid) as held,
    format('%I.%I', ns.nspname, c.relname) as name,
    pg_relation_size(i.indexrelid) as bytes
  from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_namespace ns on ns.oid = c.relnamespace
  join pg_class tc on tc.oid = i.indrelid
  join pg_namespace n on n.oid = tc.relnamespace
  where i.indisvalid and c.relkind = 'i' and USERS)
select a.name as index, b.name as same_as, a.indrelid::regclass::text as "table",
  a.bytes, pg_get_indexdef(a.indexrelid) as definition
from x a join x b on a.indrelid = b.indrelid and a.indexrelid <> b.indexrelid
  and a.relam = b.relam and a.keys = b.keys and a.n = b.n
  and a.classes = b.classes and a.collations = b.collations
  and a.options = b.options and a.expressions = b.expressions
  and a.predicate = b.predicate
where not a.held and (not a.uniq or b.uniq) and (b.held
  or (b.uniq and not a.uniq) or (a.uniq = b.uniq and a.indexrelid > b.indexrelid))
order by a.bytes desc, 1 limit 100]]

local INVALID <const> = [[
select format('%I.%I', n.nspname, c.relname) as index, i.indrelid::regclass::text
    as "table", pg_relation_size(c.oid) as bytes,
  case when not i.indisready then 'not ready' else 'not valid' end as why,
  exists (select 1 from pg_locks l where l.relation = c.oid and l.granted
    and l.mode = 'ShareUpdateExclusiveLock') as being_built
from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where (not i.indisvalid or not i.indisready) and c.relkind = 'i'
order by 1]]

-- What a btree would take when built anew: entries of the keys' mean width, with
-- their heads, in pages filled to 90 %. An estimate: it knows widths of ANALYZE,
-- and nothing of entries that are kept once for many rows (from Postgres 13 on).
local BLOAT <const> = [[
with x as (
  select c.oid, format('%I.%I', n.nspname, c.relname) as index,
    i.indrelid::regclass::text as "table", pg_relation_size(c.oid) as bytes,
    c.reltuples, current_setting('block_size')::int as page,
    (select coalesce(sum(coalesce(st.avg_width, 8) * (1 - coalesce(
        st.null_frac, 0))), 8) from unnest(i.indkey::int2[]) k
      left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k
      left join pg_stats st on st.schemaname = n.nspname
        and st.tablename = t.relname and st.attname = a.attname) as width
  from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_am m on m.oid = c.relam
  where m.amname = 'btree' and c.relkind = 'i' and i.indisvalid
    and i.indexprs is null and c.reltuples > 0 and USERS)
select index, "table", bytes, greatest(0, bytes - least(bytes,
    ceil(reltuples * (ceil(width / 8) * 8 + 8 + 4) / (page * 0.9) + 1) * page
    ))::int8 as wasted
from x
where bytes >= $1 order by 4 desc limit 50]]

local function rows(db, text, ...)
	text = text:gsub("USERS", (USERS:gsub("%%", "%%%%")))
	return postgres.list(db:query(text, ...))
end

---Large tables that are read whole: at least `scans` times, `rows` each.
---@param db opsh.postgres.client
---@param scans integer
---@param least integer
---@return table[] rows table, scans, rows_read, rows_a_scan, index_scans, rows, bytes
function M.missing(db, scans, least) return rows(db, MISSING, scans, least) end

---Indexes that were read `scans` times or less, and only cost; `bytes` at least.
---@param db opsh.postgres.client
---@param scans integer
---@param bytes integer
---@return table[] rows index, table, bytes, scans, definition, fix
function M.unused(db, scans, bytes)
	local out = rows(db, UNUSED, scans, bytes)
	for _, row in ipairs(out) do
		row.fix = "drop index concurrently " .. row.index
	end
	return out
end

---Indexes that are the same as another one, which is to stay.
---@param db opsh.postgres.client
---@return table[] rows index, same_as, table, bytes, definition, fix
function M.duplicates(db)
	local out, seen = {}, {}
	for _, row in ipairs(rows(db, DUPLICATE)) do
		if not seen[row.index] then	-- the same as several: once
			seen[row.index] = true
			row.fix = "drop index concurrently " .. row.index
			out[#out + 1] = row
		end
	end
	return out
end

---Indexes that no query uses, because CONCURRENTLY did not end.
---@param db opsh.postgres.client
---@return table[] rows index, table, bytes, why, being_built, fix
function M.invalid(db)
	local out = rows(db, INVALID)
	for _, row in ipairs(out) do
		row.fix = not row.being_built and "reindex index concurrently "
			.. row.index or nil
	end
	return out
end

---Btrees that would be smaller when built anew, by estimate: `percent` of their
---bytes and more.
---@param db opsh.postgres.client
---@param bytes integer only those as large
---@param percent number
---@return table[] rows index, table, bytes, wasted, percent, fix
function M.bloat(db, bytes, percent)
	local out = {}
	for _, row in ipairs(rows(db, BLOAT, bytes)) do
		row.percent = row.wasted * 100 // row.bytes
		if row.percent >= percent then
			row.fix = "reindex index concurrently " .. row.index
			out[#out + 1] = row
		end
	end
	return out
end

---How long usage is counted for, in seconds; nil: since the beginning.
---@param db opsh.postgres.client
---@return number?
function M.counted_for(db)
	return db:value [[select extract(epoch from now() - stats_reset)::float8
		from pg_stat_database where datname = current_database()]]
end

return M
