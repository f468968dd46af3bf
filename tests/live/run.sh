#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for eval; names of test.sh;
# functions called by name
# run.sh: what the flush of a flight cache promises, shown on real servers: which
# keys go and how fast, what a kill leaves, that a plan writes nothing, who is
# refused and when, that a doubt stays a doubt; and record.sh. Owns throwaway
# servers and folders only.
#     run.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=../lib/opsh.sh
. "$t_here/opsh.sh"

live=$t_here/../live/live.py
proxy=$t_here/../fault/proxy.py
flush="redis/cache-flush pattern=flights::*"

R() {
	timeout 20 redis-cli -p "$OPSH_REDIS_PORT" "$@"
}

# now: seconds, with a point.
now() {
	date +%s.%N
}

took() {
	awk -v a="$1" -v b="$(now)" 'BEGIN { print b - a }'
}

below() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

between() {
	awk -v a="$1" -v lo="$2" -v hi="$3" 'BEGIN { exit !(a >= lo && a <= hi) }'
}

# The folder of the newest run.
last_run() {
	local dirs=("$XDG_STATE_HOME"/opsh/runs/*/)
	printf '%s' "${dirs[-1]%/}"
}

load() {
	"$t_tmp/load" "$OPSH_REDIS_PORT" "$@" || exit 1
}

flights() {
	R --scan --pattern 'flights::*' | sort -u | wc -l
}

# An empty server that looks like a cache.
fresh() {
	R flushall >/dev/null
	R replicaof no one >/dev/null
	R config set maxmemory 900mb maxmemory-policy allkeys-lru >/dev/null
	R config resetstat >/dev/null
}

# --- which keys, how fast ----------------------------------------------------
exactly_these() {
	local others rate
	fresh
	load other: 990000 8 36000
	others=$(R debug digest)
	load flights::UAL 10000 8 3600
	# shellcheck disable=SC2086 # words on purpose
	o run $flush rate=4000 --approve cache
	t_is 'flush of 10,000 of 1,000,000 keys: exit' "$rc" 0
	t_is 'none matches' "$(flights)" 0
	t_is 'the others are there' "$(R dbsize)" 990000
	t_is 'and as they were' "$(R debug digest)" "$others"
	t_match 'result says so' "$(tr -s ' ' <"$out")" '*removed 10000*'
	rate=$("$live" rate "$(last_run)/journal.jsonl")
	t_ok "rate within 10 % of 4000: $rate" between "$rate" 3600 4400
	t_ok 'its record is intact' "$opsh" verify last
	killed "$others"
}

# Here, for the million keys are loaded.
killed() {
	local pid left
	load flights::UAL 10000 8 3600
	# shellcheck disable=SC2086
	"$opsh" run $flush rate=4000 --approve cache </dev/null >"$out" 2>&1 &
	pid=$!
	t_reap "$pid"
	t_ok 'the flush is in the middle' t_within 20 half_gone
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	left=$(flights)
	t_ok "killed in the middle: $left left" between "$left" 1 9999
	o verify last
	t_is 'verify of a killed run: exit' "$rc" 15
	# shellcheck disable=SC2086
	o run $flush rate=20000 --approve cache
	t_is 'second run: exit' "$rc" 0
	t_is 'none matches after it' "$(flights)" 0
	t_is 'all others as they were' "$(R debug digest)" "$1"
}

half_gone() {
	[ "$(R dbsize)" -lt 996000 ]
}

one_and_none() {
	fresh
	load flights::UAL 3 8 3600
	o run redis/cache-flush key=flights::UAL1 --approve cache
	t_is 'one key: exit' "$rc" 0
	t_is 'one key: gone' "$(R exists flights::UAL0 flights::UAL1 \
		flights::UAL2)" 2
	o run redis/cache-flush 'pattern=nothing*'
	t_is 'nothing matches: exit' "$rc" 0
	o run redis/cache-flush
	t_is 'neither pattern nor key: exit' "$rc" 3
	o run redis/cache-flush 'pattern=a*' key=b --approve cache
	t_is 'pattern and key: exit' "$rc" 3
	t_is 'nothing else gone' "$(R dbsize)" 2
}

written_meanwhile() {
	local writer
	fresh
	load flights::UAL 4000 8 3600
	(while sleep 0.05; do
		R mset flights::NEW1 x flights::UAL0 x >/dev/null
	done) &
	writer=$!
	t_reap "$writer"
	# shellcheck disable=SC2086
	o run $flush rate=4000 --approve cache
	t_is 'keys written meanwhile: exit' "$rc" 0
	t_match 'and told apart' "$(tr -s ' ' <"$out")" \
		'*written_meanwhile [12]*'
	kill "$writer"
	wait "$writer" 2>/dev/null
}

# --- a plan ------------------------------------------------------------------------
plan_writes_nothing() {
	local monitor name writes=
	fresh
	load flights::UAL 3000 8 36000
	load other: 2000 8 36000
	timeout 60 redis-cli -p "$OPSH_REDIS_PORT" monitor >"$t_tmp/seen" &
	monitor=$!
	t_reap "$monitor"
	t_ok 'monitor is on' t_within 5 grep -q OK "$t_tmp/seen"
	# shellcheck disable=SC2086
	o plan $flush rate=4000 --output jsonl
	t_is 'plan: exit' "$rc" 0
	R echo end-of-plan >/dev/null
	t_ok 'monitor saw the end' t_within 5 grep -q end-of-plan \
		"$t_tmp/seen"
	kill "$monitor"
	for name in $("$live" commands "$t_tmp/seen"); do
		# these two change nothing that outlives the connection
		case "$name $(R command info "$name" | tr '\n' ' ') " in
		ROLE\ *|'CLIENT|SETNAME '*|*' readonly '*) ;;
		*' write '*|*' admin '*) writes="$writes $name" ;;
		esac
	done
	t_is 'MONITOR shows no write' "$writes" ''
	t_match 'but what it read' "$(cat "$t_tmp/seen")" '*"SCAN"*"TTL"*'
	t_is 'plan: all is there' "$(R dbsize)" 5000
	"$live" requests withheld "$(last_run)/journal.jsonl" >"$t_tmp/plan"
	t_is 'plan: rows shown' "$(grep -c '"type":"row"' "$out")" \
		"$(grep -c . "$t_tmp/plan")"
	# shellcheck disable=SC2086
	o plan $flush --detailed-exitcode
	t_is 'plan --detailed-exitcode' "$rc" 10
	# shellcheck disable=SC2086
	o run $flush rate=4000 --approve cache
	"$live" requests intent "$(last_run)/journal.jsonl" >"$t_tmp/run"
	t_ok 'what the plan lists is what the run sent' \
		cmp "$t_tmp/plan" "$t_tmp/run"
	t_ok 'which is not nothing' test -s "$t_tmp/run"
}

# --- who may ---------------------------------------------------------------------------
# refused NAME: judges $rc, $err and the time since $began.
refused() {
	local seconds
	seconds=$(took "$began")
	t_is "$1: exit" "$rc" 14
	t_ok "$1: within a second ($seconds)" below "$seconds" 1
	t_match "$1: names the flag" "$(cat "$err")" '*--approve cache*'
	t_is "$1: nothing written" "$(R dbsize)" 500
}

nobody_there() {
	local began
	fresh
	load flights::UAL 500 8 3600
	began=$(now)
	# shellcheck disable=SC2086
	"$opsh" run $flush <&- >"$out" 2>"$err"
	rc=$?
	refused 'closed stdin'
	began=$(now)
	# shellcheck disable=SC2086
	yes | "$opsh" run $flush >"$out" 2>"$err"
	rc=${PIPESTATUS[1]}
	refused 'piped y'
	began=$(now)
	# shellcheck disable=SC2086
	CI=1 "$live" pty - "$opsh" run $flush >"$out"
	rc=$?
	cp "$out" "$err"
	refused 'CI=1 on a terminal'
	t_is 'no unlink came' "$(R info commandstats | grep -ci unlink)" 0
	# shellcheck disable=SC2086
	o run $flush --approve other
	t_is '--approve of another target' "$rc" 2
}

somebody_there() {
	fresh
	load flights::UAL 500 8 3600
	# shellcheck disable=SC2086
	"$live" pty y "$opsh" run $flush >"$out"
	t_is "typed 'y': exit" $? 14
	t_is "typed 'y': nothing gone" "$(flights)" 500
	# shellcheck disable=SC2086
	"$live" pty 500 "$opsh" run $flush >"$out"
	t_is 'typed the count: exit' $? 0
	t_is 'typed the count: gone' "$(flights)" 0
}

progress_seen() {
	fresh
	load flights::UAL 6000 8 3600
	# shellcheck disable=SC2086
	"$live" pty 6000 "$opsh" run $flush rate=3000 >"$out"
	t_is 'flush on a terminal: exit' $? 0
	t_ok 'progress is seen' grep -Eqa 'unlink: [1-5],[0-9]{3}/6,000' "$out"
	t_ok 'rate is seen' grep -Eqa '[0-9],[0-9]{3}/s' "$out"
	t_ok 'ETA is seen' grep -Eqa 'ETA [0-9]+s' "$out"
}

not_a_cache() {
	fresh
	load flights::UAL 300 8 3600
	load kept: 100 8 0
	# shellcheck disable=SC2086
	o run $flush --approve cache
	t_is 'a quarter without TTL: exit' "$rc" 3
	t_match 'and says what to give' "$(cat "$err")" '*accept_no_ttl=25*'
	# shellcheck disable=SC2086
	o run $flush accept_no_ttl=40 --approve cache
	t_is 'another share: exit' "$rc" 3
	t_is 'nothing gone' "$(R dbsize)" 400
	R config set maxmemory-policy noeviction >/dev/null
	# shellcheck disable=SC2086
	o plan $flush
	t_is 'a plan goes on: exit' "$rc" 0
	# shellcheck disable=SC2086
	"$live" pty 300 "$opsh" run $flush >"$out"
	t_is 'typed the count alone: exit' $? 14
	# shellcheck disable=SC2086
	"$live" pty '300 25%' "$opsh" run $flush >"$out"
	t_is 'typed count and share: exit' $? 0
	t_is 'flights gone' "$(flights)" 0
	load lock:seat 50 8 60
	R config set maxmemory-policy allkeys-lru >/dev/null
	o run redis/cache-flush 'pattern=lock:*' accept_no_ttl=67 --approve cache
	t_is 'locks with the share: exit' "$rc" 0
}

whole() {
	fresh
	load any: 1000 8 600
	o run redis/cache-flush whole=true --approve cache
	t_is 'whole without db: exit' "$rc" 3
	o run redis/cache-flush whole=true db=5 --approve cache
	t_is 'whole with another db: exit' "$rc" 3
	t_is 'all is there' "$(R dbsize)" 1000
	R config set save '3600 1' >/dev/null
	o plan redis/cache-flush whole=true all=true
	t_is 'plan of FLUSHALL: exit' "$rc" 0
	t_match 'lists the copy and the save points' "$(cat "$out")" \
		'*BGSAVE*CONFIG SET save*FLUSHALL ASYNC*CONFIG SET save*'
	o run redis/cache-flush whole=true db=0 --approve cache
	t_is 'whole: exit' "$rc" 0
	t_is 'whole: empty' "$(R dbsize)" 0
	t_ok 'whole: the copy is there' test -s \
		"$(sed -n 's/^copy *//p' "$out")"
	R -n 3 set in-three x ex 60 >/dev/null
	load any: 100 8 600
	o run redis/cache-flush whole=true all=true --approve cache
	t_is 'all: exit' "$rc" 0
	t_is 'all: empty' "$(R info keyspace | grep -c ^db)" 0
	t_match 'all: save points are back' "$(R config get save)" '*3600 1'
	R config set save '' >/dev/null
}

# --- demoted, lost -------------------------------------------------------------------------
demoted() {
	local pid other
	fresh
	load flights::UAL 8000 8 3600
	"$t_stack" up "$t_tmp/stack2" redis || exit 1
	other=$("$t_stack" env "$t_tmp/stack2" |
		sed -n "s/.*OPSH_REDIS_PORT='*\([0-9]*\).*/\1/p")
	# shellcheck disable=SC2086
	"$opsh" run $flush rate=2000 --approve cache </dev/null >"$out" \
		2>"$err" &
	pid=$!
	t_reap "$pid"
	t_ok 'the flush is on its way' t_within 10 eval \
		'[ "$(R dbsize)" -lt 7000 ]'
	R replicaof 127.0.0.1 "$other" >/dev/null
	wait "$pid"
	t_is 'demoted between two batches: exit' $? 12
	t_match 'says what it was' "$(cat "$err")" '*is not what it was*'
	# what the server executed is what had ended before; a batch that was on
	# its way was rejected by it (READONLY), and is on record as not applied
	t_is 'none landed on the demoted node' "$(R info commandstats |
		sed -n 's/^cmdstat_unlink:calls=\([0-9]*\).*failed_calls=0.*/\1/p')" \
		"$(grep -c '"type":"outcome".*"outcome":"done"' \
		"$(last_run)/journal.jsonl")"
	R replicaof no one >/dev/null
	"$t_stack" down "$t_tmp/stack2"
}

