# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# rabbitmq: one broker with the management plugin, its user `ops` with a
# generated password, everything on loopback: AMQP, management, distribution
# and an epmd of its own. Statistics each second, or as OPSH_RABBITMQ_INTERVAL (ms)
# says; a broker's own default is 5000. Owns the broker and that epmd; must not
# touch the machine's RabbitMQ, its epmd or a cookie outside its folder.

rabbitmq_up() {
	local ports try log=$stack_dir/rabbitmq.log
	case $stack_dir in
	*[!A-Za-z0-9/._@%+-]*)
		stack_fail "cannot start 'rabbitmq' in '$stack_dir': it hangs when a \
folder's name has spaces or quotes"
		return 1
		;;
	esac
	rabbitmq_need || return 1
	rabbitmq_password=$(stack_secret)
	printf '%s' "$rabbitmq_password" >"$stack_dir/password" &&
		mkdir -p -- "$stack_dir/log" "$stack_dir/mnesia" || return 1
	for try in 1 2 3 4 5; do
		ports=$(stack_free_port 4) || return 1
		# shellcheck disable=SC2086 # a list
		rabbitmq_ports $ports
		rabbitmq_conf || return 1
		: >"$log"
		# The node starts an epmd that would outlive it, unless one is there.
		stack_spawn epmd "$rabbitmq_epmd" -address 127.0.0.1 \
			-port "$rabbitmq_epmd_port"
		stack_within "$stack_limit" rabbitmq_epmd_settled || break
		rabbitmq_spawn
		stack_within $((stack_limit * 2)) rabbitmq_settled || break
		if stack_alive "$stack_dir/rabbitmq.pid"; then
			rabbitmq_pid=$stack_pid
			return 0
		fi
		grep -q 'eaddrinuse\|already in use' "$log" \
			"$stack_dir/epmd.log" || break
		stack_say "a port of 'rabbitmq' is taken (try $try)"
		stack_stop || return 1
	done
	stack_fail "cannot start 'rabbitmq': no answer on port $rabbitmq_http" "$log"
}

# rabbitmq_need: finds the programs. The wrapper on PATH wants a user of its
# own, so the script below it is taken.
rabbitmq_need() {
	local file
	rabbitmq_server=
	for file in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
		/opt/homebrew/sbin/rabbitmq-server /usr/local/sbin/rabbitmq-server; do
		[ -x "$file" ] && rabbitmq_server=$file
	done
	[ -n "$rabbitmq_server" ] ||
		rabbitmq_server=$(stack_program rabbitmq-server) || return 1
	stack_program openssl >/dev/null || return 1
	rabbitmq_epmd=$(stack_program epmd)
}

rabbitmq_ports() {
	rabbitmq_amqp=$1 rabbitmq_http=$2 rabbitmq_dist=$3 rabbitmq_epmd_port=$4
	rabbitmq_node=opsh$rabbitmq_amqp@localhost
}

rabbitmq_conf() {
	printf '[rabbitmq_management].\n' >"$stack_dir/enabled" &&
		printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$rabbitmq_amqp" \
		"management.tcp.port = $rabbitmq_http" \
		'management.tcp.ip = 127.0.0.1' \
		'default_user = ops' "default_pass = $rabbitmq_password" \
		'loopback_users = none' \
		"collect_statistics_interval = ${OPSH_RABBITMQ_INTERVAL:-1000}" \
		'disk_free_limit.absolute = 1MB' 'log.console = true' \
		'log.console.level = warning' 'log.file = false' \
		>"$stack_dir/rabbitmq.conf"
}

# rabbitmq_spawn: RUNNING_UNDER_SYSTEMD makes the script become the node
# instead of waiting for it: one process, one pid.
rabbitmq_spawn() {
	stack_spawn rabbitmq env HOME="$stack_dir" \
		RUNNING_UNDER_SYSTEMD=1 \
		RABBITMQ_NODENAME="$rabbitmq_node" \
		RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
		RABBITMQ_NODE_PORT="$rabbitmq_amqp" \
		RABBITMQ_DIST_PORT="$rabbitmq_dist" \
		ERL_EPMD_PORT="$rabbitmq_epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 \
		RABBITMQ_MNESIA_BASE="$stack_dir/mnesia" \
		RABBITMQ_LOG_BASE="$stack_dir/log" \
		RABBITMQ_PID_FILE="$stack_dir/beam" \
		RABBITMQ_CONFIG_FILE="$stack_dir/rabbitmq.conf" \
		RABBITMQ_ENABLED_PLUGINS_FILE="$stack_dir/enabled" \
		RABBITMQ_CONF_ENV_FILE="$stack_dir/none" RABBITMQ_USE_LONGNAME= \
		ERL_CRASH_DUMP_SECONDS=0 \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none -kernel \
inet_dist_use_interface {127,0,0,1}" "$rabbitmq_server"
}

rabbitmq_epmd_settled() {
	stack_alive "$stack_dir/epmd.pid" || return 0
	ERL_EPMD_ADDRESS=127.0.0.1 stack_brief "$rabbitmq_epmd" \
		-port "$rabbitmq_epmd_port" -names >/dev/null 2>&1
}

# rabbitmq_settled: 0 when it is dead, or when the management API answers as
# this very node.
rabbitmq_settled() {
	stack_alive "$stack_dir/rabbitmq.pid" || return 0
	stack_http "$rabbitmq_http" /api/overview "ops:$rabbitmq_password" |
		grep -q "\"node\":\"$rabbitmq_node\""
}

rabbitmq_env() {
	stack_put OPSH_RABBITMQ_URL "http://127.0.0.1:$rabbitmq_http"
	stack_put OPSH_RABBITMQ_PORT "$rabbitmq_http"
	stack_put OPSH_RABBITMQ_AMQP_PORT "$rabbitmq_amqp"
	stack_put OPSH_RABBITMQ_PID "$rabbitmq_pid"
	stack_put OPSH_RABBITMQ_NODE "$rabbitmq_node"
	stack_put OPSH_RABBITMQ_USER ops
	stack_put OPSH_RABBITMQ_PASSWORD "$rabbitmq_password"
	stack_put OPSH_RABBITMQ_PASSWORD_FILE "$stack_dir/password"
}

rabbitmq_targets() {
	printf '\t\trabbitmq = { kind = "http", url = "http://127.0.0.1:%s",\n' \
		"$rabbitmq_http"
	printf '\t\t\tuser = "ops", password = secret.file %s },\n' \
		"$(stack_lua "$stack_dir/password")"
}

# rabbitmq_down: no farewell: nothing in it is wanted any more.
rabbitmq_down() {
	! stack_alive "$stack_dir/rabbitmq.pid" || kill -KILL "$stack_pid"
	stack_stop
}
