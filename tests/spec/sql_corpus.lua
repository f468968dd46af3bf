-- sql_corpus: spellings of reads, writes and destructive statements, and the
-- statements that have an effect although the transaction is READ ONLY. Used by
-- tests/unit/test_pg_sql.c, by the spec, and on a real server, whose log and
-- state are the witness. `setup` makes what they name. Data only.
local corpus = {}

corpus.setup = [[
create schema s;
create table t (id int primary key, a int, note text, ts timestamptz default now(),
	j jsonb, tags text[]);
create table u (id int references t, b text);
create table s.t (id int);
create table "Odd Name" ("Select" int);
create table empty (id int);
create view v as select id, upper(note) as note from t;
create materialized view mv as select count(*) as n from t;
create sequence seq;
create index t_a on t (a);
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create function noisy(int) returns int language plpgsql volatile as
	'begin perform pg_logical_emit_message(false, ''x'', ''y''); return $1; end';
create function noisy_step(int, int) returns int language plpgsql volatile as
	'begin return $1; end';
create aggregate noisy_sum (int) (sfunc = noisy_step, stype = int);
create aggregate calm_sum (int) (sfunc = int4pl, stype = int);
create view loud as select noisy(id) as n from t;
create view louder as select n + 1 as n from (select n from loud) x;
create view waker as select pg_cancel_backend(0) as c;
create procedure p() language plpgsql as 'begin insert into empty values (1); end';
create type mood as enum ('calm');
insert into t select n, n % 7, 'note ' || n, now(), '{"k": [1, 2]}', array['x', 'y']
	from generate_series(1, 50) n;
insert into u select n, 'b' from generate_series(1, 50) n;
]]

