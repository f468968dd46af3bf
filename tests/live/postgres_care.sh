# shellcheck shell=bash disable=SC2016,SC2154,SC2034 # SQL and Python in quotes; names of
# those who source it
# postgres_care.sh: a part of postgres.sh: health, slow-queries, explain, indexes,
# maintain and tune, on states that are made. Must not run on its own.

# super ARG...: opsh as the superuser.
super() { o "$@" --target "db=$OPSH_POSTGRES_SUPER_URL"; }

# --- health ------------------------------------------------------------------------

states() { rows '" ".join(r["check"] for r in all_rows() if r["state"] == "'"$1"'")'; }

health_looks() {
	o run postgres/health --output jsonl
	exits 'health of one that is well' 0
	parses 'health as JSON lines'
	t_is 'nothing is critical' "$(states critical)" ''
	t_is 'connections as psql counts them' \
		"$(rows 'where(check="connections")[0]["value"].split()[2]')" \
		"$(query 'show max_connections'),"
	plan_only postgres/health
	session waits_long 'begin;' 'select 1;'
	t_ok 'a transaction is open' t_within 10 has_state waits_long \
		'idle in transaction'
	query 'select pg_create_physical_replication_slot($$stale$$, true)' >/dev/null
	query 'alter system set max_connections = 90' >/dev/null
	query 'select pg_reload_conf()' >/dev/null
	t_ok 'the server waits for a restart' t_within 10 eval '[ "$(query \
		"select count(*) from pg_settings where pending_restart")" = 1 ]'
	t_ok 'for a second' t_within 10 eval '[ "$(query "select count(*)
		from pg_stat_activity where application_name = \$\$waits_long\$\$
		and now() - xact_start > interval \$\$1 s\$\$")" = 1 ]'
	o run postgres/health transaction=100ms --output jsonl
	exits 'one that is not: exit 1' 1
	t_is 'what is critical' "$(states critical)" 'transactions'
	t_is 'what deserves a look' "$(states warning)" 'slots settings'
	t_is 'whose transaction' "$(rows 'where(check="transactions")[0]["detail"]')" \
		"pid $(pid_of waits_long) of ops, idle in transaction"
	o run postgres/health transaction=1h
	exits 'warnings: exit 0' 0
	o run postgres/health transaction=1h strict=true
	exits 'strict: exit 1' 1
	super run postgres/terminate older=0 state=any application=waits_long --approve db
	exits 'ended' 0
	query 'alter system reset max_connections' >/dev/null
	query 'select pg_drop_replication_slot($$stale$$), pg_reload_conf()' >/dev/null
	t_ok 'none waits for a restart' t_within 10 eval '[ "$(query \
		"select count(*) from pg_settings where pending_restart")" = 0 ]'
}

# --- slow queries, explain -----------------------------------------------------------

