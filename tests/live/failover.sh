#!/usr/bin/env bash
# shellcheck disable=SC2154,SC2016 # names of test.sh and of the stack; SQL in quotes
# failover.sh: postgres/failover and postgres/rejoin on a real pair: what is refused, that
# a plan changes nothing, planned and back again, an emergency; then drills with a fault
# at a random moment each (failover_drills.py): OPSH_DRILLS=N of them (5).

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
targets=$t_tmp/opsh.lua fence=5s
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp

# o ARG...: opsh with the pair's targets; output in $out and $err, exit code in $rc.
o() {
	timeout -k 1 90 "$opsh" --targets "$targets" "$@" </dev/null \
		>"$out" 2>"$err"
	rc=$?
}

# read_by ARG...: the same on a terminal, by one who types what the guards say.
read_by() {
	timeout -k 1 90 "$t_root/tests/lib/reader.py" "$out" "$opsh" --targets "$targets" "$@"
	rc=$?
	: >"$err"
}

# over VERB FROM TO ARG...: a failover from one node to the other.
over() {
	local verb=$1 from=$2 to=$3 data=OPSH_PG_${2^^}_DIR
	shift 3
	"${by:-o}" "$verb" postgres/failover "unit=$from" "data=${!data}" silence=1s look=2s \
		fence_timeout=$fence catch_up=5s \
		"pooler_config=$OPSH_PGBOUNCER_DATABASES" --bind "primary=$from" \
		--bind "standby=$to" "$@"
}

approved() {
	over run "$@" --approve "$2" --approve orchestrator --approve local
}

super() {
	local url=OPSH_PG_${1^^}_SUPER_URL
	timeout 20 psql -XqAt "${!url}" -c "$2" 2>&1
}

roles() {
	echo "$(super primary 'select pg_is_in_recovery()') $(super standby \
		'select pg_is_in_recovery()')"
}

tells() {
	t_match "$1" "$(cat "$out" "$err")" "$2"
}

prepare() {
	t_up postgres-ha
	sed -e 's/\bpg_primary_super =/primary =/' -e 's/\bpg_standby_super =/standby =/' \
		-e 's/\bpg_pooler_admin =/pooler =/' -e 's/\bpg_pooler =/app =/' \
		-e 's/\bpg_units =/orchestrator =/' "$OPSH_TARGETS" >"$t_tmp/opsh.lua"
	chmod 600 "$t_tmp/opsh.lua"
}

# What a plan must leave as it is.
state() {
	roles
	cat "$OPSH_PGBOUNCER_DATABASES" "$OPSH_PG_PRIMARY_PIDFILE" \
		"$OPSH_PG_STANDBY_PIDFILE"
	ls "$OPSH_PG_PRIMARY_DIR"/*.signal "$OPSH_PG_STANDBY_DIR"/*.signal 2>/dev/null
	psql -XqAt "$OPSH_PGBOUNCER_ADMIN_URL" -c 'show databases' | cut -d '|' -f 1-4,11-
	super primary 'select name, setting from pg_settings where
		source = $$configuration file$$ order by 1'
}

# Statements in the servers' logs that are no reads of opsh's.
writes() {
	cat "$OPSH_PG_PRIMARY_LOG" "$OPSH_PG_STANDBY_LOG" | grep ' opsh: ' |
		grep -E '(statement|execute [^:]*): ' |
		sed -E 's/.*(statement|execute [^:]*): *//' |
		grep -viE '^(select|with|begin|commit|rollback|show|set|deallocate)' || :
}

plans() {
	local before
	before=$(state)
	over plan primary standby
	t_is 'plan: planned' "$rc" 0
	tells 'plan: all that would be written' '*PAUSE "flights"*stop primary*'
	tells 'plan: promotion and after' \
		'*pg_promote(true, 60)*RELOAD*RESUME "flights"*none sent*'
	t_is 'plan: all is as it was' "$(state)" "$before"
	t_is 'plan: the servers were sent no write' "$(writes)" ''
	o --output jsonl plan postgres/failover "data=$OPSH_PG_PRIMARY_DIR"
	t_ok 'plan: its jsonl parses' python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$out"
	o doc postgres/failover
	t_is 'doc' "$rc" 0
}

