#!/usr/bin/env bash
# demo.sh: what `make demo` runs: a flight cache of 200,000 keys on a throwaway
# Redis, of which 50,000 are flights; looked at, the flush planned, run, and its
# record read. Then a system of five services, one of which hangs: seen, found
# by its cause, restarted. Then a Postgres primary that dies under a writer, its
# standby promoted, the old one brought back. Then a flash sale whose Kafka dies: its
# circuit breaker opens, and is closed again. Owns one throwaway folder and all that
# runs from it, and leaves nothing behind, also on Ctrl-C. Must not touch a server
# that it did not start; must not need root.
set -u
here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
root=$(dirname -- "$here")
opsh=${OPSH:-$root/build/release/opsh}
rate=12500
child=
writer=
customers=
want=0			# the exit code that the next command is to have
exec 3>&1		# commands are shown here, wherever their output goes

if [ ! -x "$opsh" ]; then
	echo "demo: '$opsh' is not built: run make first" >&2
	exit 1
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/opsh-demo.XXXXXX") || exit 1

finish() {
	local rc=$?
	trap '' INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
	[ -z "$writer" ] || kill -TERM "$writer" 2>/dev/null
	[ -z "$customers" ] || kill -TERM "$customers" 2>/dev/null
	[ ! -d "$dir/sale" ] || "$here/stack/stack" down "$dir/sale"
	[ ! -d "$dir/pair" ] || "$here/stack/stack" down "$dir/pair"
	[ ! -d "$dir/stack" ] || "$here/stack/stack" down "$dir/stack"
	rm -rf -- "$dir"
	exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# In the background and waited for, so that a signal is acted on at once.
quietly() {
	local rc
	"$@" &
	child=$!
	wait "$child"
	rc=$?
	child=
	if [ "$rc" -ne "$want" ]; then
		printf 'demo: exit %d: %s\n' "$rc" "$*" >&2
		[ "$rc" -ne 0 ] || rc=1
		exit "$rc"
	fi
	want=0
}

# Shows the command as it would be typed, then runs it.
run() {
	local word line='$'
	for word; do
		word=${word#"$root/"}
		case $word in
		*[!a-z0-9./=:_-]*) word=${word@Q} ;;
		esac
		line="$line $word"
	done
	printf '\n%s\n' "$line" >&3
	quietly "$@"
}

say() {
	printf '\n# %s\n' "$*"
}

load() {
	quietly "$dir/load" "$OPSH_REDIS_PORT" "$@"
}

say 'a Redis of our own, in a throwaway folder'
run "$here/stack/stack" up "$dir/stack" redis
set -a			# for the programs below
# shellcheck source=/dev/null
. "$dir/stack/env"
export XDG_STATE_HOME=$dir/state
set +a
PATH=$(dirname -- "$opsh"):$PATH
cd -- "$dir" || exit 1

say 'it is a cache: 256 MB, evicts, 200,000 keys with a TTL, 50,000 flights'
quietly "${CC:-cc}" -O2 -o "$dir/load" "$root/tests/bench/redis_load.c"
quietly opsh -e 'cache:config_set("maxmemory", "256mb",
	"maxmemory-policy", "allkeys-lru")' >/dev/null
for airline in UAL DAL AAL BAW DLH; do
	load "flights::$airline" 10000 220 900
done
load positions::N 100000 96 300
load weather::K 30000 160 1800
load aircraft::N 20000 180 86400

say 'how is it?'
run opsh run redis/stats --quiet

say 'what would a flush of the flights write? (nothing is written)'
run opsh plan redis/cache-flush 'pattern=flights::*' "rate=$rate" \
	>"$dir/plan.txt"
sed -n '1,10p' "$dir/plan.txt"
printf '... %d lines in all\n' "$(wc -l <"$dir/plan.txt")"

say "the flush, at $rate keys a second at most"
run opsh run redis/cache-flush 'pattern=flights::*' "rate=$rate" \
	--approve cache

say 'the record of the run: its timeline, and that nobody has changed it'
run opsh timeline last >"$dir/timeline.txt"
sed -n '1,14p' "$dir/timeline.txt"
echo '...'
tail -n 5 "$dir/timeline.txt"
run opsh verify last

