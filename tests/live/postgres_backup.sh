#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154 # Lua and SQL in quotes; names of test.sh
# postgres_backup.sh: postgres/backup, verify-backup and restore on a real server, the
# whole way: a million rows and odd names come back as they were, what was there is
# kept. What goes wrong on it is in postgres_backup_faults.sh. Owns its databases and
# folders. OPSH_BACKUP_ROWS=N: so many rows.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/pg_backup.sh
. "$t_here/pg_backup.sh"

rows=${OPSH_BACKUP_ROWS:-1000000}

tables() {
	cat <<-'SQL'
	select format('%I.%I', n.nspname, c.relname) from pg_class c
	join pg_namespace n on n.oid = c.relnamespace
	where c.relkind in ('r', 'm') and n.nspname !~ '^pg_|^information_'
	order by 1
	SQL
}

# contents DATABASE: a line for each table with a sum over all rows, each sequence,
# large object, definition.
contents() {
	{
		tables | sql "$1" | while IFS= read -r name; do
			printf "select %s, count(*), sum(hashtextextended(t::text, 7)) \
from %s t;\n" "'${name//\'/\'\'}'" "$name"
		done
		cat <<-'SQL'
		select 'lo', oid, md5(lo_get(oid)) from pg_largeobject_metadata order by 2;
		select 'seq', schemaname, sequencename, last_value, increment_by
		  from pg_sequences order by 2, 3;
		select 'view', schemaname, viewname, definition from pg_views
		  where schemaname !~ '^pg_|^information_' order by 2, 3;
		select 'index', indexdef from pg_indexes
		  where schemaname !~ '^pg_' order by 2;
		select 'constraint', conname, convalidated, pg_get_constraintdef(oid)
		  from pg_constraint where connamespace = 'public'::regnamespace
		  order by 2, 4;
		select 'extension', extname, extversion from pg_extension order by 2;
		select 'owner', n.nspname, c.relname, pg_get_userbyid(c.relowner), c.relacl
		  from pg_class c join pg_namespace n on n.oid = c.relnamespace
		  where n.nspname !~ '^pg_|^information_' order by 2, 3;
		select 'function', proname, prosrc from pg_proc
		  where pronamespace = 'public'::regnamespace order by 2;
		select 'database', pg_encoding_to_char(encoding), datcollate,
		  pg_get_userbyid(datdba), array(select unnest(datacl)::text order by 1)
		  from pg_database
		  where datname = current_database();
		select 'setting', setconfig from pg_db_role_setting where setdatabase =
		  (select oid from pg_database where datname = current_database());
		select 'roles', rolname from pg_roles order by 2;
		SQL
	} | sql "$1"
}

# The database with odd names.
fill() {
	sql postgres <<-SQL
	create database "${odd//\"/\"\"}" owner ops;
	alter database "${odd//\"/\"\"}" set work_mem to '7MB';
	revoke connect on database "${odd//\"/\"\"}" from public;
	SQL
	sql "$odd" <<-SQL
	create extension pg_stat_statements;
	create extension pgcrypto;
	create schema "Odd Schema" authorization ops;
	create table customers (id int primary key, name text not null);
	insert into customers select n, 'c' || n from generate_series(1, 1000) n;
	create table orders (id bigint generated always as identity primary key,
	  customer int not null references customers, note text,
	  at timestamptz not null default '2026-01-01', cents numeric(12,2));
	insert into orders (customer, note, cents) select n % 1000 + 1,
	  md5(n::text), n / 100.0 from generate_series(1, $rows) n;
	create index on orders (customer);
	create table "Odd Schema"."-Tä ""b'le x" ("Select" int, "a b" text[], j jsonb,
	  b bytea, "ü" double precision);
	insert into "Odd Schema"."-Tä ""b'le x" values
	  (1, array['a', null, 'x,"y"'], '{"a": [1, null]}', '\\x00ff', 'NaN'),
	  (null, null, null, null, -0.1);
	create table "a.b" (c int); create table "Empty" ();
	create schema a; create table a."b" (c int); insert into a.b values (1);
	create table parted (k int, v text) partition by range (k);
	create table parted_1 partition of parted for values from (0) to (10);
	insert into parted values (3, 'three');
	create unlogged table scratch (n int); insert into scratch values (7);
	create materialized view totals as select customer, sum(cents) s from orders
	  group by customer;
	create view "big orders" as select * from orders where cents > 9999;
	create sequence "Counter" start 41 increment 7;
	select nextval('"Counter"') \\g /dev/null
	create function add(int, int) returns int language sql as 'select \$1 + \$2';
	alter table orders add constraint later foreign key (customer)
	  references customers not valid;
	alter table "Odd Schema"."-Tä ""b'le x" owner to ops;
	grant select on customers to ops;
	select lo_from_bytea(70001, '\\x0102'), lo_from_bytea(70002,
	  decode(repeat('ab', 100000), 'hex')) \\g /dev/null
	SQL
	echo "alter database \"${odd//\"/\"\"}\" set search_path to
		\"\$user\", public, \"Odd Schema\"" | sql postgres
}

