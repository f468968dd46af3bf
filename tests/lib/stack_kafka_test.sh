#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for other shells; names of test.sh
# stack_kafka_test.sh: the Kafka components of examples/stack: each comes up, answers
# on its listeners and goes without a trace, as root and as an ordinary user, also when
# a broker was killed or frozen. Owns only throwaway folders and build/kafka.

# shellcheck source=test.sh
. "$(dirname -- "$0")/test.sh"

# take DIR: the environment of a stack.
take() {
	set -a
	# shellcheck source=/dev/null
	. "$1/env"
	set +a
}

traces() {
	pgrep -af -- "$t_tmp/"
}

# tool CLASS LISTENER ARG...: one of Kafka's own tools, those in Scala with their
# package; LISTENER as in OPSH_KAFKA_*.
tool() {
	local class=$1 list=OPSH_KAFKA_${2}BROKERS
	shift 2
	case $class in
	kafka.*) ;;
	*) class=org.apache.kafka.tools.$class ;;
	esac
	timeout 60 "$OPSH_KAFKA_TOOL" "$class" \
		--bootstrap-server "${!list}" "$@" 2>&1
}

topics() {
	tool TopicCommand '' "$@"
}

# client PROTOCOL PASSWORD MECHANISM: the file of settings for such a client.
client() {
	local login=org.apache.kafka.common.security
	case $3 in
	PLAIN) login=$login.plain.PlainLoginModule ;;
	*) login=$login.scram.ScramLoginModule ;;
	esac
	printf '%s\n' "security.protocol=$1" 'ssl.truststore.type=PEM' \
		"ssl.truststore.location=$OPSH_KAFKA_CA" "sasl.mechanism=$3" \
		"sasl.jaas.config=$login required username=\"$OPSH_KAFKA_USER\" \
password=\"$2\";" 'default.api.timeout.ms=10000' 'request.timeout.ms=5000' \
		>"$t_tmp/client"
}

single() {
	local dir="$t_tmp/k a'f,k%a" password
	t_ok 'kafka: up in a folder with odd characters' "$t_stack" up "$dir" kafka
	take "$dir"
	password=$OPSH_KAFKA_PASSWORD
	t_is 'kafka: a topic is made' "$(topics --create --topic orders \
		--partitions 2)" 'Created topic orders.'
	t_match 'kafka: a mistyped one is not known' "$(echo one | tool \
		kafka.tools.ConsoleProducer '' --topic ordres --producer-property \
		max.block.ms=2000)" '*ordres not present in metadata*'
	t_is 'kafka: nor made by that' "$(topics --list)" orders
	client SASL_SSL "$password" SCRAM-SHA-256
	echo first | tool kafka.tools.ConsoleProducer SASL_ --topic orders \
		--producer.config "$t_tmp/client" >/dev/null
	client SASL_SSL "$(cat "$OPSH_KAFKA_PASSWORD_FILE")" PLAIN
	t_match 'kafka: SASL PLAIN' "$(tool TopicCommand SASL_ --list \
		--command-config "$t_tmp/client")" '*orders*'
	client SASL_SSL wrong SCRAM-SHA-512
	t_match 'kafka: a wrong password' "$(tool TopicCommand SASL_ --list \
		--command-config "$t_tmp/client")" '*Authentication failed*'
	client SSL - SCRAM-SHA-256
	t_match 'kafka: what came by SASL, read by TLS' "$(tool \
		consumer.ConsoleConsumer TLS_ --topic orders --from-beginning \
		--max-messages 1 --consumer.config "$t_tmp/client")" '*first*'
	t_match "kafka: a stranger's certificate" "$(tool TopicCommand \
		WRONGHOST_ --list --command-config "$t_tmp/client")" \
		'*No subject alternative DNS name matching localhost*'
	t_match 'kafka: an expired certificate' "$(tool TopicCommand EXPIRED_ \
		--list --command-config "$t_tmp/client")" '*NotAfter*'
	t_is 'kafka: no password in the log' \
		"$(grep -c "$password" "$OPSH_KAFKA_LOG")" 0
	t_is 'kafka: world can read nothing' "$(find "$dir" -perm /077 ! -type l |
		head -3)" ''
	described events 1
	t_is 'kafka: its process' "$("$OPSH_KAFKA_NODE" pid 1)" "$OPSH_KAFKA_PID"
	t_ok 'kafka: killed' "$OPSH_KAFKA_NODE" kill 1
	t_ok 'kafka: at once' t_gone "$OPSH_KAFKA_PID"
	"$OPSH_KAFKA_NODE" answers 1
	t_is 'kafka: it does not answer' $? 1
	t_match 'kafka: killed twice' "$("$OPSH_KAFKA_NODE" kill 1 2>&1)" \
		'*does not run*'
	"$t_stack" status "$dir" >/dev/null
	t_is 'kafka: status of a dead broker' $? 1
	t_ok 'kafka: started again' "$OPSH_KAFKA_NODE" start 1
	t_is 'kafka: its topics are there' "$(topics --list |
		grep -v '^__')" orders
	t_ok 'kafka: frozen' "$OPSH_KAFKA_NODE" freeze 1
	t_ok 'kafka: down while it is frozen' "$t_stack" down "$dir"
	t_is 'kafka: no trace is left' "$(traces)" ''
}