-- Judged a read with nothing to look up, and the server takes them READ ONLY.
corpus.read = {
	"select 1",
	"SELECT 1;",
	"select /* drop table t */ 1 -- delete from t",
	"/* a /* nested */ comment */ select 1",
	"select 'drop table t; delete from t'",
	"select $$delete from t$$, $tag$ truncate t $tag$",
	"select E'it\\'s; drop table t; --'",
	"select 'a\\', ' -- '",
	"select U&'d\\0061ta', U&'d!0061t' uescape '!'",
	"select \"Select\" from \"Odd Name\"",
	"select id as \"delete\", a as \"update\" from t",
	"table t",
	"values (1, 'a'), (2, 'b')",
	"select * from only t where id = 1",
	"select * from s.t union all select id from t except select 3",
	"select t.*, u.b from t join u using (id) left join s.t x on x.id = t.id",
	"select * from t where exists (select from u where u.id = t.id)",
	"select count(*) filter (where a > 1) from t group by a",
	"select sum(a) over (partition by a % 2 order by id) from t",
	"select a, count(*) from t group by rollup (a) having count(*) > 1 order by 1",
	"with x as (select * from t), y as (select * from x) select * from y",
	"with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) "
		.. "select * from r",
	"with x as materialized (select 1) select * from x",
	"select * from generate_series(1, 3) with ordinality g(n, o)",
	"select * from t, lateral (select t.a * 2) l(d)",
	"select * from rows from (generate_series(1, 2), unnest(array[1, 2])) r",
	"select * from t tablesample system (100)",
	"select array(select id from t), (array[1, 2, 3])[1:2]",
	"select row(1, 2), (row(1, 2)).f1",
	"select case when a > 1 then 'x' else 'y' end, coalesce(a, 0), nullif(a, 1) from t",
	"select greatest(1, 2), least(1, 2), grouping(a) from t group by a",
	"select cast('1' as int), '1'::int, int '1', date '2020-01-01' + interval '1 day'",
	"select extract(year from now()), current_timestamp, localtime, current_user, "
		.. "session_user",
	"select position('a' in 'ba'), substring('abc' from 2 for 1), trim(both 'x' from 'xax')",
	"select overlay('abc' placing 'x' from 2), 'a' like 'b', 'a' similar to 'b'",
	"select 'a' ~ 'b', 'a' !~* 'b', a between 1 and 2, a in (1, 2), a is distinct from "
		.. "1 from t",
	"select a = any (array[1]), a = all (select 1), (a, 1) = (1, 2) from t",
	"select j -> 'k' ->> 0, j #> '{k}', j ? 'k', j @> '{}' , jsonb_path_query(j, "
		.. "'$.k') from t",
	"select 1 operator(pg_catalog.+) 2",
	"select pg_catalog.count(*), \"pg_catalog\".\"lower\"('X') from t",
	"select string_agg(note, ',' order by id), percentile_cont(0.5) within group "
		.. "(order by a) from t",
	"select ts at time zone 'UTC', timezone('UTC', ts), date_trunc('day', ts) from t",
	"select xmlelement(name x, 1), xmlagg(xmlforest(a)) from t",
	"select * from xmltable('/a' passing xml '<a/>' columns b text)",
	"select * from json_to_record('{\"a\":1}') as x(a int)",
	"select * from t order by id desc nulls last limit 5 offset 2",
	"select * from t order by id fetch first 2 rows with ties",
	"select distinct a from t group by (), a",
	"select from t window w as ()",
	"select tags[1], tags[1:2], tags[:] from t",
	"select * from json_to_recordset('[]') as x(a int), rows from (unnest(array[0])) r(b)",
	"select distinct on (a) a, id from t order by a, id",
	"select 1 as \"pg_promote\", 'pg_terminate_backend(1)'",
	"explain select * from t",
	"explain (costs off, format json) select * from t",
	"explain delete from t",
	"explain (analyze false) update t set a = 1",
	"explain (analyze, analyze off) insert into t values (1)",
	"explain select nextval('seq'), pg_terminate_backend(1)",
	"explain analyze select * from t",
	"explain (analyze, buffers, verbose) select count(*) from t",
	"show all",
	"show server_version",
	"copy t to stdout",
	"copy (select * from t) to stdout with (format csv, header)",
	"declare c cursor for select * from t",
	"set local statement_timeout = '5s'",
	"select set_config('statement_timeout', '5s', true)",
	"select current_setting('work_mem'), pg_backend_pid(), version()",
	"select pg_is_in_recovery(), pg_current_wal_lsn(), pg_walfile_name('0/1')",
	"select pg_size_pretty(pg_database_size(current_database()))",
	"select pg_total_relation_size('t'), pg_relation_size('t'::regclass)",
	"select pid, state, query from pg_stat_activity where pid <> pg_backend_pid()",
	"select pg_blocking_pids(pid) from pg_locks where not granted",
	"select * from pg_stat_replication, pg_stat_get_wal_senders()",
	"select * from pg_replication_slots",
	"select * from information_schema.tables where table_name = 't'",
	"select system_identifier from pg_control_system()",
	"select timeline_id from pg_control_checkpoint()",
	"select * from pg_ls_dir('.') limit 1",
	"select length(pg_read_file('PG_VERSION'))",
	"select * from pg_ls_waldir() limit 1",
	"select random(), clock_timestamp(), gen_random_uuid(), pg_sleep(0)",
	"select setseed(0.5)",
	"select pg_get_viewdef('v'::regclass), obj_description('t'::regclass)",
	"select has_table_privilege('t', 'select'), pg_has_role('pg_monitor', 'member')",
	"select txid_current_if_assigned(), pg_current_snapshot()",
	"select * from v",
	"select md5(note), sha256('x'), encode('\\x00', 'hex') from t",
	"select format('%I', 'x'), quote_ident('Odd'), to_char(now(), 'YYYY')",
	"select to_tsvector('english', 'a') @@ to_tsquery('english', 'b')",
	"\tselect\n\t1\r\n",
	"select 1 where 1 = 1 or 'x' = 'for update'",
	"select \"update\" from (select 1 as \"update\") \"delete\"",
	"select 1 as \"for\", 2 as \"into\"",
}

