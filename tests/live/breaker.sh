#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2034,SC2086,SC2154,SC2317 # code for eval; words on purpose;
# names of test.sh and sale.sh; functions called by name
# breaker.sh: gateway/circuit-breaker on the flash sale of examples/stack, while orders
# come: Kafka killed, frozen, flapping, dead for good, not reached by the gateway, Redis
# dead; the breaker opens, the playbook closes it and orders flow, or it says why not
# and nothing is half done. A plan changes nothing. Owns throwaway servers only.
#     breaker.sh [FUNCTION...]      all of them, or these; `frozen`, which takes long,
#                                   only when it is named

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

# shellcheck source=../lib/sale.sh
. "$t_here/sale.sh"

quick="watch=2s probe=2s timeout=40s grace=3s"
loaded=			# the customers, when there are any

# mend ARG...: the playbook with its guard passed.
mend() {
	o run gateway/circuit-breaker $quick "steady=${steady:-1s}" "$@" \
		--approve orchestrator
}

customers() {
	"$OPSH_SALE_LOAD" "${OPSH_SALE_GATEWAY_URL##*:}" 40 >"$t_tmp/load" 2>&1 &
	loaded=$!
	t_reap "$loaded"
}

no_customers() {
	kill "$loaded"
	wait "$loaded"
	loaded=
}

# column N: the sum of what the customers were answered: 2 taken, 3 refused.
column() {
	awk -v n="$1" '{ sum += $n } END { print sum + 0 }' "$t_tmp/load"
}

# process UNIT: number and start of what runs as this; nothing when nothing does.
process() {
	local pid
	read -r pid _ <"$OPSH_SALE_DIR/$1.pid" && ! t_gone "$pid" &&
		ps -o pid=,lstart= -p "$pid"
}

processes() {
	local name
	for name in gateway processor redis kafka1; do
		echo "$name $(process "$name")"
	done
}

# What Kafka has: topics with their offsets but those that orders move, groups.
kept() {
	"$opsh" -e 'for _, t in ipairs(events:topics { internal = true }) do
		print(t.topic, t.partitions, t.replication) end
		for _, w in ipairs(events:watermarks "orders-dlq") do print(w.high) end
		for _, g in ipairs(events:groups()) do print(g.group) end' 2>&1
}

opened() {
	t_ok "$1: the breaker opens" t_within 30 breaker 1
}

flows() {
	exits "$1: exit" 0
	says "$1: closed, orders flow" '*breaker closed*orders *orders taken*'
	t_match "$1: health" "$(curl -s -m 5 "$OPSH_SALE_GATEWAY_URL/health")" \
		'*"redis":true,"kafka":true,"circuit_breaker_state":"closed"*'
}

# half NAME: nothing is left of a run that gave up.
nothing_half() {
	t_is "$1: no lock is left" "$("$opsh" locks 2>/dev/null | grep -c circuit)" 0
}

# --- ------------------------------------------------------------------------------

all_well() {
	local before kafka
	t_ok 'well: the processor has joined' t_within 30 eval \
		'[[ $(kept) = *processor ]]'
	before=$(processes) kafka=$(kept)
	o plan gateway/circuit-breaker $quick
	exits 'well: a plan' 0
	t_is 'well: makes no topic, joins no group' "$(kept)" "$kafka"
	mend
	flows 'well'
	tells 'well: a message came through' '*kafka takes a message and gives it back*'
	t_is 'well: nothing was restarted' "$(processes)" "$before"
	t_match 'well: its probe has a topic of its own' "$(kept)" '*opsh-probe*'
}

killed() {
	local before refused taken
	"$OPSH_SALE_NODE" kill 1
	opened killed
	before=$(processes)
	o plan gateway/circuit-breaker $quick
	exits 'killed: a plan' 0
	says 'killed: says what is down' '*kafka down *redpanda: Died*start redpanda*'
	tells 'killed: what the gateway said' '*circuit breaker open*'
	o run gateway/circuit-breaker $quick
	exits 'killed: it asks' 14
	t_is 'killed: neither changed anything' "$(processes)" "$before"
	refused=$(column 3) taken=$(column 2)
	t_ok 'killed: customers were refused' test "$refused" -gt 0
	mend
	flows 'killed'
	tells 'killed: the group works them off' '*ok start kafka*'
	says 'killed: lag' '* worked off, lag *'
	sleep 1.2
	t_ok 'killed: customers are served' test "$(column 2)" -gt "$taken"
	t_is 'killed: nothing else was restarted' "$(processes | grep -v kafka1)" \
		"$(printf '%s\n' "$before" | grep -v kafka1)"
}

