#!/usr/bin/env bash
# help_test: the Lua blocks of lua/help/*.md do what they say: playbooks and
# targets files pass `opsh check`, all others run as scripts against a Redis, a
# Postgres and a Kafka of examples/stack. Owns its folder (tests/lib/test.sh). Last
# line: N passed, N failed.
# shellcheck source=lib/test.sh
. "$(dirname -- "$0")/lib/test.sh"

opsh=$t_root/build/${MODE:-release}/opsh
export XDG_STATE_HOME=$t_tmp/state
blocks=$t_tmp/blocks
mkdir -p "$blocks"
t_up redis postgres kafka

# One file a block: GUIDE.N.lua
for guide in "$t_root"/lua/help/*.md; do
	awk -v out="$blocks/$(basename "$guide" .md)" '
		/^```lua$/ { n++; inside = 1; next }
		/^```$/ { inside = 0 }
		inside { print > (out "." n ".lua") }' "$guide"
done

# fresh: what the examples expect to be there.
fresh() {
	"$opsh" --target "cache=$OPSH_REDIS_URL" --approve cache -e '
		cache:flushall()
		cache:mset("a", "1", "b", "22", "c", "333", "k", "v", "flights::UAL123", "x")
		cache:rpush("queue", "job")' >/dev/null
}

kafka=kafka://$OPSH_KAFKA_BROKERS
"$opsh" --target "events=$kafka" -e '
	events:create_topic("orders", { partitions = 3 })
	events:create_topic "opsh-probe"
	events:produce("orders", { { partition = 0, value = "a" },
		{ partition = 0, value = "b" } })
	events:commit("processor", { { topic = "orders", partition = 0, offset = 1 } },
		{ create = true })' >/dev/null

n=0
for block in "$blocks"/*.lua; do
	n=$((n + 1))
	name=$(basename "$block" .lua)
	if grep -q '^return {' "$block"; then
		out=$("$opsh" check "$block" 2>&1)
	else
		fresh
		out=$("$opsh" run "$block" --target "cache=$OPSH_REDIS_URL" \
			--target "db=$OPSH_POSTGRES_SUPER_URL" \
			--target "events=$kafka" --approve events \
			--approve cache --timeout 20 2>&1 </dev/null)
	fi
	t_is "$name ends well" "$?" 0
	[ "${VERBOSE:-}" = "" ] || printf -- '--- %s\n%s\n' "$name" "$out"
	case $out in
	*': error'* | *opsh:*) printf '%s\n' "$out" ;;
	esac
done
t_is 'guides have examples' "$((n > 10))" 1
t_done
