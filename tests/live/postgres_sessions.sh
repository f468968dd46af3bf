# shellcheck shell=bash disable=SC2016,SC2154,SC2034 # SQL in quotes; names of those who
# source it
# postgres_sessions.sh: a part of postgres.sh: activity and terminate, on sessions that
# block each other, idle, and run long. Must not run on its own.

# Three sessions: the first keeps the second waiting, the second the third.
blockers_up() {
	session holder 'begin;' 'update flights set seats = seats where id = 1;'
	t_ok 'holder is idle in its transaction' \
		t_within 10 has_state holder 'idle in transaction'
	session second 'update flights set seats = seats where id = 1;'
	t_ok 'second waits' t_within 10 waits second
	session third 'update flights set seats = seats where id = 1;'
	t_ok 'third waits' t_within 10 waits third
	session idler 'select 1;'
	t_ok 'idler idles' t_within 10 has_state idler idle
	session long 'select pg_sleep(90);'
	t_ok 'long runs' t_within 10 has_state long active
}

activity_shows() {
	local holder second third
	holder=$(pid_of holder) second=$(pid_of second) third=$(pid_of third)
	o run postgres/activity --output jsonl
	exits 'activity' 0
	parses 'activity as JSON lines'
	t_is 'the tree is that of pg_blocking_pids' "$(rows \
		'[(r["pid"], r["depth"], r["blocks"]) for r in all_rows() if "tree" in r]')" \
		"[($holder, 0, 2), ($second, 1, 1), ($third, 2, 0)]"
	t_is 'as psql has it' "$(query "select pid || ' ' ||
		array_to_string(pg_blocking_pids(pid), ',') from pg_stat_activity
		where application_name in ('second', 'third') order by query_start" |
		tr '\n' ' ')" "$second $holder $third $second "
	t_is 'sessions by state, without us' "$(rows \
		'sum(r["sessions"] for r in all_rows() if "oldest" in r
		and r["application"] != "opsh")')" \
		"$(query "select count(*) from pg_stat_activity
		where backend_type = 'client backend' and pid <> pg_backend_pid()")"
	t_is 'what idler does' "$(rows 'where(application="idler")[0]["state"]')" idle
	t_is 'long ones, with their wait' \
		"$(rows 'where(application="long", state="active")[0].get("sessions"),
		[r["wait"] for r in all_rows()
		if r.get("query", "").startswith("select pg_sleep")]')" \
		"1 ['Timeout: PgSleep']"
	o run postgres/activity longer=1h
	exits 'only long ones: none' 0
	t_is 'none is listed' "$(grep -c 'pg_sleep' "$out")" 0
	tells 'says who keeps others waiting' \
		"*session $holder keeps 2 waiting*postgres/terminate pid=$holder*"
	o run postgres/activity max_blocked=1
	exits 'a limit exceeded' 3
	tells 'which' '*2 sessions wait, limit 1*'
	o run postgres/activity max_blocked=2 max_transaction=1h max_connections=90
	exits 'limits kept' 0
	o run postgres/activity max_transaction=100ms
	exits 'a transaction that lasts' 3
	# who may not see others says so
	o run postgres/activity --target \
		"db=postgresql://nosy:nosy-password@127.0.0.1:$OPSH_POSTGRES_PORT/flights"
	exits 'a role that may not see' 0
	says 'counts them' '*not to be seen*'
}

terminate_asks() {
	local pid
	pid=$(pid_of idler)
	o run postgres/terminate older=0 application=idler
	exits 'terminate without a terminal' 14
	tells 'who, what and how many' "*count 1 session*$pid ops@flights idler idle*\
--approve db*"
	t_ok 'it lives' has_state idler idle
	o run postgres/terminate older=1h --approve db
	exits 'nothing fits' 0
	tells 'says so' '*no session is idle for 1 h*'
	o run postgres/terminate application=idler
	exits 'without an age' 2
	o run postgres/terminate older=0 pid=seven
	exits 'no pid' 3
	o run postgres/terminate older=0 action=cancel
	exits 'cancel is for what runs' 3
	o run postgres/terminate older=0 state=any max=2 --approve db
	exits 'more than max' 3
	t_is 'all are there' "$(query "select count(*) from pg_stat_activity
		where application_name in ('holder', 'second', 'third', 'idler', 'long')")" 5
	plan_only postgres/terminate older=0 state=any
	t_is 'the plan has each' "$(grep -c \
		'destructive.*approval.*pg_terminate_backend' "$out")" 5
}

