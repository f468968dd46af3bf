# shellcheck shell=bash disable=SC2034,SC2154 # names shared with those who source it
# sale.sh: what the live tests on the flash sale share: opsh with its output and exit
# code, what it must say, orders, metrics, Redis. Source it after test.sh. Must not
# start anything.

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp PYTHONDONTWRITEBYTECODE=1

# o ARG...: opsh, its output in $out and $err, its exit code in $rc.
o() {
	timeout -k 1 120 "$opsh" "$@" </dev/null >"$out" 2>"$err"
	rc=$?
}

# exits NAME CODE
exits() {
	if [ "$rc" -eq "$2" ]; then
		t_pass
	else
		t_fail "$1" "exit $rc, expected $2: $(cat "$out" "$err")"
	fi
}

says() {
	t_match "$1" "$(tr -s ' ' <"$out")" "$2"
}

tells() {
	t_match "$1" "$(tr -s ' ' <"$err")" "$2"
}

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
