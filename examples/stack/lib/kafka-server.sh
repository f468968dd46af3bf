# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kafka-server.sh: makes and starts brokers of Apache Kafka, each its own controller
# too (KRaft), on free loopback ports; shared by the components kafka and kafka-ha
# and by kafka-node.sh. The jars are fetched by Maven once, into build/kafka of this
# tree or OPSH_KAFKA_BUILD. OPSH_KAFKA_COMPILER: up to which of Java's compilers, 1
# (starts fastest) to 4 (as a broker is run). Owns the processes and data of the
# component at work; must not keep anything else outside of stack_dir.

# shellcheck source=certificates.sh
. "$stack_here/lib/certificates.sh"

kafka_build=${OPSH_KAFKA_BUILD:-$(cd -- "$stack_here/../.." && pwd -P)/build/kafka}
kafka_listeners='plain sasl tls wronghost expired controller'

# kafka_need: finds the programs and the jars.
kafka_need() {
	local log=$stack_dir/fetch.log
	kafka_java=$(stack_program java) || return 1
	stack_program openssl >/dev/null && stack_program flock >/dev/null || return 1
	case $kafka_build$stack_dir in
	*:*)
		stack_fail "cannot start Kafka: a ':' in '$stack_dir' or \
'$kafka_build' would divide Java's class path"
		return 1
		;;
	esac
	stack_spawn fetch "$stack_here/lib/kafka-fetch.sh" \
		"$stack_here/kafka/pom.xml" "$kafka_build"
	stack_within 600 kafka_fetched || stack_fail \
		'the jars of Kafka are not here after 10 minutes' "$log" || return 1
	! grep -q '^fetching' "$log" || stack_say "the jars are in '$kafka_build'"
	[ -e "$kafka_build/stamp" ] ||
		stack_fail 'cannot fetch the jars of Kafka' "$log" || return 1
	rm -f -- "$stack_dir/fetch.pid"
	ln -sfn -- "$kafka_build/libs" "$stack_dir/libs" &&
		mkdir -p -- "$stack_dir/tmp"
}

kafka_fetched() {
	! stack_alive "$stack_dir/fetch.pid"
}

# kafka_secrets: password, certificates as Kafka reads them, the cluster's id.
kafka_secrets() {
	local name
	kafka_password=$(stack_secret)
	printf '%s' "$kafka_password" >"$stack_dir/password" &&
		certificates_make || return 1
	for name in good wronghost expired; do
		{
			openssl pkcs8 -topk8 -nocrypt -in "$stack_dir/$name.key" &&
				cat -- "$stack_dir/$name.crt" "$certificates_ca"
		} >"$stack_dir/$name.pem" 2>>"$stack_dir/openssl.log" || stack_fail \
			'cannot make the key stores' "$stack_dir/openssl.log" ||
			return 1
	done
	kafka_cluster=$(head -c 16 /dev/urandom | openssl base64 -A |
		tr '+/' 'AB' | tr -d =) && kafka_logging >"$stack_dir/log4j.properties"
}

# A line of INFO is what kafka_started waits for.
kafka_logging() {
	printf '%s\n' 'log4j.rootLogger=WARN, out' \
		'log4j.logger.kafka.server.KafkaRaftServer=INFO' \
		'log4j.appender.out=org.apache.log4j.ConsoleAppender' \
		'log4j.appender.out.Target=System.err' \
		'log4j.appender.out.layout=org.apache.log4j.PatternLayout' \
		'log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n'
}

# kafka_port NODE LISTENER: its port; they are in kafka_ports.
kafka_port() {
	local name n=0
	for name in $kafka_listeners; do
		[ "$name" = "$2" ] && break
		n=$((n + 1))
	done
	printf '%s' "${kafka_ports[$((($1 - 1) * 6 + n))]}"
}

# kafka_list LISTENER: of all nodes, as brokers are given to a client.
kafka_list() {
	local n list= host=127.0.0.1
	[ "$1" = plain ] || host=localhost
	for ((n = 1; n <= kafka_count; n++)); do
		list=$list,$host:$(kafka_port "$n" "$1")
	done
	printf '%s' "${list#,}"
}

