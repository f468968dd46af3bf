#!/usr/bin/env bash
# rabbitmq.sh: the playbooks of RabbitMQ on a real broker, with real consumers (pika):
# one that is slow, one that gives a message back each time. A plan changes no
# depth, closed stdin refuses, what was asked for happens and nothing else does.
# shellcheck disable=SC2016,SC2317 # code for eval; functions called by name
# shellcheck source=tests/lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=tests/lib/witness.sh
. "$t_here/witness.sh"
export OPSH_RABBITMQ_INTERVAL=5000	# statistics as seldom as they are elsewhere
t_up rabbitmq
opsh=${OPSH:-$t_root/build/release/opsh}
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state
err=$t_tmp/err
api=$OPSH_RABBITMQ_URL/api
# the python that has the packages of tests/deps.sh
python=/usr/bin/python3
[ -x "$python" ] || python=python3

o() { timeout -k 1 60 "$opsh" --targets "$OPSH_TARGETS" "$@" </dev/null 2>&1; }

# run NAME=VALUE...: sets out and rc.
run() {
	out=$(o "$@")
	rc=$?
}

call() {
	curl -sS --max-time 10 -u "ops:$OPSH_RABBITMQ_PASSWORD" \
		-H 'content-type: application/json' "$@"
}

declare_queue() {
	local body='{"durable":true}'
	[ $# -lt 2 ] || body=$2
	call -X PUT "$api/queues/%2F/$1" -d "$body" >/dev/null
}

# publish QUEUE PAYLOAD [PROPERTIES]
publish() {
	local properties='{}'
	[ $# -lt 3 ] || properties=$3
	call "$api/exchanges/%2F/amq.default/publish" -d "{\"routing_key\":\"$1\",
		\"payload\":\"$2\",\"payload_encoding\":\"string\",
		\"properties\":$properties}" >/dev/null
}

# depth QUEUE: ready and unacknowledged, as the broker says when it looks.
depth() {
	call "$api/queues/%2F/$1" | python3 -c 'import json, sys
q = json.load(sys.stdin)
print(q.get("messages_ready", "?"), q.get("messages_unacknowledged", "?"))'
}

# counts: of all queues, now, without statistics of seconds ago.
counts() {
	call "$api/queues/%2F?disable_stats=true&enable_queue_totals=true" |
		python3 -c 'import json, sys
for q in sorted(json.load(sys.stdin), key=lambda q: q["name"]):
    print(q["name"], q["messages_ready"], q["messages_unacknowledged"])'
}

depth_is() { [ "$(depth "$1")" = "$2" ]; }

has_now() { counts | grep -qx "$1 $2"; }

# payloads QUEUE: what is in it, in order (marks it as redelivered).
payloads() {
	call "$api/queues/%2F/$1/get" -d '{"count":100,"ackmode":"ack_requeue_true",
		"encoding":"auto"}' | python3 -c 'import json, sys
print(*[m["payload"] for m in json.load(sys.stdin)])'
}

redelivered() {
	call "$api/queues/%2F/$1/get" -d '{"count":1,"ackmode":"ack_requeue_true",
		"encoding":"auto"}' | grep -o '"redelivered":[a-z]*'
}

# consumer MODE QUEUE: in the background; its pid is in consumer_pid.
consumer() {
	"$python" "$t_root/tests/lib/amqp_consumer.py" "$1" "$2" \
		"$OPSH_RABBITMQ_AMQP_PORT" >"$t_tmp/consumer" 2>&1 &
	consumer_pid=$!
	disown "$consumer_pid"
	t_reap "$consumer_pid"
	t_within 15 eval 'call "$api/queues/%2F/'"$2"'" | grep -q "\"consumers\":1"' ||
		t_fail "consumer of $2" "$(cat "$t_tmp/consumer")"
}

consumer_ends() {
	kill -KILL "$consumer_pid" 2>/dev/null
	t_within 15 eval 'call "$api/queues/%2F/'"$1"'" | grep -q "\"consumers\":0"' ||
		t_fail "consumer of $1 stays"
}