statements() {
	local id worst
	query 'select pg_stat_statements_reset()' >/dev/null
	for worst in 1 2 3; do
		PGAPPNAME=app psql -X -q -At -d "$OPSH_POSTGRES_URL" -c \
			"select count(*) as sleepy from pg_sleep(0.1)" >/dev/null
	done
	query "select * from flights where id = 7 and callsign <> 'x'" >/dev/null
	super run postgres/slow-queries by=mean limit=1 --output jsonl
	exits 'slow-queries' 0
	parses 'slow-queries as JSON lines'
	t_is 'the slowest in the mean' "$(rows 'R[-1][0]["calls"],
		"sleepy" in R[-1][0]["query"], R[-1][0]["mean_ms"] > 99')" '3 True True'
	t_is 'as psql has it' "$(rows 'R[-1][0]["queryid"]')" \
		"$(query 'select queryid from pg_stat_statements order by mean_exec_time
		desc limit 1')"
	super run postgres/slow-queries by=mean max_mean=50ms
	exits 'a limit exceeded' 3
	plan_only postgres/slow-queries
	id=$(query "select queryid from pg_stat_statements
		where query like '%callsign <> \$2%' limit 1")
	super run postgres/explain queryid="$id" --output jsonl
	exits 'explain of a picked one' 0
	parses 'explain as JSON lines'
	t_is 'its plan is for all values' "$(rows 'R[-1][0]["node"],
		"id = $1" in R[-1][0]["detail"]')" \
		'Index Scan by flights_pkey on flights True'
	super run postgres/explain queryid=12345
	exits 'no such statement' 3
	names_of_old
}

# A database without the extension; one with its version of ten years ago.
names_of_old() {
	local at=127.0.0.1:$OPSH_POSTGRES_PORT
	query 'create database bare' >/dev/null
	local url=postgresql://postgres:$OPSH_POSTGRES_SUPER_PASSWORD@$at/bare
	o run postgres/slow-queries --target "db=$url"
	exits 'no extension' 3
	tells 'says what to do' "*not in database 'bare'*create extension*"
	psql -X -q -d "$url" -c 'create schema stats' -c "create extension
		pg_stat_statements schema stats version '1.7'" >/dev/null
	t_match 'its columns are those of old' "$(psql -XAt -d "$url" -c '\d
		stats.pg_stat_statements')" '*mean_time*'
	psql -X -q -At -d "$url" -c 'select count(*) as old_names from pg_class' >/dev/null
	o run postgres/slow-queries by=total limit=100 --target "db=$url" --output jsonl
	exits 'the names of old are read' 0
	t_match 'and shown' "$(cat "$out")" '*old_names*'
	query 'drop database bare' >/dev/null
}

explains() {
	local rows_before
	rows_before=$(query 'select count(*), sum(seats) from flights')
	o run postgres/explain query='select * from flights where id = $1;' --output jsonl
	exits 'a text with $1' 0
	t_is 'the generic plan' "$(rows 'R[-1][0]["detail"]')" 'index cond (id = $1)'
	o run postgres/explain query='select * from flights where id = $1' values=7 \
		analyze=true --output jsonl
	exits 'a read is run' 0
	t_is 'as many rows as came' "$(rows 'R[-1][0]["actual"]')" 1
	o run postgres/explain query='delete from flights where seats > 1' --output jsonl
	exits 'the plan of a write' 0
	t_is 'is a plan' "$(rows 'R[-1][0]["node"]')" 'Delete on flights'
	o run postgres/explain query='delete from flights where seats > 1' analyze=true
	exits 'a write is not run' 3
	o run postgres/explain query='delete from flights where seats > 1' analyze=true \
		write=true
	exits 'with write=true a guard asks' 14
	o run postgres/explain query='update flights set seats = seats + 1' \
		analyze=true write=true --approve db --output jsonl
	exits 'run, and rolled back' 0
	t_is 'it was run' "$(rows 'R[-1][1]["actual"]')" 1000
	t_is 'the rows are as they were' \
		"$(query 'select count(*), sum(seats) from flights')" "$rows_before"
	o run postgres/explain query='drop table flights'
	exits 'no plan for that' 3
	o run postgres/explain query='select 1; drop table flights'
	exits 'nor for two statements' 3
	t_is 'the table is there' "$(query 'select count(*) from flights')" 1000
	o run postgres/explain
	exits 'neither text nor queryid' 3
	plan_only postgres/explain query='select * from flights where id = $1'
	plan_only postgres/explain query='delete from flights where seats > $1' values=3
	plan_only postgres/explain query='delete from flights where seats > $1' values=3 \
		analyze=true write=true
	says 'which would ask' '*destructive approval explain*'
}

# --- indexes ------------------------------------------------------------------------

indexes_found() {
	local n
	sql >/dev/null <<-'SQL'
		set role ops;
		-- the server's own VACUUM would leave ours nothing to do
		create table big with (autovacuum_enabled = false) as
			select n as id, n % 100 as k, 'x' || n as t
			from generate_series(1, 50000) n;
		create index big_k on big (k);
		create index big_k2 on big (k);
		create unique index big_id on big (id);
		create index big_t on big (t);
		analyze big;
		update big set k = k + 1;
		update big set k = k + 1;
		vacuum big;
		create table twice (n int);
		insert into twice values (1), (1);
	SQL
	psql -X -q -d "$OPSH_POSTGRES_URL" -c \
		'create unique index concurrently twice_n on twice (n)' >/dev/null 2>&1
	for n in 1 2 3; do query 'select count(*) from big where k + 0 = 3' >/dev/null; done
	query 'select count(*) from big where id = 3' >/dev/null
	query 'select pg_stat_force_next_flush()' >/dev/null
	o run postgres/indexes seq_scans=2 bloat=30 --output jsonl
	exits 'indexes' 0
	parses 'indexes as JSON lines'
	t_is 'missing' \
		"$(rows '[r["table"] for r in all_rows() if "rows_a_scan" in r]')" \
		"['public.big']"
	t_is 'unused, as psql has them' "$(rows 'sorted(r["index"] for r in all_rows()
		if "scans" in r and "fix" in r and r["table"] == "big")')" \
		"['public.big_k', 'public.big_k2', 'public.big_t']"
	t_is 'psql' "$(query "select string_agg(indexrelname, ' ' order by indexrelname)
		from pg_stat_user_indexes where idx_scan = 0 and relname = 'big'")" \
		'big_k big_k2 big_t'
	t_is 'duplicate' "$(rows '[(r["index"], r["same_as"]) for r in all_rows()
		if "same_as" in r]')" "[('public.big_k2', 'public.big_k')]"
	t_is 'invalid' "$(rows '[r["index"] for r in all_rows() if "why" in r]')" \
		"['public.twice_n']"
	t_is 'swollen' "$(rows '"public.big_id" in [r["index"] for r in all_rows()
		if "wasted" in r]')" True
	psql -X -q -d "$OPSH_POSTGRES_URL" -c 'reindex index big_id' >/dev/null
	o run postgres/indexes bloat=30 --output jsonl
	t_is 'a new one is not' "$(rows '"public.big_id" in [r["index"] for r in
		all_rows() if "wasted" in r]')" False
	o run postgres/indexes strict=true
	exits 'strict' 3
	tells 'why' '*1 indexes are invalid, 1 duplicates*'
	plan_only postgres/indexes
}