# refusal NAME PATTERN ARG...: of a run with every guard passed: exit 3, nothing changed.
refusal() {
	local name=$1 pattern=$2
	shift 2
	approved primary standby "$@"
	t_is "$name: exit" "$rc" 3
	tells "$name: why" "$pattern"
	t_is "$name: nothing is promoted" "$(roles)" 'f t'
}

refusals() {
	refusal 'alive' '*the primary is alive, seen by*' mode=emergency
	super standby 'select pg_wal_replay_pause()' >/dev/null
	refusal 'paused' '*replay is paused*'
	psql -Xq "$OPSH_PG_PRIMARY_SUPER_URL" -c 'insert into writes
		select n from generate_series(-90000, -80000) n'
	refusal 'behind' '*bytes behind, more than max_lag=1000*' max_lag=1000
	super standby 'select pg_wal_replay_resume()' >/dev/null
	refusal 'writable' '*leaves the primary writable*' fence=pooler
	over run primary standby
	t_is 'no terminal: exit' "$rc" 14
	t_is 'no terminal: nothing is promoted' "$(roles)" 'f t'
	sed 's/^\ttargets = {/\tlock = { store = "primary" },\n&/' "$t_tmp/opsh.lua" \
		>"$t_tmp/on.lua" && chmod 600 "$t_tmp/on.lua"
	targets=$t_tmp/on.lua approved primary standby
	t_is 'a lock on the cluster: exit' "$rc" 2
	tells 'a lock on the cluster: why' '*the lock would go with it*'
}

# A transaction that does not end holds up the PAUSE.
hangs() {
	psql -Xq "$OPSH_PGBOUNCER_URL" -c 'begin; select pg_sleep(60)' \
		>/dev/null 2>&1 &
	t_reap $!
	t_within 10 eval '[ "$(super primary "select count(*) from pg_stat_activity
		where query like \$\$%pg_sleep(60)\$\$ and pid <> pg_backend_pid()")" = 1 ]'
	fence=2s approved primary standby
	t_ok 'a fence that hangs: it fails' test "$rc" -ne 0 -a "$rc" -ne 3
	tells 'a fence that hangs: says so' '*given up: the primary is started again*'
	t_is 'a fence that hangs: nothing is promoted' "$(roles)" 'f t'
	super primary 'select pg_terminate_backend(pid) from pg_stat_activity where
		query like $$%pg_sleep(60)$$ and pid <> pg_backend_pid()' >/dev/null
	t_is 'a fence that hangs: clients are served' "$(timeout 10 psql -XqAt \
		"$OPSH_PGBOUNCER_URL" -c 'select 1')" 1
}

acknowledged() {
	[ "$(wc -l <"$t_tmp/acked")" -ge "$1" ]
}

# watched NAME: writer and prober, until judged.
watched() {
	rm -f "$t_tmp/acked" "$t_tmp/probes"
	"$OPSH_PG_WRITER" write "$OPSH_PGBOUNCER_URL" "$t_tmp/acked" &
	writer=$!
	/usr/bin/python3 "$t_root/tests/lib/pg_prober.py" "$t_tmp/probes" \
		"primary=$OPSH_PG_PRIMARY_CONNINFO" \
		"standby=$OPSH_PG_STANDBY_CONNINFO" >"$t_tmp/verdict" &
	prober=$!
	t_reap "$writer" "$prober"
	t_ok "$1: the writer writes" t_within 20 acknowledged 50
}