# kafka_conf NODE: its configuration. Paths are relative to stack_dir, where it runs:
# the name of that folder may hold what a list of folders can't.
kafka_conf() {
	local n=$1 name voters= all= told= i isr=1
	[ "$kafka_count" -lt 3 ] || isr=2
	for ((i = 1; i <= kafka_count; i++)); do
		voters=$voters,$i@127.0.0.1:$(kafka_port "$i" controller)
	done
	for name in $kafka_listeners; do
		all=$all,${name^^}://127.0.0.1:$(kafka_port "$n" "$name")
		case $name in
		controller) ;;
		plain) told=$told,PLAIN://127.0.0.1:$(kafka_port "$n" plain) ;;
		*) told=$told,${name^^}://localhost:$(kafka_port "$n" "$name") ;;
		esac
	done
	printf '%s\n' 'process.roles=broker,controller' "node.id=$n" \
		"controller.quorum.voters=${voters#,}" "listeners=${all#,}" \
		"advertised.listeners=${told#,}" \
		'controller.listener.names=CONTROLLER' \
		'inter.broker.listener.name=PLAIN' "log.dirs=kafka$n.data" \
		'auto.create.topics.enable=false' 'num.partitions=4' \
		"default.replication.factor=$kafka_count" \
		"min.insync.replicas=$isr" 'offsets.topic.num.partitions=4' \
		"offsets.topic.replication.factor=$kafka_count" \
		'transaction.state.log.num.partitions=4' \
		"transaction.state.log.replication.factor=$kafka_count" \
		"transaction.state.log.min.isr=$isr" \
		'group.initial.rebalance.delay.ms=0' \
		'group.min.session.timeout.ms=500' \
		'broker.session.timeout.ms=2500' 'broker.heartbeat.interval.ms=500' \
		'controller.quorum.election.timeout.ms=400' \
		'controller.quorum.election.backoff.max.ms=300' \
		'num.network.threads=1' 'num.io.threads=2' 'num.replica.fetchers=1' \
		'log.cleaner.dedupe.buffer.size=16000000'
	kafka_conf_security
}

# The good listeners, and two whose certificate a client has to refuse.
kafka_conf_security() {
	local login=org.apache.kafka.common.security name map
	map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL
	printf '%s\n' \
		"listener.security.protocol.map=$map,WRONGHOST:SSL,EXPIRED:SSL" \
		'sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN' \
		'ssl.keystore.type=PEM' 'ssl.keystore.location=good.pem' \
		'ssl.truststore.type=PEM' 'ssl.truststore.location=ca.crt' \
		'listener.name.tls.ssl.client.auth=requested'
	for name in wronghost expired; do
		printf '%s\n' "listener.name.$name.ssl.keystore.type=PEM" \
			"listener.name.$name.ssl.keystore.location=$name.pem"
	done
	for name in 256 512; do
		printf 'listener.name.sasl.scram-sha-%s.sasl.jaas.config=%s;\n' \
			"$name" "$login.scram.ScramLoginModule required"
	done
	printf 'listener.name.sasl.plain.sasl.jaas.config=%s="%s";\n' \
		"$login.plain.PlainLoginModule required user_ops" "$kafka_password"
}

# --- processes ------------------------------------------------------------------

# kafka_script FILE WORD...: a program that becomes java with these words, then its
# own arguments. It may leave nothing outside stack_dir, not even for jvmstat.
kafka_script() {
	local file=$1
	shift
	set -- "$kafka_java" -Xms32m -Xmx256m -XX:+UseSerialGC \
		-XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto \
		-XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
		"-Djava.io.tmpdir=$stack_dir/tmp" "$@"
	{
		printf '#!/bin/sh\nexec'
		printf " '%s'" "${@//\'/\'\\\'\'}"
		printf ' "$@"\n'
	} >"$file" && chmod 700 "$file"
}