terminate_ends() {
	local long lines
	lines=$(wc -l <"$OPSH_POSTGRES_LOG")
	o run postgres/terminate older=0 application=idler --approve db --output jsonl
	exits 'an idle one is ended' 0
	parses 'terminate as JSON lines'
	t_is 'said' "$(rows 'R[-1]["ended"], R[-1]["left_alone"]')" '1 0'
	t_is 'gone' "$(pid_of idler)" ''
	t_match 'the witness sees a run' "$(writes_logged "$lines")" \
		'*select pg_terminate_backend*'
	long=$(pid_of long)
	o run postgres/terminate state=active older=0 pid="$long" action=cancel \
		--approve db
	exits 'cancel' 0
	t_ok 'its statement ended, it is there' t_within 10 has_state long idle
	t_is 'the same' "$(pid_of long)" "$long"
	o run postgres/terminate state=idle-in-transaction older=0 blocking=true \
		--approve db
	exits 'who keeps others waiting' 0
	t_is 'gone' "$(pid_of holder)" ''
	t_ok 'the others went on' t_within 10 has_state third idle
	t_is 'rolled back' "$(query 'select count(*) from flights')" 1000
	o run postgres/terminate older=0 state=any user=postgres --approve db
	exits 'what a role may not end is left' 0
	# a role of its own
	o run postgres/terminate older=0 user=nobody --approve db
	tells 'nobody of that name' '*no session*'
}

# Between the look and the statement that ends it the session works again: it stays.
terminate_compares() {
	local pid script=$t_tmp/compare.lua
	session worker 'select 1;'
	t_ok 'worker idles' t_within 10 has_state worker idle
	pid=$(pid_of worker)
	sed -e 's/^return {/local playbook = {/' \
		"$t_root/playbooks/postgres/terminate.lua" >"$t_tmp/terminate.lua"
	{
		printf '%s\n' 'local real = guard' \
			'local guard = function(...)' \
			'  local how = real(...)' \
			"  fs.write(\"$t_tmp/asked\", \"x\")" \
			"  while not fs.exists \"$t_tmp/go\" do task.sleep(0.05) end" \
			'  return how' \
			'end'
		cat "$t_tmp/terminate.lua"
		printf 'return playbook\n'
	} >"$script"
	mkdir -p "$t_tmp/postgres" && mv "$script" "$t_tmp/postgres/terminate.lua"
	(
		o run "$t_tmp/postgres/terminate.lua" older=0 application=worker \
			--approve db
		echo "$rc" >"$t_tmp/compare.rc"
	) &
	t_ok 'it has asked' t_within 20 test -e "$t_tmp/asked"
	echo 'select 2;' >&"$session_fd"
	t_ok 'it worked' t_within 10 grep -q 2 "$t_tmp/worker.out"
	: >"$t_tmp/go"
	wait $!
	t_is 'exit' "$(cat "$t_tmp/compare.rc")" 0
	says 'left alone' '*left_alone 1*'
	t_is 'it is there' "$(pid_of worker)" "$pid"
}

# At a terminal the number is typed; another one ends nobody.
terminate_typed() {
	session typed 'select 1;'
	t_ok 'typed idles' t_within 10 has_state typed idle
	types 2 run postgres/terminate older=0 application=typed
	exits 'a wrong number' 14
	t_ok 'it lives' has_state typed idle
	types 1 run postgres/terminate older=0 application=typed
	exits 'the number that is shown' 0
	says 'asks for it' "*guard: pg_terminate_backend on db*type '1' to go on*"
	t_is 'gone' "$(pid_of typed)" ''
}

# Fifty idle sessions, one application; replication and ours stay.
terminate_many() {
	local n own
	exec {many}< <(sleep 60)
	for n in $(seq 50); do
		PGAPPNAME=pool psql -X -q -d "$OPSH_POSTGRES_URL" <&"$many" \
			>/dev/null 2>&1 &
		t_reap $!
		disown $!
	done
	pool_is() {
		[ "$(query "select count(*) from pg_stat_activity
			where application_name = 'pool'")" = "$1" ]
	}
	t_ok 'fifty' t_within 20 pool_is 50
	own=$(query "select count(*) from pg_stat_activity
		where backend_type <> 'client backend'")
	o run postgres/terminate older=0 application=pool
	exits 'fifty: asks' 14
	tells 'with the number' '*count 50 sessions*'
	o run postgres/terminate older=0 application=pool --approve db
	exits 'fifty are ended' 0
	t_is 'none is left' "$(query "select count(*) from pg_stat_activity
		where application_name = 'pool'")" 0
	t_is "the server's own are there" "$(query "select count(*)
		from pg_stat_activity where backend_type <> 'client backend'")" "$own"
	exec {many}<&-
}

sessions() {
	query "create role nosy login password 'nosy-password';
		grant connect on database flights to nosy" \
		>/dev/null
	blockers_up
	activity_shows
	plan_only postgres/activity
	terminate_asks
	terminate_ends
	terminate_compares
	terminate_typed
	terminate_many
	query 'drop owned by nosy; drop role nosy' >/dev/null
}