# judged NAME LOST
judged() {
	t_ok "$1: the writer goes on" t_within 20 acknowledged \
		$(($(wc -l <"$t_tmp/acked") + 30))
	kill "$writer"
	wait "$writer"
	kill "$prober"
	wait "$prober"
	t_match "$1: never two that take writes" "$(tail -n 1 "$t_tmp/verdict")" \
		'probes [1-9]*, moments 0,*'
	t_match "$1: lost" "$("$OPSH_PG_WRITER" report "$OPSH_PGBOUNCER_URL" \
		"$t_tmp/acked")" "acknowledged=* lost=$2 gap=*"
}

planned() {
	watched planned
	approved primary standby
	t_is 'planned: exit' "$rc" 0
	tells 'planned: what it came to' '*lost_commits *0*timeline *2*write_gap*'
	t_is 'planned: roles' "$(psql -XqAt "$OPSH_PG_STANDBY_SUPER_URL" -c \
		'select pg_is_in_recovery()')" f
	judged planned 0
	approved primary standby
	t_is 'again: exit' "$rc" 0
	tells 'again: it is done already' '*is a primary already*'
}

# rejoin UNIT PRIMARY
rejoin() {
	local data=OPSH_PG_${1^^}_DIR
	o plan postgres/rejoin "unit=$1" "data=${!data}" --bind "primary=$2" \
		--bind "old=$1"
	t_is "rejoin of $1: plan" "$rc" 0
	o run postgres/rejoin "unit=$1" "data=${!data}" "slot=$1" \
		--bind "primary=$2" --bind "old=$1" --approve orchestrator
	t_is "rejoin of $1: exit" "$rc" 0
	[ "$rc" -eq 0 ] || tail -n 12 "$t_tmp/stack/postgres-ha/$1.log"
	tells "rejoin of $1: it streams" "*slot *$1*standby *:[0-9]*"
	t_is "rejoin of $1: in recovery" "$(super "$1" 'select pg_is_in_recovery()')" t
	t_match "rejoin of $1: the primary sees it" "$(super "$2" \
		'select application_name, state from pg_stat_replication')" "$1|streaming"
}

there() {
	rejoin primary standby
}

back() {
	watched back
	by=read_by over run standby primary
	t_is 'back, by one who reads what he types: exit' "$rc" 0
	tells 'back: it was asked for by name' "*pg_promote*type 'standby' to go on*"
	judged back 0
	rejoin standby primary
}

emergency() {
	watched emergency
	"$OPSH_PG_NODE" kill "$OPSH_PG_PRIMARY_DIR"
	approved primary standby
	t_is 'dead: no planned one' "$rc" 3
	tells 'dead: what then' '*mode=emergency is for one that is dead*'
	over plan primary standby mode=emergency
	t_is 'emergency: plan' "$rc" 0
	approved primary standby mode=emergency max_loss=1000000
	t_is 'emergency: exit' "$rc" 0
	tells 'emergency: what it came to' '*lost_bytes*write_gap*'
	judged emergency "$(sed -n 's/^lost_commits *//p' "$out")"
	"${OPSH_PG_PRIMARY_PIDFILE%.pid}.start" </dev/null >>"$OPSH_PG_PRIMARY_LOG" 2>&1 &
	t_ok 'the old primary returns, and takes no writes' t_within 20 eval \
		'super primary "create table x ()" | grep -qE "read-only|not yet acc"'
	kill -INT $! 2>/dev/null
	wait $!
	rejoin primary standby
}

drills() {
	local line
	OPSH=$opsh "$t_here/../live/failover_drills.py" ${OPSH_DRILL_SEED:+--seed \
		"$OPSH_DRILL_SEED"} "${OPSH_DRILLS:-5}" >"$t_tmp/drills" 2>&1
	cat "$t_tmp/drills"
	line=$(tail -n 1 "$t_tmp/drills")
	t_passed=$((t_passed + ${line%% *}))
	line=${line#*, }
	t_failed=$((t_failed + ${line%% *}))
}

prepare
for part in ${*:-plans refusals hangs planned there back emergency}; do
	$part
done
"$t_stack" down "$t_tmp/stack"
drills
t_done
