-- pg_types: every built-in type goes there and back without loss, alone and in an
-- array, as text and in binary, and reads as psql shows it; what can't be bound is
-- refused with its place. Against the server of the stack.
local P = dofile "tests/lib/postgres.lua"
local json = require "opsh.json"

-- A value of each type, as Postgres reads it.
local SAMPLES <const> = { bool = "true", bytea = [[\x00ff41]], char = "x",
	name = "flights", int8 = "-9223372036854775808", int2 = "-32768",
	int4 = "2147483647", regproc = "now", text = [[a"b\c {d},'e' ]] .. "\u{1F6EB}",
	oid = "4294967295", tid = "(7,9)", xid = "4000000000", cid = "12",
	json = [[{"a":[1,null,"x"]}]], xml = "<a>b</a>", point = "(1.5,-2)",
	lseg = "[(0,0),(1,1)]", path = "((0,0),(1,1))", box = "(2,2),(1,1)",
	polygon = "((0,0),(1,0),(1,1))", line = "{1,-1,0}", cidr = "10.0.0.0/8",
	float4 = "1.1", float8 = "0.1", circle = "<(1,2),3>",
	macaddr8 = "08:00:2b:01:02:03:04:05", money = "12.34",
	macaddr = "08:00:2b:01:02:03", inet = "10.1.2.3/24",
	aclitem = "postgres=r/postgres", bpchar = "abc", varchar = "var",
	date = "2024-02-29", time = "23:59:59.999999",
	timestamp = "2024-02-29 12:34:56.789012",
	timestamptz = "2024-02-29 12:34:56.789012+00",
	interval = "1 year 2 mons 3 days 04:05:06.7", timetz = "12:00:00+02",
	bit = "1", varbit = "10110", numeric = "-12345678901234567890.1234567890",
	refcursor = "c1", regprocedure = "now()", regoper = "pg_catalog.||/",
	regoperator = "+(integer,integer)", regclass = "pg_class",
	regtype = "integer", uuid = "0f8fad5b-d9cb-469f-a165-70867728950e",
	txid_snapshot = "10:20:10,14", pg_lsn = "16/B374D848",
	tsvector = "'fat':2 'rat':3", tsquery = "'fat' & 'rat'",
	regconfig = "english", regdictionary = "simple",
	jsonb = [[{"a": [1, null, "x"], "b": {"c": true}}]],
	int4range = "[1,5)", numrange = "(1.5,2.5]",
	tsrange = [=[["2024-01-01 00:00:00","2024-01-02 00:00:00")]=],
	tstzrange = [=[["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")]=],
	daterange = "[2024-01-01,2024-02-01)", int8range = "[1,9000000000)",
	jsonpath = [[$."a"[*]?(@ > 1)]], regnamespace = "pg_catalog",
	regrole = "postgres", regcollation = [["C"]],
	int4multirange = "{[1,3),[5,7)}", nummultirange = "{(1.5,2.5]}",
	tsmultirange = "{}", tstzmultirange = "{}",
	datemultirange = "{[2024-01-01,2024-02-01)}", int8multirange = "{[1,2)}",
	pg_snapshot = "10:20:10,14", xid8 = "18446744073709551615" }

-- Types that no user makes a value of.
local INTERNAL <const> = { int2vector = true, oidvector = true, gtsvector = true,
	pg_node_tree = true, pg_ndistinct = true, pg_dependencies = true,
	pg_mcv_list = true, pg_brin_bloom_summary = true,
	pg_brin_minmax_multi_summary = true, pg_ddl_command = true }

local function quoted(type_name)
	return 'pg_catalog."' .. type_name .. '"'
end

describe("postgres types", function()
	it("are all there", P.on(function(db)
		for row in db:rows [[select typname from pg_type
			where typnamespace = 'pg_catalog'::regnamespace and typrelid = 0
			and typtype in ('b', 'r', 'm') and typcategory <> 'A']] do
			ok(SAMPLES[row.typname] or INTERNAL[row.typname],
				"no sample of " .. row.typname)
		end
	end))

	it("go there and back", P.on(function(db)
		for name, text in pairs(SAMPLES) do
			local t = quoted(name)
			local sent = name == "bytea" and "\0\255A" or text
			local shown = db:value("select $1::" .. t .. "::text", sent)
			local value = db:value("select $1::" .. t, sent)
			eq(db:value("select $1::" .. t .. "::text", value), shown, name)
			if type(value) == "string" and name ~= "bytea" then
				eq(value, shown, name)
			end
			if not name:find "json" and name ~= "xml" and name ~= "aclitem" then
				ok(db:value("select $1::" .. t .. " is not null", value), name)
			end
		end
	end), { plain = true })

	it("go in arrays", P.on(function(db)
		for name, text in pairs(SAMPLES) do
			local t = quoted(name)
			local sent = name == "bytea" and "\0\255A" or text
			local shown = db:value("select array[$1::" .. t .. ", null]::text",
				sent)
			local list = db:value("select array[$1::" .. t .. ", null]", sent)
			eq(type(list), "table", name)
			eq(#list, 2, name)
			eq(list[2], json.null, name)
			eq(db:value("select $1::" .. t .. "[]::text", list), shown, name)
		end
		eq(db:value "select '{{1,2},{3,4}}'::int[]", { { 1, 2 }, { 3, 4 } })
		eq(db:value "select '[0:1]={7,8}'::int[]", { 7, 8 })
		eq(db:value "select '{}'::text[]", {})
		eq(db:value("select $1::int[][]::text", { { 1, 2 }, { 3, 4 } }),
			"{{1,2},{3,4}}")
		eq(db:value("select $1::text[]", { "NULL", "", "a,b", '"', "\\" }),
			{ "NULL", "", "a,b", '"', "\\" })
	end), { plain = true })

	it("are exact", P.on(function(db)
		eq(db:value "select 9223372036854775807", math.maxinteger)
		eq(db:value("select $1::int8", math.mininteger), math.mininteger)
		eq(db:value("select $1::float8", 0.1), 0.1)
		eq(db:value("select $1::float8", 1 / 3), 1 / 3)
		eq(db:value("select $1::int4", 3.0), 3)
		eq(db:value "select 0.1 + 0.2", "0.3")
		eq(db:value "select 'infinity'::float8", math.huge)
		ok(db:value "select 'nan'::float8" ~= db:value "select 'nan'::float8")
		eq(db:value("select $1::float8 = '-infinity'", -math.huge), true)
		eq(db:value("select $1::timestamptz at time zone 'UTC'", 1700000000.5),
			"2023-11-14 22:13:20.5")
		eq(db:value("select $1::jsonb", { a = { 1, json.null }, b = true }),
			{ a = { 1, json.null }, b = true })
		eq(db:value "select '123456789012345678901234567890'::jsonb",
			"123456789012345678901234567890")
		eq(db:value("select $1::jsonb ->> 'k'", '{"k": "v"}'), "v")
		local all = {}
		for i = 0, 255 do all[#all + 1] = string.char(i) end
		local bytes = table.concat(all)
		eq(db:value("select $1::bytea", bytes), bytes)
		eq(db:value("select length($1::bytea)", bytes), 256)
		eq(db:value "select '\\000\\377a\\\\\\\\'::bytea" ~= nil, true)
		eq(db:value "select ''", "")
	end))

	it("are refused with their place", P.on(function(db)
		local e = raises("usage", db.query, db, "select $1::text", "ab\0c")
		ok(e.message:find("$1 has a NUL byte at 3", 1, true), e.message)
		e = raises("usage", db.query, db, "select $1::text, $2::text", "ok",
			"caf\xe9")
		ok(e.message:find("$2 is no UTF-8 at byte 4", 1, true), e.message)
		raises("usage", db.query, db, "select $1::int[]", { a = 1 })
		raises("usage", db.query, db, "select $1::text", print)
		raises("usage", db.query, db, "select 1 -- \0")
		e = raises("server", db.query, db, "select $1::int", "x")
		eq(e.code, "22P02")
		raises("server", db.query, db, "select $1::int", 1.5)
		eq(db:value "select 1", 1)
	end))

	it("read as psql shows them", P.on(function(db)
		local sql = [[select 1.50::numeric, 'x y'::text, 1::int8, true,
			'2024-01-01'::date, '1 day'::interval, '{a,b}'::text[]::text,
			'10.0.0.1'::inet, 1.5::float8]]
		local bin = os.getenv "OPSH_POSTGRES_BIN" .. "/psql"
		local p = io.popen(("%s -XAtc '%s' '%s'"):format(bin,
			sql:gsub("'", "'\\''"), os.getenv "OPSH_POSTGRES_SUPER_URL"))
		local shown = p:read "l"
		p:close()
		local parts, row = {}, db:one(sql)
		for i = 1, 9 do
			local v = row[i]
			parts[i] = v == true and "t" or tostring(v)
		end
		eq(table.concat(parts, "|"), shown)
	end), { plain = true })

	it("come in binary where that is better", P.on(function(db)
		local row = db:one [[select 1.5::float8 as f, true as b, -2::int2 as s,
			-3::int4 as i, -4::int8 as l, 5::oid as o, 'text' as t,
			'\x00ff'::bytea as y, '{"a":1}'::jsonb as j, '[2]'::json as k,
			null::float8 as n]]
		eq(row.f, 1.5)
		eq(row.b, true)
		eq(row.s, -2)
		eq(row.i, -3)
		eq(row.l, -4)
		eq(row.o, 5)
		eq(row.t, "text")
		eq(row.y, "\0\255")
		eq(row.j, { a = 1 })
		eq(row.k, { 2 })
		eq(row.n, nil)
	end))
end)