say 'afterwards: no flight, and all the others'
run opsh -e 'cache:count { match = "flights::*" }.count'
run opsh -e 'cache:dbsize()'

say 'a system: gateway -> booking -> payment, catalogue, seats; no container'
run "$here/stack/stack" up "$dir/stack" booking
set -a
# shellcheck source=/dev/null
. "$dir/stack/env"
OPSH_TARGETS=$OPSH_BOOKING_TARGETS
set +a
read -r hung _ <"$OPSH_BOOKING_DIR/payment.pid"
kill -STOP "$hung"

say 'one service hangs: its process is there, its port is open. 3 a.m.:'
want=1
run opsh run services/health --quiet
echo '(exit 1: one is down)'

say 'why, and where to begin?'
run opsh run services/triage --quiet

say 'as it says; what runs is only ended when its guard is passed'
run opsh run services/restart service=payment watch=1s --approve orchestrator

say 'and now?'
run opsh run services/health --quiet

say 'a Postgres primary, its standby, a pooler, and a program that writes all the time'
run "$here/stack/stack" up "$dir/pair" postgres-ha
set -a
# shellcheck source=/dev/null
. "$dir/pair/env"
set +a
bind=(--bind primary=pg_primary_super --bind standby=pg_standby_super
	--bind pooler=pg_pooler_admin --bind app=pg_pooler --bind orchestrator=pg_units)
emergency=(postgres/failover mode=emergency silence=1s "data=$OPSH_PG_PRIMARY_DIR"
	"pooler_config=$OPSH_PGBOUNCER_DATABASES")
"$OPSH_PG_WRITER" write "$OPSH_PGBOUNCER_URL" "$dir/acked" &
writer=$!
quietly sleep 1
"$OPSH_PG_NODE" kill "$OPSH_PG_PRIMARY_DIR"

say 'the primary was killed: as if the power went. What would a failover do?'
run opsh plan "${emergency[@]}" "${bind[@]}" 2>/dev/null

say 'fenced, seen so from two sides; promoted; the loss, and how long nobody could write'
run opsh run "${emergency[@]}" max_loss=1000000 "${bind[@]}" \
	--approve pg_standby_super --approve pg_units --approve local --quiet

say 'the old primary comes back, as a standby of the new one'
run opsh run postgres/rejoin slot=primary "data=$OPSH_PG_PRIMARY_DIR" \
	--bind primary=pg_standby_super --bind old=pg_primary_super \
	--bind orchestrator=pg_units --approve pg_units --quiet

say 'what the writer saw: rows acknowledged, lost, and its longest gap in seconds'
kill "$writer"
wait "$writer" 2>/dev/null
writer=
quietly "$OPSH_PG_WRITER" report "$OPSH_PGBOUNCER_URL" "$dir/acked"

say 'a flash sale: gateway, processor, Redis, Kafka; 40 orders a second come'
run "$here/stack/stack" up "$dir/sale" flash-sale
set -a
# shellcheck source=/dev/null
. "$dir/sale/env"
OPSH_TARGETS=$OPSH_SALE_TARGETS
set +a
"$OPSH_SALE_LOAD" "${OPSH_SALE_GATEWAY_URL##*:}" 40 >"$dir/orders" &
customers=$!
quietly sleep 3
"$OPSH_SALE_NODE" kill 1

say 'Kafka was killed. The gateway opens its circuit breaker and refuses with 503:'
quietly opsh -e 'for _ = 1, 100 do
	if gateway:get("/metrics").body:find "breaker_state 1" then return end
	task.sleep(0.1)
end' >/dev/null
want=1
run opsh run services/health --quiet

say 'what would close it again?'
run opsh plan gateway/circuit-breaker 2>/dev/null

say 'Kafka started, waited for; the breaker waited out; the orders flow'
run opsh run gateway/circuit-breaker watch=4s --approve orchestrator

say 'what the customers saw, second by second: orders taken, and refused with 503'
kill "$customers"
wait "$customers" 2>/dev/null
customers=
awk '{ taken += $2; refused += $3; line = line sprintf(" %d/%d", $2, $3) }
	NR % 10 == 0 { print line; line = "" }
	END { if (line) print line
		printf "in all %d taken, %d refused\n", taken, refused }' "$dir/orders"

say 'all is stopped and removed now'