proxied() {
	rm -f "$t_tmp/ctl" "$t_tmp/proxy.port"
	"$proxy" --to "127.0.0.1:$OPSH_REDIS_PORT" --control "$t_tmp/ctl" \
		--mode "$1" >"$t_tmp/proxy.port" &
	proxy_pid=$!
	t_reap "$proxy_pid"
	t_ok 'proxy is up' t_within 5 test -s "$t_tmp/proxy.port"
	proxy_port=$(head -1 "$t_tmp/proxy.port")
}

reply_lost() {
	local n bad=0 code=
	fresh
	proxied 'drop-reply match=^INCR times=0'
	for n in $(seq 100); do
		o -e 'cache:incr "seats"' \
			--target "cache=redis://127.0.0.1:$proxy_port"
		[ "$rc" -eq 13 ] && grep -q unknown "$err" &&
			[ "$(R get seats)" -eq "$n" ] || bad=$((bad + 1)) code=$rc
	done
	t_is "INCR cut 100 times: exit 13 and +1 each (last odd exit $code)" \
		"$bad" 0
	kill "$proxy_pid"
	load any: 1000 8 600
	proxied 'drop-reply match=^FLUSHDB'
	o run redis/cache-flush whole=true db=0 no_copy=true --approve cache \
		--target "cache=redis://127.0.0.1:$proxy_port/0"
	t_is 'reply of FLUSHDB lost, probe settles it: exit' "$rc" 0
	t_is 'flushed once' "$(R info commandstats |
		sed -n 's/^cmdstat_flushdb:calls=\([0-9]*\).*/\1/p')" 1
	t_match 'the doubt is on record' "$(cat "$(last_run)/journal.jsonl")" \
		'*"outcome":"unknown"*"type":"probe"*'
	kill "$proxy_pid"
}

