#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for eval; names of test.sh; functions
# called by name
# sale.sh: redis/inventory and redis/ratelimit on the flash sale of examples/stack:
# what was sold agrees with the stock, also while orders are taken; what does not is
# found and corrected under a guard; a user who is limited is seen and let in again;
# plans change nothing. Owns throwaway servers only.
#     sale.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

# shellcheck source=../lib/sale.sh
. "$t_here/sale.sh"

sold() {
	[ "$(R get "inventory:$1")" = "$2" ]
}

# Everything in Redis that a plan must leave as it is; not what expires.
kept() {
	R --scan | sort | while read -r key; do
		printf '%s %s\n' "$key" "$(R get "$key")"
	done
}

# --- inventory --------------------------------------------------------------------

agrees() {
	local n
	for n in 1 2 3 4 5; do
		order "buyer$n" >/dev/null
	done
	t_ok 'five orders are worked off' t_within 30 sold 101 9990
	o run redis/inventory
	exits 'stock and orders agree' 0
	says 'what was sold' '*101 ok 9990 9990 10 10000*'
	# orders go on while it looks
	(for ((n = 0; n < 150; n++)); do order "more$n" 103 >/dev/null; done) &
	for n in 1 2 3; do
		o run redis/inventory --quiet
		exits "while orders are taken ($n)" 0
	done
	wait $!
	t_ok 'those are worked off too' t_within 30 sold 103 9700
}

mismatch() {
	local before
	R incrby inventory:102 7 >/dev/null
	o run redis/inventory
	exits 'a counter that is off' 3
	says 'by how much' '*102 mismatch 10007 10000 7 0 10000 orders took more*'
	before=$(kept)
	o plan redis/inventory correct=102
	exits 'a correction planned' 0
	o run redis/inventory correct=102
	exits 'a correction asks' 14
	tells 'with what would be' '*inventory:102: 10007 -> 10000*'
	t_is 'nothing of that changed anything' "$(kept)" "$before"
	o run redis/inventory correct=102 --approve cache
	exits 'corrected by the difference' 0
	t_is 'it is right' "$(R get inventory:102)" 10000
	o run redis/inventory
	exits 'and agrees' 0
	o run redis/inventory correct=102
	exits 'nothing to correct' 3
	tells 'says so' "*'102' has no mismatch to correct*"
	o run redis/inventory correct=102 to=5000 --approve cache
	exits 'set to a number, as the runbook does' 0
	t_is 'it is that' "$(R get inventory:102)" 5000
	R set inventory:102 -3 >/dev/null
	o run redis/inventory
	exits 'below 0' 3
	says 'says so' '*102 negative -3 *'
	R set inventory:102 many >/dev/null
	o run redis/inventory correct=102 --approve cache
	exits 'no number has no difference' 3
	o run redis/inventory correct=102 to=10000 --approve cache
	exits 'but can be set' 0
	R del inventory:102 stock:102 >/dev/null
	o run redis/inventory stock=102=10000
	exits 'a counter that is gone' 3
	says 'is seen' '*102 mismatch 0 10000 *it has no counter*'
	o run redis/inventory stock=102=10000 correct=102 to=10000 --approve cache
	exits 'it is made again' 0
	o run redis/inventory stock=102
	exits 'a stock without a number' 3
	R mset inventory:102 10000 stock:102 10000 >/dev/null
}

# sells N: that many of item 102, one after the other; its process is $seller.
sells() {
	timeout 60 redis-benchmark -u "$OPSH_SALE_REDIS_URL" -q -c 1 -n "$1" \
		decr inventory:102 >/dev/null 2>&1 &
	seller=$!
	t_ok 'it moves' t_within 10 eval '[ "$(R get inventory:102)" -lt 1000000 ]'
}

# Between our look and our write something is sold nearly always.
overtaken() {
	o run redis/inventory correct=102 to=999999 --approve cache
	[ "$rc" -eq 15 ]
}

# A counter that moves is not overwritten; a difference holds.
moving() {
	R mset inventory:102 1000000 stock:102 1000000 >/dev/null
	sells 10000000
	t_within 20 overtaken	# not in t_ok, which has an $out of its own
	exits 'a number, while orders are taken' 15
	tells 'is not written over them' '*not touched: it is*now*'
	kill "$seller"
	wait "$seller" 2>/dev/null
	R set inventory:102 1000000 >/dev/null
	sells 100000
	o run redis/inventory correct=102 by=100000 --approve cache
	exits 'a difference, while orders are taken' 0
	wait "$seller"
	t_is 'loses none of them' "$(R get inventory:102)" 1000000
}

# --- rate limits ------------------------------------------------------------------

limits() {
	local n
	R set ratelimit:greedy 60 ex 60 >/dev/null
	t_is 'one too many' "$(order greedy)" 429
	o run redis/ratelimit
	exits 'who is limited' 0
	says 'the greedy one, first' 'user count ttl type note*-
greedy 61 *string limited: refused until its window ends*'
	tells 'the limit is the service'"'"'s own' '*limited (limit 60 in 1m)*'
	o run redis/ratelimit limit=100
	tells 'or as given' '* 0 limited (limit 100)*'
	R set ratelimit:stuck 3 >/dev/null
	R zadd ratelimit:sliding 1 a 2 b >/dev/null
	R expire ratelimit:sliding 60 >/dev/null
	o run redis/ratelimit strict=true
	exits 'a counter that never ends' 3
	says 'is named' '*stuck 3 *NO TTL*'
	says 'a sliding window' '*sliding 2 * zset*'
	o plan redis/ratelimit reset=greedy
	exits 'a reset planned' 0
	o run redis/ratelimit reset=greedy
	exits 'a reset asks' 14
	t_is 'neither has reset' "$(R get ratelimit:greedy)" 61
	o run redis/ratelimit reset=greedy --approve cache
	exits 'reset' 0
	t_is 'and may order again' "$(order greedy)" 202
	o run redis/ratelimit reset=stuck --approve cache
	exits 'a stuck one too' 0
	t_is 'it is gone' "$(R exists ratelimit:stuck)" 0
	o run redis/ratelimit reset=nobody --approve cache
	exits 'one who is not limited' 3
	tells 'says so' "*there is no counter 'ratelimit:nobody'*"
	o run redis/ratelimit 'reset=*' --approve cache
	exits 'all are nobody' 3
}

SALE_PAYMENT_FAILURES=0 t_up flash-sale
export OPSH_TARGETS=$OPSH_SALE_TARGETS
if [ $# -gt 0 ]; then
	for each; do "$each"; done
else
	for each in agrees mismatch moving limits; do "$each"; done
fi
t_done
