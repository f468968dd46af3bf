/*
 * pg_sql_lookup: the question to the server about names that the judge does
 * not know: has the function, operator or view an effect? By pg_proc's
 * volatility, but for what is harmless although volatile. For a view its text
 * and that of the views below it are searched, and policies too. Text only.
 */
#include "bind/pg_sql.h"

/* Volatile and harmless, in pg_catalog; the judge's list has them too, but
 * here they are met within views. */
#define HARMLESS \
	"'{clock_timestamp,current_query,currval,gen_random_uuid,lastval,lo_get," \
	"pg_blocking_pids,pg_collation_actual_version,pg_control_checkpoint," \
	"pg_control_init,pg_control_recovery,pg_control_system," \
	"pg_current_logfile,pg_current_wal_flush_lsn,pg_current_wal_insert_lsn," \
	"pg_current_wal_lsn,pg_database_collation_actual_version," \
	"pg_database_size,pg_get_backend_memory_contexts," \
	"pg_get_wal_replay_pause_state,pg_hba_file_rules,pg_indexes_size," \
	"pg_is_in_recovery,pg_is_wal_replay_paused,pg_last_committed_xact," \
	"pg_last_wal_receive_lsn,pg_last_wal_replay_lsn," \
	"pg_last_xact_replay_timestamp,pg_lock_status,pg_ls_dir,pg_ls_logdir," \
	"pg_ls_tmpdir,pg_ls_waldir,pg_notification_queue_usage," \
	"pg_partition_ancestors,pg_partition_tree,pg_prepared_xact," \
	"pg_read_binary_file,pg_read_file,pg_relation_size," \
	"pg_safe_snapshot_blocking_pids,pg_sequence_last_value," \
	"pg_show_all_file_settings,pg_show_replication_origin_status,pg_sleep," \
	"pg_stat_file,pg_table_size,pg_tablespace_size,pg_total_relation_size," \
	"pg_xact_commit_timestamp,random,timeofday,txid_status}'::name[]"

/* Extensions whose volatile functions only read; those that do more are on
 * the judge's list of effects. */
#define READERS \
	"'{amcheck,pageinspect,pg_buffercache,pg_freespacemap," \
	"pg_stat_statements,pg_visibility,pg_walinspect,pgcrypto,pgrowlocks," \
	"pgstattuple,sslinfo,uuid-ossp}'::name[]"

const char pg_sql_lookup[] =
	/* Volatile functions that may have an effect, aggregates made of such,
	 * and those that run a text although they are stable. */
	"with volatile as (select p.oid, p.proname, s.nspname from pg_proc p "
	"join pg_namespace s on s.oid = p.pronamespace "
	"where (p.provolatile = 'v' or p.proname in ('connectby', 'crosstab', "
	"'crosstab2', 'crosstab3', 'crosstab4', 'xpath_table') "
	"or p.oid in (select a.aggfnoid from pg_aggregate a cross join unnest("
	"array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, "
	"a.aggminvtransfn, a.aggmfinalfn]::oid[]) f join pg_proc q on q.oid = f "
	"and q.provolatile = 'v')) "
	"and not (s.nspname = 'pg_catalog' and p.proname = any (" HARMLESS ")) "
	"and not exists (select from pg_depend d join pg_extension e "
	"on e.oid = d.refobjid where d.classid = 'pg_proc'::regclass "
	"and d.objid = p.oid and d.deptype = 'e' "
	"and e.extname = any (" READERS "))), "
	/* Relations with the views below them. */
	"below as (with recursive b(name, oid) as ("
	"select n, to_regclass(n)::oid from unnest($3::text[]) n union "
	"select b.name, d.refobjid from b "
	"join pg_rewrite r on r.ev_class = b.oid "
	"join pg_depend d on d.classid = 'pg_rewrite'::regclass "
	"and d.objid = r.oid and d.refclassid = 'pg_class'::regclass) "
	"select b.name, b.oid, c.relkind from b join pg_class c "
	"on c.oid = b.oid join pg_namespace s on s.oid = c.relnamespace "
	"where s.nspname not in ('pg_catalog', 'information_schema')), "
	/* Names that are called in a view's text or a policy's. */
	"called as (select t.name, coalesce(replace(substring(m[1] from "
	"'^\"(.*)\"$'), '\"\"', '\"'), m[1]) as fn from ("
	"select name, pg_get_viewdef(oid) as text from below "
	"where relkind = 'v' union all "
	"select name, coalesce(pg_get_expr(polqual, polrelid), '') "
	"from below join pg_policy on polrelid = below.oid) t, "
	"regexp_matches(t.text, '(\"(?:[^\"]|\"\")+\"|[[:alpha:]_][[:alnum:]_$]*)"
	"\\s*\\(', 'g') m) "
	"select 'f' as kind, n as name, not exists (select from pg_proc p "
	"join pg_namespace s on s.oid = p.pronamespace "
	"where p.proname = i[array_length(i, 1)] "
	"and (array_length(i, 1) < 2 "
	"or s.nspname = i[array_length(i, 1) - 1])) or exists (select from "
	"volatile v where v.proname = i[array_length(i, 1)] "
	"and (array_length(i, 1) < 2 "
	"or v.nspname = i[array_length(i, 1) - 1])) as effect "
	"from unnest($1::text[]) n, parse_ident(n) i union all "
	"select 'o', n, not exists (select from pg_operator o "
	"where o.oprname = x) or exists (select from pg_operator o "
	"join volatile v on v.oid = o.oprcode where o.oprname = x) "
	"from unnest($2::text[]) n, regexp_replace(n, '^.*[[:alnum:]_\"][.]', '') "
	"x union all "
	"select 'r', n, exists (select from called c join volatile v "
	"on v.proname = c.fn where c.name = n) "
	"or exists (select from below b join pg_foreign_table f "
	"on f.ftrelid = b.oid where b.name = n "
	"and array_to_string(f.ftoptions, ',') ~ '(^|,)program=') "
	"from unnest($3::text[]) n";