# --- more servers than one -----------------------------------------------------------------
with_replica() {
	local OPSH_REDIS_PORT
	"$t_stack" up "$t_tmp/ha" redis-ha || exit 1
	eval "$("$t_stack" env "$t_tmp/ha" | grep -v OPSH_TARGETS)"
	OPSH_REDIS_PORT=$OPSH_REDIS_HA_MASTER_PORT
	fresh
	load flights::UAL 1000 8 3600
	# shellcheck disable=SC2086
	o run $flush --approve cache \
		--target "cache=redis://127.0.0.1:$OPSH_REDIS_PORT"
	t_is 'with a replica: exit' "$rc" 0
	t_match 'with a replica: in sync' "$(tr -s ' ' <"$out")" \
		'*replicas 1 in sync*'
	# shellcheck disable=SC2086
	o run $flush --approve cache \
		--target "cache=redis://127.0.0.1:$OPSH_REDIS_HA_REPLICA_PORT"
	t_is 'on the replica itself: exit' "$rc" 3
	"$t_stack" down "$t_tmp/ha"
}

on_a_cluster() {
	local port n
	"$t_stack" up "$t_tmp/cluster" redis-cluster || exit 1
	eval "$("$t_stack" env "$t_tmp/cluster" | grep -v OPSH_TARGETS)"
	port=${OPSH_CLUSTER_PORTS%% *}
	timeout 20 redis-cli -p "$port" config set maxmemory-policy \
		allkeys-lru >/dev/null
	for n in $(seq 300); do
		echo "SET flights::UAL$n x EX 600"
	done | timeout 20 redis-cli -c -p "$port" >/dev/null
	n=$(timeout 20 redis-cli -p "$port" dbsize)
	t_ok "a node has a share of the keys: $n" between "$n" 50 250
	# shellcheck disable=SC2086
	o run $flush --approve cache --target "cache=redis://127.0.0.1:$port"
	t_is 'flush of a node of a cluster: exit' "$rc" 0
	t_is 'its share is gone' \
		"$(timeout 20 redis-cli -p "$port" dbsize)" 0
	t_match 'and it says that it is a share' "$(cat "$err")" \
		'*one node of a cluster*'
	"$t_stack" down "$t_tmp/cluster"
}

# shellcheck source=record.sh
. "$t_here/../live/record.sh"

t_up redis
R config set slowlog-log-slower-than 0 >/dev/null
"${CC:-cc}" -O2 -o "$t_tmp/load" "$t_here/../bench/redis_load.c" || exit 1
if [ $# -eq 0 ]; then
	set -- exactly_these one_and_none written_meanwhile plan_writes_nothing \
		nobody_there somebody_there progress_seen not_a_cache whole \
		demoted reply_lost with_replica on_a_cluster password_hidden escapes_hidden \
		refused_at_once record_damaged the_others examples demo
fi
for test; do
	"$test"
done
t_done
