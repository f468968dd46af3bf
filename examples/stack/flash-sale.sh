# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# flash-sale: the system of examples/systems/flash-sale as processes of this machine:
# gateway and processor (flash-sale/*.c, compiled here), a Redis with the inventory, one
# broker of Kafka. Its own targets file, OPSH_SALE_TARGETS, has them as services of a
# `local` orchestrator. OPSH_SALE_NODE and OPSH_SALE_REDIS_PID are for those who kill
# its servers. Owns its processes, those that a playbook started again included.

# shellcheck source=lib/kafka-server.sh
. "$stack_here/lib/kafka-server.sh"
# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

flash_sale_up() {
	local try item
	redis_need && flash_sale_build || return 1
	kafka_serve 1 && flash_sale_topics || return 1
	redis_serve redis server "${redis_plain[@]}" || return 1
	for item in 101 102 103; do
		redis_ask "$redis_port" mset "inventory:$item" 10000 \
			"stock:$item" 10000 >/dev/null || return 1
	done
	for try in 1 2 3 4 5; do
		# shellcheck disable=SC2046 # numbers
		flash_sale_ports $(stack_free_port 2) || return 1
		flash_sale_scripts || return 1
		: >"$stack_dir/gateway.log"
		: >"$stack_dir/processor.log"
		stack_spawn gateway "$stack_dir/gateway.start"
		stack_spawn processor "$stack_dir/processor.start"
		stack_within "$stack_limit" flash_sale_settled || break
		! flash_sale_alive || {
			flash_sale_file >"$stack_dir/opsh.lua"
			return
		}
		grep -q 'Address already in use' "$stack_dir"/gateway.log \
			"$stack_dir"/processor.log || break
		stack_say "a port of 'flash-sale' is taken (try $try)"
		flash_sale_stop || return 1
	done
	stack_fail "cannot start 'flash-sale': not all of it is well" \
		"$stack_dir/gateway.log"
}

flash_sale_build() {
	local name cc log=$stack_dir/cc.log from=$stack_here/flash-sale
	cc=$(stack_program "${CC:-cc}" cc gcc clang) || return 1
	set -- "$cc" -std=c11 -D_GNU_SOURCE -O2 -g -pthread
	for name in gateway processor; do
		# shellcheck disable=SC2046,SC2086 # flags
		"$@" ${SALE_CFLAGS:-} -o "$stack_dir/$name" \
			"$from/$name.c" "$from/web.c" $(pkg-config --cflags --libs \
			rdkafka hiredis jansson 2>>"$log") >>"$log" 2>&1 ||
			stack_fail "cannot compile '$from/$name.c'" "$log" || return 1
	done
	"$@" -o "$stack_dir/load" "$from/load.c" >>"$log" 2>&1 ||
		stack_fail "cannot compile '$from/load.c'" "$log"
}

flash_sale_topics() {
	local name log=$stack_dir/topics.log
	for name in orders:4 orders-dlq:1; do
		"$stack_dir/tool" org.apache.kafka.tools.TopicCommand \
			--bootstrap-server "$(kafka_list plain)" --create \
			--topic "${name%:*}" --partitions "${name#*:}" \
			>>"$log" 2>&1 </dev/null ||
			stack_fail "cannot make the topic '${name%:*}'" "$log" ||
			return 1
	done
}

