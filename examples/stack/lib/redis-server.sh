# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis-server.sh: starts one Redis (or Valkey) server on a free port and
# waits until exactly that process answers; shared by the redis* components.
# Owns nothing that outlives a call: process and files belong to stack. Must
# not choose what a component runs.

# redis_need: finds the programs once.
redis_need() {
	redis_server=$(stack_program redis-server valkey-server) || return 1
	redis_cli=$(stack_program redis-cli valkey-cli) || return 1
	redis_cli_opts=()
}

# redis_ask PORT COMMAND...: the reply as redis-cli prints it, bounded.
redis_ask() {
	stack_brief "$redis_cli" -h 127.0.0.1 -p "$1" \
		${redis_cli_opts[0]+"${redis_cli_opts[@]}"} "${@:2}" 2>/dev/null
}

# redis_is PORT PID: 0 when PID is the process that answers there; a stranger
# on the port must not be taken for ours.
redis_is() {
	redis_ask "$1" INFO server | tr -d '\r' |
		grep -q "^process_id:$2\$"
}

# redis_settled PIDFILE PORT: 0 when there is no more to wait for: it answers,
# or it is dead.
redis_settled() {
	stack_alive "$1" || return 0
	redis_is "$2" "$stack_pid"
}

# redis_serve NAME MODE LINE...: a server, or a Sentinel when MODE is
# `sentinel`, with these configuration lines; @PORT@ stands for its port,
# @BUS@ for a second one. Sets redis_port, redis_bus and redis_pid. When one
# was taken meanwhile it tries others.
redis_serve() {
	local name=$1 mode=$2 conf=$stack_dir/$1.conf log=$stack_dir/$1.log
	local args=() lines=() ports try
	shift 2
	[ "$mode" != sentinel ] || args=(--sentinel)
	for try in 1 2 3 4 5; do
		ports=$(stack_free_port 2) || return 1
		redis_port=${ports%%[!0-9]*} redis_bus=${ports##*[!0-9]}
		lines=("${@//@PORT@/$redis_port}")
		lines=("${lines[@]//@BUS@/$redis_bus}")
		mkdir -p -- "$stack_dir/$name.data" || return 1
		printf '%s\n' 'bind 127.0.0.1' 'daemonize no' \
			"dir \"$stack_dir/$name.data\"" \
			"${lines[@]}" >"$conf" || return 1
		: >"$log"
		stack_spawn "$name" "$redis_server" "$conf" \
			${args[0]+"${args[@]}"}
		stack_within "$stack_limit" redis_settled \
			"$stack_dir/$name.pid" "$redis_port" || break
		if stack_alive "$stack_dir/$name.pid"; then
			redis_pid=$stack_pid
			return 0
		fi
		grep -q 'Address already in use' "$log" || break
		stack_say "port $redis_port of '$name' is taken (try $try)"
	done
	stack_fail "cannot start '$name': no answer on port $redis_port" "$log"
}

# What every data server of a throwaway stack has: no disk, and no waiting for
# replicas when it is told to stop.
redis_plain=('port @PORT@' 'save ""' 'appendonly no' 'shutdown-timeout 0'
	'repl-diskless-sync yes' 'repl-diskless-sync-delay 0'
	'enable-debug-command local')
