-- complete.sql: inside `db "select ..."` and the texts of query, exec and the others:
-- tables, columns, keywords. Tables and columns are those of the connected server,
-- asked for in the background and kept; nothing is asked of one that is not
-- connected.
local catalog = require "repl.catalog"

-- Everything that a role may see; what is of the system last.
local TABLES <const> = [[
select n.nspname as schema, c.relname as name,
  pg_table_is_visible(c.oid) as visible,
  (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod),
      E'\n' order by a.attnum) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not like 'pg_toast%' and n.nspname not like 'pg_temp%'
order by n.nspname in ('pg_catalog', 'information_schema'), n.nspname, c.relname
limit 5000]]

local KEYWORDS <const> = [[select from where and or not in is null like ilike between
exists join left right inner outer full cross on using group by having order asc desc
limit offset distinct as case when then else end union all intersect except with
recursive insert into values update set delete returning create table index view
materialized drop alter add column truncate vacuum analyze explain begin commit
rollback savepoint grant revoke concurrently if cascade lock show count sum min max
avg coalesce now interval true false conflict do nothing lateral for skip locked]]

local METHODS = { query = true, exec = true, one = true, value = true, rows = true,
	copy_out = true, copy_in = true }
-- What comes after these is a table.
local BEFORE_TABLE = { from = true, join = true, into = true, update = true,
	table = true, truncate = true, vacuum = true, analyze = true, copy = true,
	lock = true, only = true }

local function identifier(name)
	if name:find "^[%l_][%l%d_$]*$" then return name end
	return '"' .. name:gsub('"', '""') .. '"'
end

-- Rows of the server -> {tables = {{schema, name, visible, columns}}, by = name -> table}
local function read_tables(client)
	local out = { tables = {}, by = {} }
	for n, row in ipairs(client:query(TABLES, { timeout = 3 })) do
		local columns = {}
		for name, kind in (row.columns or ""):gmatch "(%S+) ([^\n]*)" do
			columns[#columns + 1] = { name = name, type = kind }
		end
		local one = { schema = row.schema, name = row.name,
			visible = row.visible, columns = columns, system = row.schema ==
			"pg_catalog" or row.schema == "information_schema" }
		out.tables[n] = one
		out.by[row.schema .. "." .. row.name] = one
		if row.visible and not out.by[row.name] then out.by[row.name] = one end
	end
	return out
end

-- The target whose SQL the open string is.
local function target_of(c)
	local call = c.str and c.str.first and not c.str.table and c.str.call
	local thing = call and call.thing
	if not thing then return nil end
	local target = thing.target and not thing.owner and thing.target
	if not target and thing.member and METHODS[thing.member.name] then
		target = thing.owner.target
		if not target and thing.owner.class == "opsh.postgres.transaction" then
			target = { kind = "postgres" }	-- of which, is not known
		end
	end
	return target and target.kind == "postgres" and target
end

-- Names that the statement mentions where tables stand, with their aliases.
local function mentioned(text, known)
	local out = {}
	local words = {}
	for word in text:gsub("'[^']*'", " "):gmatch "[%w_.$\"]+" do
		words[#words + 1] = word
	end
	for n, word in ipairs(words) do
		local name = BEFORE_TABLE[word:lower()] and words[n + 1]
		local found = name and known.by[(name:gsub('"', ""))]
		if found then
			out[found.name], out[name] = found, found
			local alias = words[n + 2]
			if alias and alias:lower() == "as" then alias = words[n + 3] end
			if alias and not KEYWORDS:find("%f[%w]" .. alias:lower():gsub(
				"%p", "%%%0") .. "%f[%W]") then
				out[alias] = found
			end
		end
	end
	return out
end

local function add_tables(list, known, schema)
	local schemas = {}
	for _, one in ipairs(known.tables) do
		local detail = ("table of %s"):format(one.schema)
		if schema then
			if one.schema == schema then
				list:add(schema .. "." .. identifier(one.name), "table", detail)
			end
		else
			if one.visible then
				list:add(identifier(one.name), "table", detail,
					{ rank = one.system and 6 or 2 })
			end
			schemas[one.schema] = true
		end
	end
	for name in pairs(schemas) do
		list:add(identifier(name), "schema", nil, { rank = 7, append = "." })
	end
end

local function add_columns(list, one, prefix, rank)
	for _, column in ipairs(one.columns) do
		list:add(prefix .. identifier(column.name), "column", column.type,
			{ rank = rank })
	end
end

local function add_keywords(list, word)
	if word == "" then return end
	local capitals = word:find "^%u%u"
	for keyword in KEYWORDS:gmatch "%a+" do
		list:add(capitals and keyword:upper() or keyword, "keyword", nil,
			{ rank = 5 })
	end
end

return {
	order = 11,
	complete = function(c, list)
		local target = target_of(c)
		if not target then return false end
		local known = target.name and catalog.get(c.ctx, target, "tables",
			read_tables) or { tables = {}, by = {} }
		local word = c.str.text:match "[%w_.$\"]*$"
		local before = c.str.text:sub(1, #c.str.text - #word)
		list:start(c.at - #word + 1, true)
		local last = (before:match "([%w_]+)%s*$" or ""):lower()
		local qualifier = word:match "^(.*)%."
		-- what stands after the cursor says more: "select | from t"
		local full = c.text:sub(c.str.from)
		local stop = c.str.quote == "[" and "]" or c.str.quote
		full = full:sub(1, (full:find(stop, #c.str.text + 1, true) or 0) - 1)
		local tables = mentioned(full, known)
		if BEFORE_TABLE[last] then
			add_tables(list, known, qualifier)
			return true
		elseif qualifier then
			local one = tables[qualifier] or known.by[qualifier]
			if one then add_columns(list, one, qualifier .. ".", 1) end
			add_tables(list, known, qualifier)
			return true
		end
		for _, one in pairs(tables) do add_columns(list, one, "", 1) end
		add_keywords(list, word)
		if word ~= "" then add_tables(list, known) end
		return true
	end,
}