# described TARGET COUNT: the targets file.
described() {
	t_ok "$1: targets file is Lua" env NAME="$1" COUNT="$2" lua5.4 -e '
		secret = { file = function(p) return assert(io.open(p)) end }
		local t = dofile(os.getenv "OPSH_TARGETS").targets
		local name, count = os.getenv "NAME", tonumber(os.getenv "COUNT")
		assert(t[name].brokers == os.getenv "OPSH_KAFKA_BROKERS")
		assert(t[name .. "_sasl"].password and io.open(t[name .. "_tls"].ca))
		for n = 1, count // 1 | 0 do
			local unit = t[name .. "_units"].services["kafka" .. n]
			assert(io.open(unit.command[1]) and io.open(unit.pid), n)
			assert(os.execute(("%q %s %s"):format(table.unpack(
				unit.ready.command))))
		end'
}

# --- three ------------------------------------------------------------------------

# stopped PID: a signal is seen when the process has been where it is looked for.
stopped() {
	[ "$(ps -o state= -p "$1")" = T ]
}

# in_sync N: all partitions have so many replicas in sync.
in_sync() {
	local isr
	printf '%s\n' request.timeout.ms=2000 \
		default.api.timeout.ms=8000 >"$t_tmp/patience"
	isr=$(topics --describe --topic orders --command-config "$t_tmp/patience" |
		sed -n 's/.*Isr: \([0-9,]*\).*/\1/p')
	[ "$(printf '%s\n' "$isr" | awk -F, -v n="$1" 'NF == n' | wc -l)" = 2 ]
}

three() {
	local dir=$t_tmp/three pid
	t_ok 'three: up' "$t_stack" up "$dir" kafka-ha
	take "$dir"
	t_match 'three: not beside one' "$("$t_stack" up "$t_tmp/both" kafka kafka-ha \
		2>&1; "$t_stack" down "$t_tmp/both")" "*can't be in one stack*"
	topics --create --topic orders --partitions 2 >/dev/null
	t_ok 'three: all have joined' in_sync 3
	t_match 'three: quorum' "$(tool MetadataQuorumCommand '' describe --status)" \
		"*ClusterId: *$OPSH_KAFKA_CLUSTER*"
	described events 3
	t_ok 'three: one is killed' "$OPSH_KAFKA_NODE" kill 1
	t_ok 'three: the others know' t_within 40 in_sync 2
	t_ok 'three: one is started' "$OPSH_KAFKA_NODE" start 1
	t_ok 'three: it is in sync' t_within 40 in_sync 3
	t_match 'three: a start too many' "$("$OPSH_KAFKA_NODE" start 1 2>&1)" \
		'*runs already*'
	pid=$("$OPSH_KAFKA_NODE" pid 2)
	"$OPSH_KAFKA_NODE" freeze 2
	t_ok 'three: frozen' t_within 5 stopped "$pid"
	# A client that asks the frozen one first waits long.
	OPSH_KAFKA_BROKERS=127.0.0.1:$OPSH_KAFKA1_PORT t_ok \
		'three: the others go on' t_within 60 in_sync 2
	"$OPSH_KAFKA_NODE" thaw 2
	t_ok 'three: thawed' t_within 40 in_sync 3
	"$OPSH_KAFKA_NODE" kill 3
	"$OPSH_KAFKA_NODE" freeze 2
	t_ok 'three: down, one killed, one frozen' "$t_stack" down "$dir"
	t_is 'three: no trace is left' "$(traces)" ''
}

