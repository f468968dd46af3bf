-- postgres.census: what is in a database, counted: rows of every table, objects by
-- kind, large objects; and what the database itself is (owner, encoding, settings,
-- privileges). Taken in the transaction of a snapshot it says what a dump of that
-- snapshot holds. Compares two of them. Reads only.
local M = {}

-- Tables whose rows a dump has: not those that belong to an extension.
local TABLES <const> = [[
select n.nspname as schema, c.relname as name,
  format('%I.%I', n.nspname, c.relname) as quoted
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and c.relispopulated and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
    and d.objid = c.oid and d.deptype = 'e')
order by 1, 2]]

local OBJECTS <const> = [[
with ours as (
  select oid, nspname from pg_namespace n
  where nspname not in ('pg_catalog', 'information_schema')
    and nspname !~ '^pg_(toast|temp)'
), member as (
  select classid, objid from pg_depend where deptype = 'e'
), found as (
  select case c.relkind when 'r' then 'tables' when 'p' then 'partitioned tables'
    when 'i' then 'indexes' when 'I' then 'partitioned indexes'
    when 'S' then 'sequences' when 'v' then 'views'
    when 'm' then 'materialized views' when 'f' then 'foreign tables'
    else 'composite types' end as kind, c.tableoid, c.oid
  from pg_class c join ours on ours.oid = c.relnamespace where c.relkind <> 't'
  union all select 'functions', p.tableoid, p.oid
  from pg_proc p join ours on ours.oid = p.pronamespace
  union all select case t.typtype when 'e' then 'enums' when 'd' then 'domains'
    else 'ranges' end, t.tableoid, t.oid
  from pg_type t join ours on ours.oid = t.typnamespace
  where t.typtype in ('e', 'd', 'r')
  union all select case c.contype when 'f' then 'foreign keys' when 'c' then
    'checks' when 'p' then 'primary keys' when 'u' then 'unique constraints'
    else 'other constraints' end, c.tableoid, c.oid
  from pg_constraint c join ours on ours.oid = c.connamespace
  union all select 'foreign keys, validated', c.tableoid, c.oid
  from pg_constraint c join ours on ours.oid = c.connamespace
  where c.contype = 'f' and c.convalidated
  union all select 'triggers', t.tableoid, t.oid from pg_trigger t
  where not t.tgisinternal
  union all select 'policies', p.tableoid, p.oid from pg_policy p
  union all select 'schemas', 'pg_namespace'::regclass, ours.oid from ours
  union all select 'extensions', 0, e.oid from pg_extension e
  union all select 'large objects', 0, m.oid from pg_largeobject_metadata m
)
select kind, count(*) as n from found
where not exists (select from member
  where classid = found.tableoid and objid = found.oid)
group by kind order by kind]]

local ABOUT <const> = [[
select current_database() as name, pg_get_userbyid(d.datdba) as owner,
  pg_encoding_to_char(d.encoding) as encoding, to_jsonb(d) as row,
  pg_database_size(d.oid) as size,
  current_setting('server_version') as version,
  current_setting('server_version_num')::int as version_num,
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
    else pg_current_wal_lsn() end::text as lsn,
  to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    as time
from pg_database d where d.datname = current_database()]]

local SETTINGS <const> = [[
select s.setconfig as config, r.rolname as role from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole
where s.setdatabase = (select oid from pg_database
  where datname = current_database())]]

local PRIVILEGES <const> = [[
select r.rolname as role, a.privilege_type as privilege,
  a.is_grantable as grantable
from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
left join pg_roles r on r.oid = a.grantee
where d.datname = current_database() order by 1, 2]]

local EXTENSIONS <const> = [[
select extname as name, extversion as version from pg_extension
where extname <> 'plpgsql' order by 1]]

-- Roles that something in the database belongs to or is granted to.
local ROLES <const> = [[
select distinct r.rolname as name from pg_shdepend s
join pg_roles r on r.oid = s.refobjid
where s.refclassid = 'pg_authid'::regclass and s.deptype in ('o', 'a')
  and s.dbid = (select oid from pg_database where datname = current_database())
order by 1]]