-- Reads too, but the server takes them only before a transaction's first query.
corpus.first = {
	"set transaction isolation level repeatable read",
	"set transaction read only",
	"set transaction deferrable",
}

-- Judged a write, no worse.
corpus.write = {
	"insert into t values (100)",
	"insert into t (id) select 101 on conflict do nothing",
	"insert into t (id) values (1) on conflict (id) do update set a = 2",
	"INSERT/**/INTO t(id)VALUES(102)RETURNING*",
	"with x as (select 103 as id) insert into t (id) select id from x",
	"with x as (insert into t (id) values (104) returning *) select * from x",
	"with x as (update t set a = 1 where id = 1 returning *) select * from x",
	"with x as (delete from u where id = 1 returning *) select * from x",
	"select * from t where id = 1 for update",
	"select * from t for no key update of t skip locked",
	"select * from t for share nowait",
	"select * from (select * from t for key share) x",
	"select * into new_table from t",
	"select 1 as x into temp new_temp",
	"create table new_table as select * from t",
	"create temp table new_temp (id int)",
	"create unlogged table new_table (id int default nextval('seq'))",
	"update t set a = 1 where id = 3",
	"update only s.t set id = 1 where id in (select id from t)",
	"update t set a = u.id from u where u.id = t.id",
	"delete from u where id = 3",
	"delete from u using t where t.id = u.id and t.a = 3",
	"merge into t using u on t.id = u.id when matched then update set a = 1",
	"merge into t using u on t.id = u.id when matched then delete",
	"merge into t using u on true when matched and t.id = 1 then delete",
	"explain analyze delete from u where id = 1",
	"explain (analyze on) insert into t values (105)",
	"explain (analyze 1) update t set a = 2 where id = 1",
	"EXPLAIN ANALYZE VERBOSE select nextval('seq')",
	"explain analyze create table new_table as select 1",
	"copy t from stdin",
	"copy t (id) from '/tmp/x' with (format csv)",
	"select nextval('seq')",
	"select setval('seq', 5), currval('seq')",
	"select pg_catalog.nextval('seq')",
	"select \"nextval\"('seq')",
	"select \"pg_catalog\".\"nextval\"('seq')",
	"select U&\"n\\0065xtval\"('seq')",
	"select NextVal /* x */ ('seq')",
	"select * from nextval('seq')",
	"select 1 where nextval('seq') > 0",
	"select a from t order by nextval('seq')",
	"select case when true then nextval('seq') end",
	"select (select max(x) from (select nextval('seq') as x) y)",
	"select count(*) filter (where nextval('seq') > 0) from t",
	"select array[nextval('seq')], row(nextval('seq')), nextval('seq')::text",
	"select * from t join u on nextval('seq') > 0",
	"select * from t tablesample bernoulli (nextval('seq'))",
	"values (nextval('seq'))",
	"select 1 limit nextval('seq')",
	"copy (select nextval('seq')) to stdout",
	"declare c cursor for select nextval('seq')",
	"prepare q as insert into t values ($1)",
	"execute q(1)",
	"do $$ begin perform 1; end $$",
	"do language plpgsql $$ begin delete from u where id = 1; end $$",
	"call p()",
	"create index on t (note)",
	"create index concurrently t_note on t (note)",
	"alter table t add column extra int",
	"alter table t rename column a to aa",
	"alter table t alter a set default 1, alter a drop default, alter a drop not null",
	"alter table t validate constraint c",
	"alter index t_a rename to t_b",
	"alter sequence seq restart",
	"alter type mood add value 'glad'",
	"alter role current_user set work_mem = '4MB'",
	"alter system set work_mem = '4MB'",
	"create view w as select 1",
	"create or replace function twice(int) returns int language sql as 'select $1 * 2'",
	"create function gone() returns void language sql begin atomic delete from t; end",
	"create rule r as on insert to empty do instead delete from t",
	"create role somebody",
	"create database other",
	"create extension pgcrypto",
	"grant select on t to public",
	"revoke select on t from public",
	"comment on table t is 'x'",
	"refresh materialized view mv",
	"analyze t",
	"vacuum t",
	"vacuum (analyze, full false) t",
	"reindex (concurrently) index t_a",
	"reindex table concurrently t",
	"lock table t in row exclusive mode",
	"notify ch, 'x'",
	"listen ch",
	"set work_mem = '4MB'",
	"set search_path to s",
	"select set_config('work_mem', '4MB', false)",
	"select set_config('wo' || 'rk_mem', '4MB', true)",
	"select pg_notify('ch', 'x')",
	"select lo_from_bytea(0, 'x')",
	"select ts_stat('select 1')",
	"select query_to_xml('select 1', true, true, '')",
	"security label on table t is 'x'",
	"import foreign schema x from server y into z",
	"deallocate all",
	"commit prepared 'x'",
}