# kafka_scripts: `java` for the brokers, `tool` for Kafka's own tools, `node` for
# whoever kills and starts brokers, and one a broker that becomes it.
kafka_scripts() {
	local n
	kafka_script "$stack_dir/java" \
		"-XX:TieredStopAtLevel=${OPSH_KAFKA_COMPILER:-1}" -cp 'libs/*:.' &&
		kafka_script "$stack_dir/tool" -cp "$stack_dir/libs/*:$stack_dir" ||
		return 1
	printf '#!/bin/sh\nexec %q "${0%%/*}" "$@"\n' \
		"$stack_here/lib/kafka-node.sh" >"$stack_dir/node" &&
		chmod 700 "$stack_dir/node" || return 1
	for ((n = 1; n <= kafka_count; n++)); do
		printf '#!/bin/sh\ncd -- "${0%%/*}" && exec ./java kafka.Kafka %s\n' \
			"kafka$n.properties" >"$stack_dir/kafka$n.start" &&
			chmod 700 "$stack_dir/kafka$n.start" || return 1
	done
}

# kafka_format: the data folders of all nodes, side by side.
kafka_format() {
	local n pids=() log=$stack_dir/format.log rc=0
	: >"$log"
	for ((n = 1; n <= kafka_count; n++)); do
		rm -rf -- "$stack_dir/kafka$n.data"
		kafka_conf "$n" >"$stack_dir/kafka$n.properties" || return 1
		(cd -- "$stack_dir" && exec ./java kafka.tools.StorageTool format \
			-t "$kafka_cluster" -c "kafka$n.properties" --add-scram \
			"SCRAM-SHA-256=[name=ops,password=$kafka_password]" --add-scram \
			"SCRAM-SHA-512=[name=ops,password=$kafka_password]") \
			>>"$log" 2>&1 </dev/null &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" || rc=1
	done
	[ "$rc" -eq 0 ] || stack_fail 'cannot make the data folders' "$log"
}

# kafka_brokers PORT: how many brokers the one there knows, by a metadata request
# (version 1, no topics): an open port alone does not answer yet.
kafka_brokers() {
	# shellcheck disable=SC2016 # another shell's
	stack_brief "$BASH" -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
		printf "\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0" >&3
		head -c 12 <&3 | od -An -tu1' kafka_brokers "$1" 2>/dev/null |
		awk '{ print $12 }'
}

# kafka_started NODE LINES: it said so, after that many lines of its log.
kafka_started() {
	tail -n "+$(($2 + 1))" -- "$stack_dir/kafka$1.log" 2>/dev/null |
		grep -q 'Kafka Server started'
}

# kafka_settled: 0 when there is no more to wait for: one is dead, or all have
# joined and know each other.
kafka_settled() {
	local n
	for ((n = 1; n <= kafka_count; n++)); do
		stack_alive "$stack_dir/kafka$n.pid" || return 0
	done
	for ((n = 1; n <= kafka_count; n++)); do
		kafka_started "$n" 0 &&
			[ "$(kafka_brokers "$(kafka_port "$n" plain)")" = \
			"$kafka_count" ] || return 1
	done
}

# kafka_serve COUNT: a cluster of that many; sets kafka_pids.
kafka_serve() {
	local try n
	kafka_count=$1
	kafka_need && kafka_secrets && kafka_scripts || return 1
	for try in 1 2 3 4 5; do
		# shellcheck disable=SC2207 # numbers
		kafka_ports=($(stack_free_port $((kafka_count * 6)))) &&
			kafka_format || return 1
		for ((n = 1; n <= kafka_count; n++)); do
			: >"$stack_dir/kafka$n.log"
			stack_spawn "kafka$n" "$stack_dir/kafka$n.start"
		done
		stack_within $((stack_limit * 3)) kafka_settled || break
		kafka_pids=()
		for ((n = 1; n <= kafka_count; n++)); do
			stack_alive "$stack_dir/kafka$n.pid" && kafka_pids+=("$stack_pid")
		done
		[ "${#kafka_pids[@]}" -lt "$kafka_count" ] || return 0
		grep -q 'Address already in use' "$stack_dir"/kafka[1-9].log || break
		stack_say "a port of Kafka is taken (try $try)"
		kafka_end || return 1
	done
	stack_fail 'cannot start Kafka: not all of it answers' \
		"$(kafka_guilty)"
}