-- Rows as plain tables; NULL is a missing field.
local function list(rows)
	local out = {}
	for i, row in ipairs(rows) do
		out[i] = {}
		for name, value in pairs(row) do out[i][name] = value end
	end
	return out
end

---What the database is: name, owner, encoding, row (of pg_database), size, version,
---version_num, lsn, time, and lists: settings, privileges, extensions, roles.
---@param db opsh.postgres.client|opsh.postgres.transaction
---@return table
function M.about(db)
	local about = list { db:one(ABOUT) }[1]
	about.settings = list(db:query(SETTINGS))
	about.privileges = list(db:query(PRIVILEGES))
	about.extensions = list(db:query(EXTENSIONS))
	about.roles = {}
	for i, row in ipairs(db:query(ROLES)) do about.roles[i] = row.name end
	return about
end

---Counts: rows of every table, and objects by kind. `each(n, total)` hears how far
---it is.
---@param db opsh.postgres.client|opsh.postgres.transaction
---@param opts? {timeout?: number, each?: fun(n: integer, total: integer)}
---@return {tables: {schema: string, name: string, rows: integer}[], rows: integer, objects: table<string, integer>}
function M.count(db, opts)
	opts = opts or {}
	local tables = list(db:query(TABLES))
	local out = { tables = tables, rows = 0, objects = {} }
	for n, t in ipairs(tables) do
		t.rows = db:value("select count(*) from only " .. t.quoted,
			{ timeout = opts.timeout or 3600 })
		t.quoted = nil
		out.rows = out.rows + t.rows
		if opts.each then opts.each(n, #tables) end
	end
	for _, row in ipairs(db:query(OBJECTS)) do out.objects[row.kind] = row.n end
	return out
end

local function shown(name)
	return name:match "^[%l_][%l%d_]*$" and name or M.ident(name)
end

local function by_name(count)
	local out = {}
	for _, t in ipairs(count.tables) do
		out[shown(t.schema) .. "." .. shown(t.name)] = t.rows
	end
	return out
end

-- Adds a row for each name whose numbers differ.
local function differ(out, what, wanted, found)
	local names = {}
	for name in pairs(wanted) do names[#names + 1] = name end
	for name in pairs(found) do
		if wanted[name] == nil then names[#names + 1] = name end
	end
	table.sort(names)
	for _, name in ipairs(names) do
		if wanted[name] ~= found[name] then
			out[#out + 1] = { what = what .. name, wanted = wanted[name],
				found = found[name] }
		end
	end
end

---Where two counts differ: a list that is empty when they are the same.
---@param wanted table of count
---@param found table of count
---@return {what: string, wanted?: integer, found?: integer}[]
function M.compare(wanted, found)
	local out = {}
	differ(out, "rows of ", by_name(wanted), by_name(found))
	differ(out, "", wanted.objects, found.objects)
	return out
end

---Differences as one line: "rows of public.a: 3 in place of 4; ..", five at most.
---@param differences {what: string, wanted?: integer, found?: integer}[]
---@return string
function M.text(differences)
	local parts = {}
	for n, d in ipairs(differences) do
		if n > 5 then
			parts[n] = ("%d more"):format(#differences - 5)
			break
		end
		parts[n] = ("%s: %s in place of %s"):format(d.what,
			d.found or "none", d.wanted or "none")
	end
	return table.concat(parts, "; ")
end

---A name as an identifier of SQL, always in quotes.
---@param name string
---@return string
function M.ident(name) return '"' .. name:gsub('"', '""') .. '"' end

---A text as a literal of SQL.
---@param text string
---@return string
function M.literal(text)
	text = text:gsub("'", "''")
	if text:find("\\", 1, true) then
		return " E'" .. text:gsub("\\", "\\\\") .. "'"
	end
	return "'" .. text .. "'"
end

return M
