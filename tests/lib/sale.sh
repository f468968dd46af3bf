# shellcheck shell=bash disable=SC2154 # names of test.sh and of the stack
# sale.sh: what the live tests on the flash sale share: opsh, and what they ask the sale
# itself: orders, metrics, its Redis. Source it after test.sh. Must not start
# anything.

# shellcheck source=opsh.sh
. "$t_here/opsh.sh"

R() {
	timeout 20 redis-cli -u "$OPSH_SALE_REDIS_URL" "$@"
}

# order USER [ITEM]: the status of the answer.
order() {
	curl -s -m 20 -o /dev/null -w '%{http_code}' "$OPSH_SALE_GATEWAY_URL/orders" \
		-d "{\"user_id\":\"$1\",\"item_id\":\"${2:-101}\",\"quantity\":2}"
}

# metric NAME [URL]: its value.
metric() {
	curl -s -m 20 "${2:-$OPSH_SALE_GATEWAY_URL}/metrics" |
		awk -v name="$1" '$1 == name { print $2 }'
}

breaker() {
	[ "$(metric gateway_circuit_breaker_state)" = "$1" ]
}
