#!/usr/bin/env bash
# shellcheck disable=SC2154,SC2016 # names of test.sh and of the stack; SQL in quotes
# failover_patroni.sh: postgres/failover on a pair that Patroni manages: refused while
# the leader lives, planned, and after the leader's death; a prober asks both nodes each
# 10 ms, a writer writes all the time; then drills with a fault at a random moment each
# (failover_patroni_drills.py): OPSH_PATRONI_DRILLS=N of them (3). Last line: N passed,
# N failed.

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp

# over VERB FROM TO ARG...: what it prints in $out, its exit code in $rc.
over() {
	local verb=$1 from=$2 to=$3
	shift 3
	timeout -k 1 100 "$opsh" "$verb" postgres/failover silence=2s look=2s \
		--bind "primary=patroni_pg${from}_super" --bind "patroni=patroni$to" \
		--bind "standby=patroni_pg${to}_super" --bind app=patroni_pair "$@" \
		</dev/null >"$out" 2>&1
	rc=$?
}

tells() {
	t_match "$1" "$(cat "$out")" "$2"
}

leads() {
	curl -s "$OPSH_PATRONI2_URL/cluster" | python3 -c 'import json, sys
print(*[m["name"] for m in json.load(sys.stdin)["members"] if m["role"] == "leader"])'
}

# streams URL: a standby does, from there.
streams() {
	[ "$(psql -XqAt "$1" -c "select count(*) from pg_stat_replication
		where state = 'streaming'" 2>/dev/null)" = 1 ]
}

acknowledged() {
	[ "$(wc -l <"$t_tmp/acked")" -ge "$1" ]
}

t_up patroni
pair=${OPSH_PATRONI1_PG_URL%/*}
pair=$pair,127.0.0.1:$OPSH_PATRONI2_PG_PORT/flights?target_session_attrs=read-write
psql -Xq "$OPSH_PATRONI1_PG_SUPER_URL" -c 'create table writes (n bigint primary key,
	at timestamptz not null default clock_timestamp());
	alter table writes owner to ops'
"$t_root/examples/stack/lib/pg-writer.sh" write "$pair" "$t_tmp/acked" &
writer=$!
/usr/bin/python3 "$t_root/tests/lib/pg_prober.py" "$t_tmp/probes" \
	"one=$OPSH_PATRONI1_PG_SUPER_URL" "two=$OPSH_PATRONI2_PG_SUPER_URL" \
	>"$t_tmp/verdict" &
prober=$!
t_reap "$writer" "$prober"
t_ok 'the writer writes' t_within 20 acknowledged 30

over plan 1 2
t_is 'plan: exit' "$rc" 0
tells 'plan: one request' '*POST *switchover*1 write withheld, none sent*'
t_is 'plan: nothing happened' "$(leads)" patroni1
over run 1 2
t_is 'no terminal: exit' "$rc" 14
over run 1 2 mode=emergency --approve patroni2
t_is 'alive: exit' "$rc" 3
tells 'alive: why' '*the primary is alive, seen by*'
over run 2 1 --approve patroni1
t_is 'the wrong way: exit' "$rc" 0
tells 'the wrong way: it is done' '*is a primary already*'
t_is 'refused: nothing happened' "$(leads)" patroni1

over run 1 2 --approve patroni2
t_is 'planned: exit' "$rc" 0
tells 'planned: what it came to' '*lost_bytes *0*timeline *2*write_gap*'
t_is 'planned: who leads' "$(leads)" patroni2
gap=$(sed -n 's/^write_gap *//p' "$out")
echo "patroni: planned, write gap $gap s"
t_ok 'planned: a gap of 10 s at most' awk -v gap="$gap" 'BEGIN { exit gap > 10 }'
t_ok 'planned: the writer goes on' t_within 20 acknowledged \
	$(($(wc -l <"$t_tmp/acked") + 30))
t_ok 'planned: the old one streams' t_within 30 streams "$OPSH_PATRONI2_PG_SUPER_URL"

kill -KILL "$OPSH_PATRONI2_PID"
"$t_root/examples/stack/lib/pg-node.sh" kill "$OPSH_PATRONI2_DIR"
over run 2 1 mode=emergency max_loss=-1 --approve patroni1
t_is 'emergency: exit' "$rc" 0
tells 'emergency: what it came to' '*lost *not known*timeline *3*write_gap*'
t_ok 'emergency: the writer goes on' t_within 20 acknowledged \
	$(($(wc -l <"$t_tmp/acked") + 30))
kill "$writer" "$prober"
wait "$writer" "$prober"
t_match 'never two that take writes' "$(tail -n 1 "$t_tmp/verdict")" \
	'probes [1-9]*, moments 0,*'
"$t_root/examples/stack/lib/pg-writer.sh" report "$pair" "$t_tmp/acked"
"$t_stack" down "$t_tmp/stack"
OPSH=$opsh "$t_here/../live/failover_patroni_drills.py" ${OPSH_DRILL_SEED:+--seed \
	"$OPSH_DRILL_SEED"} "${OPSH_PATRONI_DRILLS:-3}" >"$t_tmp/drills" 2>&1
cat "$t_tmp/drills"
line=$(tail -n 1 "$t_tmp/drills")
t_passed=$((t_passed + ${line%% *}))
line=${line#*, }
t_failed=$((t_failed + ${line%% *}))
t_done