# --- the flash sale ---------------------------------------------------------------

# order USER [ITEM]: the status of the answer.
order() {
	curl -s -m 20 -o "$t_tmp/body" -w '%{http_code}' "$OPSH_SALE_GATEWAY_URL/orders" \
		-d "{\"user_id\":\"$1\",\"item_id\":\"${2:-101}\",\"quantity\":2}"
}

# metric NAME [URL]: its value.
metric() {
	curl -s -m 20 "${2:-$OPSH_SALE_GATEWAY_URL}/metrics" |
		awk -v name="$1" '$1 == name { print $2 }'
}

health() {
	curl -s -m 20 "$OPSH_SALE_GATEWAY_URL/health"
}

sold() {
	[ "$(metric 'processor_inventory_level{item_id="101"}' \
		"$OPSH_SALE_PROCESSOR_URL")" = "$1" ]
}

breaker() {
	[ "$(metric gateway_circuit_breaker_state)" = "$1" ]
}

# opened: orders until the breaker is open.
opened() {
	order "u$RANDOM" >/dev/null
	breaker 1
}

closed() {
	order "u$RANDOM" >/dev/null
	breaker 0
}

sanitized='-fsanitize=address,undefined -fno-sanitize-recover=all
	-fno-omit-frame-pointer -O1'

sale() {
	local dir="$t_tmp/s a'le" n codes=
	# Gateway and processor under the sanitizers; they tell when they end.
	t_ok 'sale: up' env SALE_PAYMENT_FAILURES=0 SALE_CFLAGS="$sanitized" \
		ASAN_OPTIONS="log_path=$t_tmp/san" \
		UBSAN_OPTIONS="log_path=$t_tmp/san:print_stacktrace=1" \
		"$t_stack" up "$dir" flash-sale
	take "$dir"
	t_is 'sale: healthy' "$(health)" '{"status":"healthy","redis":true,'\
'"kafka":true,"circuit_breaker_state":"closed"}'
	t_is 'sale: an order' "$(order one)" 202
	t_ok 'sale: it is taken out of the inventory' t_within 20 sold 9998
	t_is 'sale: no order' "$(curl -s -o "$t_tmp/body" -w '%{http_code}' -d x \
		"$OPSH_SALE_GATEWAY_URL/orders")" 400
	for n in 1 2; do
		codes="$codes $(curl -s -o "$t_tmp/body" -w '%{http_code}' \
			-H 'Idempotency-Key: k' -d '{"user_id":"i","item_id":"102"}' \
			"$OPSH_SALE_GATEWAY_URL/orders")"
	done
	t_is 'sale: the same order twice' "$codes" ' 202 409'
	for ((n = 0; n < 61; n++)); do codes=$(order greedy 103); done
	t_is 'sale: too many of one' "$codes" 429
	printf '{"item_id":7}\n' | timeout 60 "$OPSH_SALE_TOOL" \
		kafka.tools.ConsoleProducer --topic orders \
		--bootstrap-server "$OPSH_SALE_BROKERS" >/dev/null
	t_match 'sale: what is no order goes to the DLQ, and says why' "$(timeout 60 \
		"$OPSH_SALE_TOOL" org.apache.kafka.tools.consumer.ConsoleConsumer \
		--bootstrap-server "$OPSH_SALE_BROKERS" --topic orders-dlq \
		--from-beginning --max-messages 1 --property print.headers=true \
		2>&1)" '*error-reason:Invalid Order Format,origin-topic:orders,*'\
'replay-count:0,*{"item_id":7}*'
	t_ok 'sale: the DLQ is measured' t_within 20 eval '[ "$(metric \
		processor_dlq_size "$OPSH_SALE_PROCESSOR_URL")" = 1 ]'
	t_ok 'sale: its age too' t_within 20 eval '[ "$(metric \
		processor_dlq_oldest_message_age_seconds \
		"$OPSH_SALE_PROCESSOR_URL" | cut -d . -f 1)" -gt 0 ]'
	kafka_gone
	kill -STOP "$OPSH_SALE_REDIS_PID"
	t_match 'sale: without Redis' "$(health)" '*"redis":false*'
	kill -CONT "$OPSH_SALE_REDIS_PID"
	t_ok 'sale: with it' t_within 10 eval '[[ $(health) = *\"healthy\"* ]]'
	units
	t_ok 'sale: down' "$t_stack" down "$dir"
	t_is 'sale: no trace is left' "$(traces)" ''
	t_is 'sale: the sanitizers found nothing' "$(cat "$t_tmp"/san* 2>/dev/null)" ''
}