-- Judged destructive.
corpus.destructive = {
	"drop table t",
	"DROP TABLE IF EXISTS s.t CASCADE",
	"drop index concurrently if exists t_a",
	"drop view v",
	"drop schema s cascade",
	"drop database flights",
	"drop database if exists flights with (force)",
	"drop role ops",
	"drop owned by ops",
	"drop function twice(int)",
	"drop extension pgcrypto",
	"drop sequence seq",
	"drop type mood",
	"drop tablespace x",
	"drop subscription x",
	"drop policy x on t",
	"drop trigger x on t",
	"drop cast (text as int)",
	"truncate t",
	"truncate table t, u restart identity cascade",
	"/* hi */ tRuNcAtE only t",
	"delete from u",
	"DELETE FROM ONLY u RETURNING *",
	"delete from u where true",
	"delete from u where 1 = 1",
	"delete from u where id = 1 or true",
	"delete from u where id = id",
	"delete from u where (select true)",
	"delete from u where not false",
	"update t set a = 1",
	"update t set a = 1 where 'x' = 'x'",
	"update t set (a, note) = (select 1, 'x')",
	"with x as (delete from u returning *) select * from x",
	"with x as (update t set a = 1 returning *) select count(*) from x",
	"with x as (select 1) delete from u",
	"merge into t using u on true when matched then delete",
	"merge into t using u on 1 = 1 when matched then update set a = 1",
	"explain analyze delete from u",
	"explain (analyze true, costs off) update t set a = 1",
	"prepare q as delete from u",
	"select 1; drop table t",
	"select 1;;; truncate t",
	"alter table t drop column a",
	"alter table t drop constraint t_pkey",
	"alter table t add column z int, drop a",
	"alter table t alter a type bigint",
	"alter table t set tablespace x",
	"alter table t set unlogged",
	"alter domain d drop constraint c",
	"alter type comp drop attribute a",
	"alter publication p drop table t",
	"alter system reset all",
	"alter database flights set tablespace x",
	"vacuum full",
	"vacuum (full, verbose) t",
	"vacuum full freeze analyze t",
	"cluster",
	"cluster t using t_a",
	"reindex table t",
	"reindex index t_a",
	"reindex database flights",
	"reindex (verbose) schema public",
	"reindex (concurrently off) table t",
	"lock t",
	"lock table t in exclusive mode",
	"lock table only t in access exclusive mode nowait",
	"refresh materialized view mv with no data",
	"rollback prepared 'x'",
	"copy t to program 'cat'",
	"copy t from program 'cat'",
	"copy (select 1) to program 'cat'",
	"copy t to '/tmp/x'",
	"do $$ begin drop table t; end $$",
	"do $$ begin execute 'dr' || 'op table t'; end $$",
	"do $$ begin delete from u; end $$",
	"do $$ begin perform pg_terminate_backend(1); end $$",
	"do 'x' language plpython3u",
	"select pg_terminate_backend(1)",
	"select pg_cancel_backend(pid) from pg_stat_activity",
	"select PG_CATALOG.PG_TERMINATE_BACKEND(1)",
	"select \"pg_terminate_backend\"(1)",
	"select U&\"\\0070g_promote\"()",
	"select U&\"!0070g_promote\" uescape '!' ()",
	"select pg_promote(wait => false)",
	"select 1 from t where pg_terminate_backend(id)",
	"select (select bool_or(pg_terminate_backend(pid)) from pg_stat_activity)",
	"select * from pg_terminate_backend(1) as x",
	"select * from t, lateral pg_terminate_backend(t.id) k",
	"create table k (a bool default pg_terminate_backend(1))",
	"insert into t select 1 where pg_terminate_backend(1)",
	"call p(pg_terminate_backend(1))",
	"explain analyze select pg_terminate_backend(1)",
	"copy (select pg_terminate_backend(1)) to stdout",
	"declare c cursor for select pg_terminate_backend(1)",
	"select pg_drop_replication_slot('x')",
	"select pg_replication_slot_advance('x', '0/1')",
	"select * from pg_logical_slot_get_changes('x', null, null)",
	"select pg_stat_reset()",
	"select lo_unlink(1), lo_truncate(1, 0)",
	"select lo_export(1, '/tmp/x')",
	"select dblink_exec('c', 'drop table t')",
	"select * from dblink('c', 'delete from t') as x(a int)",
	"select query_to_xml('truncate t', true, true, '')",
	"select ts_stat($q$ select pg_promote() $q$)",
}