# kafka_guilty: the log that says why.
kafka_guilty() {
	local n
	for ((n = 1; n <= kafka_count; n++)); do
		stack_alive "$stack_dir/kafka$n.pid" || break
	done
	[ "$n" -le "$kafka_count" ] || n=1
	printf '%s' "$stack_dir/kafka$n.log"
}

# kafka_end: no farewell: without a quorum it would take minutes.
kafka_end() {
	local file
	for file in "$stack_dir"/kafka*.pid; do
		[ -f "$file" ] && stack_alive "$file" && kill -KILL "$stack_pid"
	done
	stack_stop
}

# --- what others are told -------------------------------------------------------

kafka_env_common() {
	local n
	stack_put OPSH_KAFKA_BROKERS "$(kafka_list plain)"
	stack_put OPSH_KAFKA_SASL_BROKERS "$(kafka_list sasl)"
	stack_put OPSH_KAFKA_TLS_BROKERS "$(kafka_list tls)"
	stack_put OPSH_KAFKA_WRONGHOST_BROKERS "$(kafka_list wronghost)"
	stack_put OPSH_KAFKA_EXPIRED_BROKERS "$(kafka_list expired)"
	stack_put OPSH_KAFKA_USER ops
	stack_put OPSH_KAFKA_PASSWORD "$kafka_password"
	stack_put OPSH_KAFKA_PASSWORD_FILE "$stack_dir/password"
	stack_put OPSH_KAFKA_CA "$certificates_ca"
	stack_put OPSH_KAFKA_CLIENT_CERT "$stack_dir/client.crt"
	stack_put OPSH_KAFKA_CLIENT_KEY "$stack_dir/client.key"
	stack_put OPSH_KAFKA_CLUSTER "$kafka_cluster"
	stack_put OPSH_KAFKA_TOOL "$stack_dir/tool"
	stack_put OPSH_KAFKA_NODE "$stack_dir/node"
	stack_put OPSH_KAFKA_LOG "$stack_dir/kafka1.log"
	stack_put OPSH_KAFKA_PID "${kafka_pids[0]}"
	stack_put OPSH_KAFKA_COUNT "$kafka_count"
	for ((n = 1; n <= kafka_count; n++)); do
		stack_put "OPSH_KAFKA${n}_PORT" "$(kafka_port "$n" plain)"
		stack_put "OPSH_KAFKA${n}_LOG" "$stack_dir/kafka$n.log"
		stack_put "OPSH_KAFKA${n}_PID" "${kafka_pids[n - 1]}"
		stack_put "OPSH_KAFKA${n}_PIDFILE" "$stack_dir/kafka$n.pid"
	done
}

# kafka_targets_common PREFIX: the cluster by each good listener, and its brokers
# as units of a `local` orchestrator.
kafka_targets_common() {
	local n ca
	ca=$(stack_lua "$certificates_ca")
	printf '\t\t%s\n' \
		"$1 = { kind = \"kafka\", brokers = \"$(kafka_list plain)\" }," \
		"${1}_sasl = { kind = \"kafka\", brokers = \"$(kafka_list sasl)\"," \
		"	tls = true, ca = $ca, sasl = \"SCRAM-SHA-256\", user = \"ops\"," \
		"	password = secret.file $(stack_lua "$stack_dir/password") }," \
		"${1}_tls = { kind = \"kafka\", brokers = \"$(kafka_list tls)\"," \
		"	tls = true, ca = $ca }," \
		"${1}_units = { kind = \"local\", services = {"
	for ((n = 1; n <= kafka_count; n++)); do
		printf '\t\t\t%s\n' \
			"kafka$n = { port = $(kafka_port "$n" plain), stop_timeout = 5," \
			"	command = { $(stack_lua "$stack_dir/kafka$n.start") }," \
			"	pid = $(stack_lua "$stack_dir/kafka$n.pid")," \
			"	log = $(stack_lua "$stack_dir/kafka$n.log")," \
			"	ready = { command = { $(stack_lua "$stack_dir/node")," \
			"		\"answers\", \"$n\" }, grace = 60 } },"
	done
	printf '\t\t} },\n'
}