backlog() {
	local n
	declare_queue orders
	declare_queue empty
	for n in $(seq 12); do publish orders "m$n"; done
	t_ok 'twelve' t_within 15 depth_is orders '12 0'
	run run rabbitmq/backlog observe=0 consumer=payment-service
	t_is 'below the limits, but no consumer: a warning, exit 0' "$rc" 0
	t_match 'says why and what to do' "$out" \
		'*orders*warning*12*no consumer*services/restart service=payment-service*'
	run run rabbitmq/backlog observe=0 strict=true
	t_is 'strict: exit 1' "$rc" 1
	run run rabbitmq/backlog observe=0 warn=5 critical=10
	t_match 'above critical' "$rc $out" '1 *orders*critical*over the limit: orders*'
	run run rabbitmq/backlog observe=0 queues='emp*'
	t_match 'only those that match' "$rc $out" '0 *empty*ok*'
	run run rabbitmq/backlog observe=0 queues=none
	t_match 'no such queue' "$rc $out" "3 *no queue that matches*"
	o run rabbitmq/backlog observe=0 warn=5 critical=10 --output jsonl \
		2>/dev/null >"$t_tmp/jsonl"
	t_ok 'every line parses' python3 -c 'import json, sys
n = sum(1 for line in open(sys.argv[1]) if json.loads(line) is not None)
assert n > 0' "$t_tmp/jsonl"
	t_is 'no message was looked at' "$(redelivered orders)" '"redelivered":false'
	consumer hold orders
	t_ok 'five are held' t_within 15 has_now orders '7 5'
	run run rabbitmq/backlog observe=5s
	t_match 'held, none acknowledged' "$rc $out" \
		'0 *orders*warning*12*5*1*hold 5, acknowledge none*'
	consumer_ends orders
}

drains() {
	declare_queue fast
	t_ok 'filled' "$python" "$t_root/tests/lib/amqp_consumer.py" fill fast \
		"$OPSH_RABBITMQ_AMQP_PORT"
	t_ok 'eight hundred' t_within 15 has_now fast '800 0'
	consumer slow fast
	run run rabbitmq/backlog queues=fast observe=5s
	t_match 'time to drain' "$rc $out" '0 *fast*ok* s*'
	consumer_ends fast
}

purge() {
	t_ok 'twelve' t_within 15 depth_is orders '12 0'
	declare_queue fresh
	publish fresh one
	t_ok 'one' t_within 15 depth_is fresh '1 0'
	run plan rabbitmq/purge queue=fresh
	t_match 'plan' "$rc $out" '0 *purge*'
	t_is 'a plan marks nothing' "$(redelivered fresh)" '"redelivered":false'
	t_is 'and takes nothing' "$(depth fresh)" '1 0'
	run run rabbitmq/purge queue=orders
	t_match 'closed stdin refuses' "$rc $out" '14 *--approve rabbitmq*'
	t_match 'shows count and sample' "$out" '*12*orders*m1*'
	t_is 'nothing was purged' "$(depth orders)" '12 0'
	run run rabbitmq/purge queue=none --approve rabbitmq
	t_match 'no such queue' "$rc $out" "3 *no queue 'none'*"
	run run rabbitmq/purge queue=orders sample=2 --approve rabbitmq
	t_is 'purged' "$rc" 0
	t_ok 'nothing is left' t_within 15 has_now orders '0 0'
	t_is 'the other queue is as it was' "$(depth fresh)" '1 0'
	run run rabbitmq/purge queue=orders --approve rabbitmq
	t_match 'nothing to do' "$rc $out" '0 *no ready message*'
}

# id PAYLOAD: of the row that shows it.
id() { printf '%s\n' "$out" | sed -n "s/^ *\([0-9a-f]\{16\}\) .*$1.*/\1/p"; }

poison() {
	local bad n
	declare_queue jobs
	publish jobs poison '{"message_id":"p1","headers":{"origin":"shop"}}'
	for n in 1 2 3; do publish jobs "job$n"; done
	t_ok 'four' t_within 15 has_now jobs '4 0'
	run plan rabbitmq/poison queue=jobs
	t_is 'plan' "$rc" 0
	t_is 'a plan marks nothing' "$(call "$api/queues/%2F/jobs" |
		grep -o '"get":[0-9]*')" ''
	consumer poison jobs
	sleep 2
	run run rabbitmq/poison queue=jobs id=0123456789abcdef action=park \
		--approve rabbitmq
	t_match 'consumers are in the way' "$rc $out" '3 *has 1 consumers*'
	consumer_ends jobs
	t_ok 'it came back, the others were done' t_within 15 has_now jobs '1 0'
	publish jobs job4
	run run rabbitmq/poison queue=jobs
	t_match 'found' "$rc $out" '0 *p1*poison*action=park*'
	t_is 'the other one is not suspected' "$(id job4)" ''
	bad=$(id poison)
	run run rabbitmq/poison queue=jobs id="$bad" action=park
	t_match 'closed stdin refuses' "$rc $out" '14 *--approve rabbitmq*'
	t_is 'nothing moved' "$(payloads jobs)" 'poison job4'
	run run rabbitmq/poison queue=jobs id="$bad" action=drop ahead=x
	t_is 'a wrong parameter' "$rc" 2
	run plan rabbitmq/poison queue=jobs id="$bad" action=park
	t_is 'plan of the move' "$rc" 0
	t_is 'still nothing moved' "$(payloads jobs)" 'poison job4'
	run run rabbitmq/poison queue=jobs id="$bad" action=park \
		--approve rabbitmq
	t_is 'parked' "$rc" 0
	t_is 'the other is there' "$(payloads jobs)" job4
	t_is 'it is in the parking queue' "$(payloads jobs.parked)" poison
	t_match 'with properties and headers' "$(call \
		"$api/queues/%2F/jobs.parked/get" -d '{"count":1,
		"ackmode":"ack_requeue_true","encoding":"auto"}')" \
		'*"message_id":"p1"*"origin":"shop"*'
	ahead
}