redis_dead() {
	local pid
	read -r pid _ <"$OPSH_SALE_DIR/redis.pid"
	kill -KILL "$pid"
	t_ok 'redis: the gateway says so' t_within 20 eval \
		'[[ $(curl -s -m 9 "$OPSH_SALE_GATEWAY_URL/health") = *\"redis\":false* ]]'
	mend
	flows 'redis'
	says 'redis: seen' '*redis down *redis: Died*'
	tells 'redis: what it had is gone' '*redis has started without data*'
	R mset inventory:101 10000 inventory:102 10000 inventory:103 10000 >/dev/null
}

frozen() {
	local before
	before=$(process kafka1)
	"$OPSH_SALE_NODE" freeze 1
	opened frozen
	mend
	flows 'frozen'
	tells 'frozen: a restart, and what goes' '*restart redpanda: *clients of it wait*'
	t_ok 'frozen: it was restarted' test "$(process kafka1)" != "$before"
}

# When it has answered for a moment it is killed.
flapper() {
	while :; do
		"$OPSH_SALE_NODE" answers 1 && sleep 2 && "$OPSH_SALE_NODE" kill 1
		sleep 0.3
	done
}

flapping() {
	local pid
	"$OPSH_SALE_NODE" kill 1
	opened flapping
	flapper >/dev/null 2>&1 &
	pid=$!
	t_reap "$pid"
	steady=5s mend attempts=2
	kill "$pid"
	wait "$pid" 2>/dev/null
	exits 'flapping: exit' 1
	tells 'flapping: says so' '*kafka comes and goes after 2 starts: it answered*'
	tells 'flapping: what to try' '*hint: opsh run services/triage service=redpanda*'
	nothing_half flapping
}

dead() {
	local start=$OPSH_SALE_DIR/kafka1.start pid
	"$OPSH_SALE_NODE" kill 1 2>/dev/null
	opened dead
	cp "$start" "$t_tmp/start"
	printf '%s\n' '#!/bin/sh' 'sleep 0.5' \
		'echo "cannot start: no space left on device" >&2' 'exit 1' >"$start"
	mend
	exits 'dead: exit' 1
	tells 'dead: says so' '*kafka stays down after 2 starts: *Died*'
	tells 'dead: what to try' '*hint: opsh run services/triage service=redpanda*'
	nothing_half dead
	read -r pid _ <"$OPSH_SALE_DIR/kafka1.pid"
	t_ok 'dead: no process of it is left' t_gone "$pid"
	o run services/triage service=redpanda
	says 'dead: triage knows' '*the disk is full*'
	cp "$t_tmp/start" "$start"
}

# It can start again, but nobody orders: half-open is success pending.
pending() {
	"$OPSH_SALE_NODE" kill 1 2>/dev/null
	opened pending
	no_customers
	mend breaker_timeout=5s
	exits 'pending: exit' 1
	tells 'pending: says so' '*half-open, success is pending: no order came*'
	tells 'pending: what to try' '*send one: order=*'
	mend 'order={"user_id":"ops","item_id":"103"}'
	exits 'pending: an order of ours' 0
	tells 'pending: it tried' '*our order while it is half-open*status 202*closed*'
	tells 'pending: its order was taken' '*ok wait for the breaker*ok orders*'
	customers
}

# The gateway was given another address.
address() {
	sed '/gateway = { port/,/} }/s/KAFKA_ADDR = "[^"]*"/KAFKA_ADDR = "127.0.0.1:1"/' \
		"$OPSH_SALE_TARGETS" >"$t_tmp/opsh.lua"
	o --targets "$t_tmp/opsh.lua" run services/restart service=gateway watch=0 \
		timeout=2s --approve orchestrator
	opened address
	mend --targets "$t_tmp/opsh.lua"
	exits 'address: exit' 1
	tells 'address: says so' "*kafka answers here *'gateway' does not reach it: \
wrong address*KAFKA_ADDR=127.0.0.1:1*"
	nothing_half address
	o run services/restart service=gateway watch=0 --approve orchestrator
	exits 'address: mended' 0
}

# Short times: the breaker waits longer with each attempt that fails.
export SALE_PAYMENT_FAILURES=0 SALE_TIMEOUT=1s SALE_TIMEOUT_MAX=2s
t_up flash-sale
export OPSH_TARGETS=$OPSH_SALE_TARGETS
customers
if [ $# -gt 0 ]; then
	for each; do "$each"; done
else
	for each in all_well killed redis_dead flapping dead pending address; do
		from=$SECONDS
		"$each"
		printf '%s: %d s\n' "$each" $((SECONDS - from))
	done
fi
no_customers
t_done