# --- maintain -------------------------------------------------------------------------

maintains() {
	local before after dead
	psql -X -q -d "$OPSH_POSTGRES_URL" -c 'update big set k = k + 1' \
		-c 'select pg_stat_force_next_flush()' >/dev/null
	before=$(query "select pg_total_relation_size('big')")
	dead=$(query "select n_dead_tup from pg_stat_user_tables where relname = 'big'")
	plan_only postgres/maintain
	t_is 'a plan names each table' "$(grep -c 'vacuum (analyze) public' "$out")" 4
	o run postgres/maintain table=big,flights --output jsonl
	exits 'maintain' 0
	parses 'maintain as JSON lines'
	after=$(query "select pg_total_relation_size('big')")
	t_is 'sizes and dead rows, as psql has them' "$(rows '[(r["bytes_before"],
		r["bytes_after"], r["dead_before"], r["dead_after"])
		for r in where(table="public.big")]')" "[($before, $after, $dead, 0)]"
	t_is 'only those that were named' "$(rows 'len(R[-2])')" 2
	o run postgres/maintain full=true
	exits 'FULL needs names' 3
	o run postgres/maintain table=big full=true
	exits 'FULL asks' 14
	tells 'with the size' "*count 1 table rewritten*public.big, * MiB*--approve db*"
	plan_only postgres/maintain table=big full=true
	session keeper 'begin;' 'select count(*) from big;'
	t_ok 'big is held' t_within 10 has_state keeper 'idle in transaction'
	o run postgres/maintain table=big full=true lock_wait=500ms --approve db
	exits 'FULL gives up a table that is held' 3
	tells 'by whom' "*held by $(pid_of keeper) of ops, idle in transaction*"
	t_is 'nobody waits' "$(query "select count(*) from pg_stat_activity
		where wait_event_type = 'Lock'")" 0
	super run postgres/terminate older=0 state=any application=keeper --approve db
	exits 'let go' 0
	types 1 run postgres/maintain table=big full=true
	exits 'FULL, typed' 0
	psql -X -q -d "$OPSH_POSTGRES_URL" -c 'update big set k = k + 1' >/dev/null
	o run postgres/maintain table=big full=true --approve db --output jsonl
	exits 'FULL, approved' 0
	after=$(query "select pg_total_relation_size('big')")
	t_is 'smaller, as psql has it' \
		"$(rows 'R[-2][0]["bytes_after"]') $((after < before))" \
		"$after 1"
	o run postgres/maintain table=nowhere
	exits 'no such table' 3
	query "create role nosy login password 'nosy-password'" >/dev/null
	o run postgres/maintain table=flights --target \
		"db=postgresql://nosy:nosy-password@127.0.0.1:$OPSH_POSTGRES_PORT/flights"
	exits "another's table" 0
	tells 'is left, and said' '*this role may not: public.flights*no table to vacuum*'
	query 'drop role nosy' >/dev/null
	interrupted
}

# A VACUUM that takes its time, interrupted: no backend goes on.
interrupted() {
	local pid n
	vacuuming() {
		[ "$(query "select count(*) from pg_stat_activity
			where query like 'vacuum%' and state = 'active'")" = "$1" ]
	}
	query "alter role ops set vacuum_cost_delay = '100ms'" >/dev/null
	query 'alter role ops set vacuum_cost_limit = 5' >/dev/null
	psql -X -q -d "$OPSH_POSTGRES_URL" -c 'update big set k = k + 1' >/dev/null
	timeout -k 1 60 "$opsh" run postgres/maintain table=big </dev/null \
		>"$out" 2>"$err" &
	n=$!
	t_ok 'it runs' t_within 20 vacuuming 1
	t_ok 'its progress is shown' t_within 20 grep -q 'scanning heap' "$err"
	pid=$(pgrep -P "$n" -x opsh)
	kill -INT "$pid"
	wait "$n"
	rc=$?
	exits 'Ctrl-C' 130
	t_ok 'its backend ends' t_within 5 vacuuming 0
	query 'alter role ops reset all' >/dev/null
	o run postgres/maintain table=big
	exits 'run again' 0
}