whole() {
	local before now kept
	before=$(contents "$odd")
	o run postgres/backup to="$t_tmp/b" compress=1
	exits 'backup of a million rows' 0
	t_is 'one folder' "$(count "$t_tmp/b")" 1
	dir=$(backups "$t_tmp/b")
	t_ok 'its checksums are those of sha256sum' env -C "$dir" \
		sha256sum -c --quiet SHA256SUMS
	t_ok 'the manifest counts what is there' python3 - "$dir/manifest.json" \
		"$rows" "$odd" <<-'EOT'
	import json, sys
	m = json.load(open(sys.argv[1]))
	rows = {(t["schema"], t["name"]): t["rows"] for t in m["tables"]}
	assert rows["public", "orders"] == int(sys.argv[2]), rows
	assert rows["Odd Schema", "-Tä \"b'le x"] == 2, rows
	assert rows["public", "a.b"] == 0 and rows["a", "b"] == 1, rows
	assert rows["public", "scratch"] == 1 and rows["public", "totals"] == 1000
	assert m["objects"]["large objects"] == 2 and m["database"] == sys.argv[3]
	assert m["objects"]["foreign keys"] == 2, m["objects"]
	assert m["objects"]["foreign keys, validated"] == 1, m["objects"]
	assert m["server_version"] and m["lsn"] and m["time"] and m["database_size"]
	EOT
	t_is 'nobody else may read it' "$(stat -c %a "$dir" "$dir/database.dump" |
		tr '\n' ' ')" '700 600 '
	t_is 'the password is in no argument on record' "$(grep -rl \
		"$OPSH_POSTGRES_SUPER_PASSWORD" "$XDG_STATE_HOME" "$t_tmp/b")" ''
	o run postgres/verify-backup from="$t_tmp/b"
	exits 'verify: no terminal' 14
	t_is 'nothing was made' "$(databases)" "$odd flights postgres small $(
		)template0 template1 "
	o run postgres/verify-backup from="$t_tmp/b" --approve db
	exits 'verify' 0
	t_match 'says what it restored' "$(cat "$out")" \
		"*large_objects *2*rows *$((rows + 2005))*verified *true*"
	t_is 'the scratch database is gone' "$(databases)" \
		"$odd flights postgres small template0 template1 "
	echo 'delete from customers where id > 999999; drop view "big orders";
		update "Odd Schema"."-Tä ""b'"'"'le x" set "Select" = 5;
		truncate orders; select lo_unlink(70001)' | sql "$odd" >/dev/null
	t_ok 'it is not what it was' test "$(contents "$odd")" != "$before"
	o run postgres/restore from="$t_tmp/b"
	exits 'restore: no terminal' 14
	tells 'which is said' '*--approve db*'
	NO_COLOR=1 timeout -k 1 90 "$t_root/tests/lib/reader.py" "$out" "$opsh" --targets \
		"$t_tmp/opsh.lua" run postgres/restore from="$t_tmp/b"
	rc=$?
	tr -d '\r' <"$out" >"$err" && cp "$err" "$out"
	exits 'restore, by one who reads what he types' 0
	now=$(contents "$odd")
	t_is 'every table, sequence, large object, view as it was' \
		"$(diff <(echo "$before") <(echo "$now"))" ''
	kept=$(sed -n 's/^kept *//p' "$out")
	t_match 'the other is kept' "$kept" '-Odd*_before_*'
	t_is 'with what was in it' "$(echo 'select count(*) from orders' |
		sql "$kept")" 0
	o run postgres/restore back="$kept" database="$odd" --approve db
	exits 'back' 0
	t_is 'it serves again' "$(echo 'select count(*) from orders' | sql "$odd")" 0
	after=$(sed -n 's/^kept *//p' "$out")
	t_is 'and the restored one is kept' "$(echo 'select count(*) from orders' |
		sql "$after")" "$rows"
	o run postgres/restore drop=flights --approve db
	exits 'what restore did not make is not dropped' 3
	o run postgres/restore drop="$after"
	exits 'drop: no terminal' 14
	o run postgres/restore drop="$after" --approve db
	exits 'drop' 0
	t_is 'it is gone' "$(databases)" \
		"$odd flights postgres small template0 template1 "
}

prepare
fill
whole
t_done