kafka_gone() {
	local before
	before=$(metric gateway_orders_successful_total)
	"$OPSH_SALE_NODE" kill 1
	t_ok 'sale: without Kafka the breaker opens' t_within 60 opened
	t_match 'sale: and refuses' "$(order late; cat "$t_tmp/body")" \
		'503*circuit breaker is open*'
	t_match 'sale: health says so' "$(health)" \
		'*"kafka":false,"circuit_breaker_state":"open"*'
	t_ok 'sale: half-open by itself' t_within 20 breaker 2
	t_match 'sale: one may try' "$(order try)" 503
	t_ok 'sale: in vain' breaker 1
	t_ok 'sale: Kafka is back' "$OPSH_SALE_NODE" start 1
	t_ok 'sale: the breaker closes' t_within 60 closed
	t_ok 'sale: orders flow' test "$(metric gateway_orders_successful_total)" \
		-gt "$before"
	t_match 'sale: the log tells it' "$(grep -o 'circuit_[a-z_]*' \
		"$OPSH_SALE_DIR/gateway.log" | uniq | paste -sd ' ')" \
		'circuit_opened circuit_half_open circuit_opened*circuit_closed'
}

units() {
	t_ok 'sale: targets file is Lua' env -u SALE_HOST lua5.4 -e '
		local s = dofile(os.getenv "OPSH_SALE_TARGETS")
		for name in pairs(s.services) do
			local unit = s.targets.orchestrator.services[name]
			assert(io.open(unit.command[1]) and io.open(unit.pid), name)
		end
		assert(s.thresholds.dlq_size and s.patterns.dlq)'
}

# --- the jars ---------------------------------------------------------------------

# Once they are here Maven is not asked; without both they can't be.
jars() {
	local fake=$t_tmp/bin
	mkdir "$fake"
	printf '#!/bin/sh\necho asked\nexit 1\n' >"$fake/mvn"
	chmod +x "$fake/mvn"
	t_ok 'jars: fetched once' env PATH="$fake:$PATH" \
		"$t_root/examples/stack/lib/kafka-fetch.sh" \
		"$t_root/examples/stack/kafka/pom.xml" "$kafka_build"
	t_match 'jars: Maven fails' "$(PATH=$fake:$PATH OPSH_KAFKA_BUILD=$t_tmp/none \
		"$t_stack" up "$t_tmp/nojars" kafka 2>&1)" \
		'*cannot fetch the jars of Kafka*asked*'
	t_match 'jars: a folder that Java would divide' "$("$t_stack" up \
		"$t_tmp/a:b" kafka 2>&1)" "*':'*"
}

# As somebody who is not root, in a tree of his own.
somebody() {
	local home=$t_tmp/ordinary
	mkdir -p "$home/tmp" && cp -R "$t_root/examples/stack" "$home/" &&
		cp -R "$kafka_build" "$home/jars" || return 1
	chmod -R a+rX "$home" && chmod 711 "$t_tmp" && chmod 777 "$home/tmp" &&
		chmod 666 "$home/jars/lock"
	set -- env HOME="$home/tmp" TMPDIR="$home/tmp" OPSH_KAFKA_BUILD="$home/jars" \
		"$home/stack/stack" run kafka -- bash -c \
		'"$OPSH_KAFKA_NODE" answers 1 && ps -o user= -p "$OPSH_KAFKA_PID"'
	if [ "$(id -u)" -eq 0 ]; then
		t_is 'kafka: as an ordinary user' "$(setpriv --reuid=nobody \
			--regid="$(id -g nobody)" --clear-groups --inh-caps=-all \
			--bounding-set=-all "$@")" nobody
	else
		t_is 'kafka: as an ordinary user' "$("$@")" "$(id -un)"
	fi
	t_is 'kafka: nor is a trace of his left' "$(ls -A "$home/tmp"; traces)" ''
}

kafka_build=${OPSH_KAFKA_BUILD:-$t_root/build/kafka}
single
jars
sale
three
somebody
t_done