# --- tune -------------------------------------------------------------------------------

auto_conf() { grep -c "^$1 " "$OPSH_POSTGRES_DATA/postgresql.auto.conf"; }

tunes() {
	o run postgres/tune setting=work_mem
	exits 'a setting is shown, to any role' 0
	says 'with what it takes' '*takes reload:*value 4MB*'
	super run postgres/tune setting=work_mem value=8MB
	exits 'tune asks' 14
	tells 'with before and after' "*work_mem: '4MB' -> '8MB'*--approve db*"
	t_is 'nothing was written' "$(auto_conf work_mem)" 0
	export OPSH_TARGETS=$t_tmp/super.lua
	printf 'return { targets = { db = { kind = "postgres", url = "%s",
		password = secret.file "%s" } } }\n' \
		"postgresql://postgres@127.0.0.1:$OPSH_POSTGRES_PORT/flights" \
		"$OPSH_POSTGRES_SUPER_PASSWORD_FILE" >"$OPSH_TARGETS"
	chmod 600 "$OPSH_TARGETS"
	plan_only postgres/tune setting=work_mem value=8MB
	t_is 'nothing was written by the plan' "$(auto_conf work_mem)" 0
	o run postgres/tune setting=work_mem value=8MB --approve db --output jsonl
	exits 'tune' 0
	parses 'tune as JSON lines'
	t_is 'before, after, read back' "$(rows 'R[-1]["before"], R[-1]["after"],
		R[-1]["waits_for_restart"]')" '4MB 8MB False'
	t_is 'as psql has it' "$(query 'show work_mem')" 8MB
	o run postgres/tune setting=work_mem value=16MB --approve db --output jsonl
	t_is 'its undo is what was there' "$(rows 'R[-1]["undo"]')" \
		"opsh run postgres/tune setting=work_mem value='8MB'"
	o run postgres/tune setting=work_mem reset=true --approve db
	exits 'reset' 0
	t_is 'back' "$(query 'show work_mem') $(auto_conf work_mem)" '4MB 0'
	o run postgres/tune setting=max_connections value=150 --approve db --output jsonl
	exits 'one that needs a restart' 0
	t_is 'says so' "$(rows 'R[-1]["after"], R[-1]["waits_for_restart"]')" '100 True'
	tells 'and why to be careful' '*CAREFUL: a standby*waits for a restart*'
	o run postgres/tune setting=max_connections reset=true --approve db
	t_is 'no restart is wanted' "$(query 'select count(*) from pg_settings
		where pending_restart')" 0
	tune_wrong
	tune_undone
	export OPSH_TARGETS=$t_tmp/stack/opsh.lua
}

# What can't be: nothing is written.
tune_wrong() {
	local before
	before=$(sha256sum "$OPSH_POSTGRES_DATA/postgresql.auto.conf")
	o run postgres/tune setting=work_mem value=much --approve db
	exits 'no number' 3
	o run postgres/tune setting=wal_level value=most --approve db
	exits 'not among the choices' 3
	o run postgres/tune setting=block_size value=4096 --approve db
	exits 'fixed when it was built' 3
	o run postgres/tune setting=work_men value=8MB --approve db
	exits 'no such setting' 3
	tells 'those that are like it' '*work_mem*'
	o run postgres/tune setting=work_mem value=1MB reset=true --approve db
	exits 'both' 3
	o run postgres/tune setting=work_mem value=99999GB --approve db
	t_ok 'the server judges the rest' test "$rc" -ne 0
	t_is 'the file is as it was' \
		"$(sha256sum "$OPSH_POSTGRES_DATA/postgresql.auto.conf")" "$before"
}

# The same playbook with a step after it that fails: what was there comes back.
tune_undone() {
	local n
	mkdir -p "$t_tmp/postgres"
	sed -e "s/^    if not now then return end/&\\n    fail 'no'/" \
		"$t_root/playbooks/postgres/tune.lua" >"$t_tmp/postgres/tune.lua"
	for n in 8MB none; do
		[ "$n" = none ] || o run postgres/tune setting=work_mem value=8MB --approve db
		[ "$n" != none ] || o run postgres/tune setting=work_mem reset=true --approve db
		o run "$t_tmp/postgres/tune.lua" setting=work_mem value=32MB --approve db --undo
		exits "a later step fails, $n before" 3
		tells 'it says so' '*no*'
		t_is 'what was there before stands there' \
			"$(sed -n "s/^work_mem = '\(.*\)'/\1/p" \
			"$OPSH_POSTGRES_DATA/postgresql.auto.conf")" "${n#none}"
	done
	t_ok 'and counts' t_within 5 eval '[ "$(query "show work_mem")" = 4MB ]'
}

care() {
	health_looks
	statements
	explains
	indexes_found
	maintains
	tunes
}