-- Functions or operators of one's own: a read until pg_proc says otherwise.
corpus.ask = {
	{ "select twice(1)", "twice", effect = false },
	{ "select noisy(1)", "noisy", effect = true },
	{ "select noisy_sum(id) from t", "noisy_sum", effect = true },
	{ "select calm_sum(id) from t", "calm_sum", effect = false },
	{ "select public.noisy(1)", "public.noisy", effect = true },
	{ "select s.count(1)", "s.count", effect = true },
	{ "select \"No Such\"(1)", "\"No Such\"", effect = true },
	{ "select * from generate_series(1, twice(2))", "twice", effect = false },
}

-- pg_catalog's volatile functions that have no effect: looked at one by one.
corpus.harmless = [[
	amvalidate clock_timestamp current_query currval gen_random_uuid lastval lo_close
	lo_get lo_lseek lo_lseek64 lo_open lo_tell lo_tell64 loread pg_blocking_pids
	pg_collation_actual_version pg_control_checkpoint pg_control_init
	pg_control_recovery pg_control_system pg_current_logfile pg_current_wal_flush_lsn
	pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_collation_actual_version
	pg_database_size pg_export_snapshot pg_get_backend_memory_contexts
	pg_get_multixact_members pg_get_shmem_allocations pg_get_wal_replay_pause_state
	pg_get_wal_resource_managers pg_hba_file_rules pg_ident_file_mappings
	pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
	pg_isolation_test_session_is_blocked pg_jit_available pg_last_committed_xact
	pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
	pg_lock_status pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
	pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir
	pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_tmpdir pg_ls_waldir
	pg_notification_queue_usage pg_partition_ancestors pg_partition_tree
	pg_prepared_xact pg_read_binary_file pg_read_file pg_relation_size
	pg_replication_origin_progress pg_replication_origin_session_is_setup
	pg_replication_origin_session_progress pg_safe_snapshot_blocking_pids
	pg_sequence_last_value pg_show_all_file_settings pg_show_replication_origin_status
	pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot pg_stat_file
	pg_stat_force_next_flush pg_stat_get_recovery_prefetch
	pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_inserted
	pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size
	pg_tablespace_size pg_total_relation_size pg_xact_commit_timestamp
	pg_xact_commit_timestamp_origin pg_xact_status random setseed timeofday
	txid_status
]]