# One that does not stand at the head.
ahead() {
	local bad
	publish jobs bad
	publish jobs job5
	run run rabbitmq/poison queue=jobs	# marks them: both are listed next
	run run rabbitmq/poison queue=jobs
	bad=$(id ' bad')
	run run rabbitmq/poison queue=jobs id="$bad" action=drop --approve rabbitmq
	t_match 'others are ahead' "$rc $out" '3 *1 messages are ahead*ahead=1*'
	t_is 'nothing moved' "$(payloads jobs)" 'job4 bad job5'
	run run rabbitmq/poison queue=jobs id="$bad" action=drop ahead=1 \
		--approve rabbitmq
	t_is 'dropped' "$rc" 0
	t_is 'none of the others is lost' "$(payloads jobs)" 'job5 job4'
	run run rabbitmq/poison queue=jobs id="$bad" action=drop --approve rabbitmq
	t_match 'it is gone' "$rc $out" "3 *no message '$bad'*"
}

# A quorum queue counts deliveries.
quorum() {
	declare_queue q '{"durable":true,"arguments":{"x-queue-type":"quorum"}}'
	publish q poison
	publish q fine
	consumer poison q
	sleep 2
	consumer_ends q
	t_ok 'one came back' t_within 15 has_now q '1 0'
	run run rabbitmq/poison queue=q least=3
	t_match 'counted' "$rc $out" '0 *poison*'
}

# A plan of each, in each way it goes: witnesses are the broker's counts, the marks that
# a look leaves, what was run and sent, and the files.
plans() {
	local before queue out=$t_tmp/planned
	for queue in w1 w2 w3; do
		declare_queue $queue
		publish $queue one '{"message_id":"m"}'
		publish $queue two
	done
	t_ok 'the statistics have them' t_within 15 depth_is w3 '2 0'
	mkdir "$t_tmp/cwd"
	cd "$t_tmp/cwd" || exit 1
	before=$(counts; files "$t_tmp/cwd")
	t_match 'counts are seen' "$before" '*w1 2 0*w2 2 0*w3 2 0*'
	export OPSH_TARGETS
	plan_only rabbitmq/backlog observe=0
	plan_only rabbitmq/backlog observe=5s queues='w*' consumer=pay warn=1 strict=false
	plan_only rabbitmq/purge queue=w1
	plan_only rabbitmq/purge queue=w1 sample=20
	plan_only rabbitmq/poison queue=w2
	plan_only rabbitmq/poison queue=w2 id=90ab12cd34ef5678 action=park
	plan_only rabbitmq/poison queue=w2 id=90ab12cd34ef5678 action=drop ahead=1
	t_is 'plans: queues, depths and files are as they were' \
		"$(counts; files "$t_tmp/cwd")" "$before"
	t_is 'plans: no message was looked at' \
		"$(redelivered w1) $(redelivered w2)" \
		'"redelivered":false "redelivered":false'
	# the witness sees what a run does
	traced "$opsh" run rabbitmq/purge queue=w3 --approve rabbitmq
	t_match 'the witness sees a run' "$rc $(writing)" \
		'0 *sent POST */w3/get*sent DELETE */w3/contents*'
	cd "$t_root" || exit 1
}

if [ $# -gt 0 ]; then
	for name; do "$name"; done
	t_done
fi
backlog
drains
purge
poison
quorum
plans
t_done