flash_sale_ports() {
	[ $# -eq 2 ] || return 1
	sale_gateway=$1 sale_processor=$2
}

# flash_sale_settings: of gateway and processor, a NAME=VALUE a line: in their scripts
# and, where they win, in the targets file. Times are short: nobody waits five minutes
# for an example.
flash_sale_settings() {
	printf '%s\n' "REDIS_ADDR=127.0.0.1:$redis_port" \
		"KAFKA_ADDR=$(kafka_list plain)" \
		"CIRCUIT_BREAKER_FAILURE_THRESHOLD=${SALE_FAILURES:-5}" \
		'CIRCUIT_BREAKER_SUCCESS_THRESHOLD=2' \
		"CIRCUIT_BREAKER_BASE_TIMEOUT=${SALE_TIMEOUT:-3s}" \
		"CIRCUIT_BREAKER_MAX_TIMEOUT=${SALE_TIMEOUT_MAX:-12s}" \
		"RATE_LIMIT_MAX_REQUESTS=${SALE_LIMIT:-60}" 'RATE_LIMIT_WINDOW=1m' \
		"PAYMENT_FAILURE_PERCENT=${SALE_PAYMENT_FAILURES:-10}"
}

# flash_sale_scripts: what starts each: the same for stack as for an orchestrator.
flash_sale_scripts() {
	local name port
	for name in gateway processor; do
		port=sale_$name
		{
			printf '#!/bin/sh\n'
			flash_sale_settings |
				sed 's/^\([A-Z_]*\)=\(.*\)/export \1="${\1:-\2}"/'
			printf 'exec "${0%%/*}/%s" %s\n' "$name" "${!port}"
		} >"$stack_dir/$name.start" &&
			chmod 700 "$stack_dir/$name.start" || return 1
	done
}

flash_sale_alive() {
	stack_alive "$stack_dir/processor.pid" && stack_alive "$stack_dir/gateway.pid"
}

# flash_sale_settled: dead, or the gateway is well and both say it is theirs.
flash_sale_settled() {
	flash_sale_alive || return 0
	grep -q '"started"' "$stack_dir/gateway.log" &&
		grep -q '"started"' "$stack_dir/processor.log" &&
		stack_http "$sale_gateway" /health | grep -q '"healthy"'
}

# flash_sale_stop: before other ports are tried; the servers stay.
flash_sale_stop() {
	local name
	for name in gateway processor; do
		stack_alive "$stack_dir/$name.pid" || continue
		kill -KILL "$stack_pid" 2>/dev/null
		stack_within 5 eval "! stack_alive \"\$stack_dir/$name.pid\"" ||
			return 1
	done
}

# --- what others are told -------------------------------------------------------

# flash_sale_unit NAME PORT COMMAND READY [DEPENDS [FILES [ENV]]]: its definition for
# kind local.
flash_sale_unit() {
	cat <<-LUA
	      $1 = { port = $2, stop_timeout = 3, depends = { ${5:-} },
	        command = { $3 }, log = $(stack_lua "$stack_dir/${6:-$1}.log"),
	        pid = $(stack_lua "$stack_dir/${6:-$1}.pid"),
	        ready = { $4, grace = 60 }, env = { ${7:-} } },
	LUA
}

flash_sale_units() {
	local on='"redis", "redpanda"' told
	told=$(flash_sale_settings | sed 's/\(.*\)=\(.*\)/          \1 = "\2",/')
	flash_sale_unit gateway "$sale_gateway" \
		"$(stack_lua "$stack_dir/gateway.start")" "tcp = $sale_gateway" "$on" \
		gateway "$told"
	flash_sale_unit processor "$sale_processor" \
		"$(stack_lua "$stack_dir/processor.start")" "tcp = $sale_processor" \
		"$on" processor "$told"
	flash_sale_unit redis "$redis_port" "$(stack_lua "$redis_server"), $(
		stack_lua "$stack_dir/redis.conf")" "tcp = $redis_port"
	flash_sale_unit redpanda "$(kafka_port 1 plain)" \
		"$(stack_lua "$stack_dir/kafka1.start")" \
		"command = { $(stack_lua "$stack_dir/node"), \"answers\", \"1\" }" \
		'' kafka1
}

# flash_sale_file: the targets file of the system; what does not depend on where it
# runs is taken from examples/systems/flash-sale.
flash_sale_file() {
	cat <<-LUA
	-- the flash sale on this machine; see stack status
	return {
	  environment = "stack",
	  description = "flash sales: gateway, order processor, Redis, Kafka",
	  targets = {
	    gateway = "http://127.0.0.1:$sale_gateway",
	    processor = "http://127.0.0.1:$sale_processor",
	    cache = { kind = "redis", role = "master",
	      url = "redis://127.0.0.1:$redis_port/0" },
	    events = { kind = "kafka", brokers = "$(kafka_list plain)" },
	    orchestrator = { kind = "local", services = {
	$(flash_sale_units)
	    } },
	  },
	  services = {
	    gateway = { target = "gateway", unit = "gateway", health = "/health",
	      metrics = "/metrics", depends = { "redis", "redpanda" },
	      env = { "REDIS_ADDR", "KAFKA_ADDR" } },
	    processor = { target = "processor", unit = "processor",
	      health = "/metrics", metrics = "/metrics",
	      depends = { "redis", "redpanda" },
	      env = { "REDIS_ADDR", "KAFKA_ADDR" } },
	    redis = { target = "cache", unit = "redis" },
	    redpanda = { target = "events", unit = "redpanda" },
	  },
	$(sed -n '/^  thresholds = {/,$p' \
		"$stack_here/../systems/flash-sale/opsh.lua")
	LUA
}

flash_sale_env() {
	stack_put OPSH_SALE_TARGETS "$stack_dir/opsh.lua"
	stack_put OPSH_SALE_DIR "$stack_dir"
	stack_put OPSH_SALE_GATEWAY_URL "http://127.0.0.1:$sale_gateway"
	stack_put OPSH_SALE_PROCESSOR_URL "http://127.0.0.1:$sale_processor"
	stack_put OPSH_SALE_REDIS_URL "redis://127.0.0.1:$redis_port/0"
	stack_put OPSH_SALE_REDIS_PID "$redis_pid"
	stack_put OPSH_SALE_BROKERS "$(kafka_list plain)"
	stack_put OPSH_SALE_TOOL "$stack_dir/tool"
	stack_put OPSH_SALE_NODE "$stack_dir/node"
	stack_put OPSH_SALE_LOAD "$stack_dir/load"
}

# A system has a targets file of its own, with services and all.
flash_sale_targets() {
	:
}

flash_sale_down() {
	kafka_end
}