-- Views that do more than read.
corpus.views = {
	{ "select * from v", effect = false },
	{ "select * from loud", effect = true },
	{ "select * from louder", effect = true },
	{ "select * from public.waker", effect = true },
	{ "select * from pg_stat_activity", effect = false },
}

-- The table of what READ ONLY lets through. `class` is the judge's.
corpus.leaks = {
	{ "set default_transaction_read_only = off", class = "write" },
	{ "set session characteristics as transaction read write", class = "write" },
	{ "begin read write", class = "write" },
	{ "reset all", class = "write" },
	{ "set transaction_read_only = off", class = "write" },
	{ "set local transaction_read_only = off", class = "write" },
	{ "set transaction read write", class = "write" },
	{ "select set_config('transaction_read_only', 'off', false)", class = "write" },
	{ "select set_config('Transaction_Read_Only', 'off', true)", class = "write" },
	{ "call p()", class = "write" },
	{ "select pg_terminate_backend(0)", class = "destructive" },
	{ "select pg_cancel_backend(0)", class = "destructive" },
	{ "select pg_reload_conf()", class = "write" },
	{ "select pg_switch_wal()", class = "write" },
	{ "select pg_create_restore_point('opsh')", class = "write" },
	{ "select pg_backup_start('opsh', true)", class = "write" },
	{ "select pg_create_physical_replication_slot('opsh')", class = "write" },
	{ "select pg_create_logical_replication_slot('opsh', 'pgoutput')", class = "write" },
	{ "select pg_drop_replication_slot('opsh')", class = "destructive" },
	{ "select pg_stat_reset()", class = "destructive" },
	{ "select pg_rotate_logfile()", class = "write" },
	{ "select pg_promote()", class = "destructive" },
	{ "select pg_log_backend_memory_contexts(pg_backend_pid())", class = "write" },
	{ "checkpoint", class = "write" },
	{ "copy t to program 'cat > /dev/null'", class = "destructive" },
	{ "copy t to '/tmp/opsh-sql-corpus'", class = "destructive" },
	{ "select lo_export(1, '/tmp/opsh-sql-corpus')", class = "destructive" },
	{ "select lo_import('/etc/hostname')", class = "write" },
	{ "select pg_file_write('opsh', 'x', false)", class = "destructive" },
	{ "select dblink_exec('dbname=flights', 'select 1')", class = "write" },
	{ "load 'auto_explain'", class = "write" },
	{ "alter system set work_mem = '5MB'", class = "write" },
	{ "vacuum", class = "write" },
	{ "vacuum full t", class = "destructive" },
	{ "cluster", class = "destructive" },
	{ "discard all", class = "write" },
	{ "reindex table t", class = "destructive" },
	{ "analyze", class = "write" },
	{ "lock table t in access share mode", class = "write" },
	{ "lock table t in exclusive mode", class = "destructive" },
	{ "select lo_creat(-1)", class = "write" },
	{ "notify ch", class = "write" },
	{ "select pg_notify('ch', 'x')", class = "write" },
	{ "select pg_advisory_lock(1)", class = "write" },
	{ "select pg_try_advisory_lock(1)", class = "write" },
	{ "select pg_logical_emit_message(false, 'opsh', 'x')", class = "write" },
	{ "prepare transaction 'opsh'", class = "write" },
	{ "select set_config('role', 'postgres', true), pg_terminate_backend(0)",
		class = "destructive" },
	{ "set role postgres", class = "write" },
	{ "set session authorization postgres", class = "write" },
}

-- BEGIN and its kin: in no call but transaction.
corpus.transaction = {
	"begin", "start transaction read only", "commit", "end", "rollback", "abort",
	"savepoint a", "release a", "rollback to a", "prepare transaction 'x'",
	"commit and chain",
}

return corpus
