# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis-cluster: three masters that share the 16384 slots evenly, no replicas:
# enough for MOVED and ASK. Up means that each says cluster_state:ok and knows
# the others. Owns these three servers; must not need any other component.

# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

redis_cluster_up() {
	local n from to
	local first=(0 5461 10923) last=(5460 10922 16383)
	cluster_ports=()
	cluster_pids=()
	redis_need || return 1
	for n in 0 1 2; do
		redis_serve "node$n" server "${redis_plain[@]}" \
			'cluster-enabled yes' 'cluster-port @BUS@' \
			'cluster-config-file nodes.conf' \
			'cluster-node-timeout 2000' || return 1
		cluster_ports+=("$redis_port")
		cluster_pids+=("$redis_pid")
		from=${first[n]} to=${last[n]}
		redis_ask "$redis_port" CLUSTER SET-CONFIG-EPOCH $((n + 1)) \
			>/dev/null
		redis_ask "$redis_port" CLUSTER ADDSLOTSRANGE "$from" "$to" |
			grep -q OK || stack_fail "'node$n' refused its slots" \
			"$stack_dir/node$n.log" || return 1
		[ "$n" -eq 0 ] || redis_ask "${cluster_ports[0]}" CLUSTER MEET \
			127.0.0.1 "$redis_port" "$redis_bus" >/dev/null
	done
	for n in 0 1 2; do
		stack_within "$stack_limit" redis_cluster_ok \
			"${cluster_ports[n]}" ||
			stack_fail "cluster is not ok after $stack_limit s" \
				"$stack_dir/node$n.log" || return 1
	done
}

redis_cluster_ok() {
	local info
	info=$(redis_ask "$1" CLUSTER INFO | tr -d '\r')
	case $info in
	*cluster_state:ok*cluster_known_nodes:3*cluster_size:3*) return 0 ;;
	esac
	return 1
}

redis_cluster_env() {
	local list
	printf -v list ',127.0.0.1:%s' "${cluster_ports[@]}"
	stack_put OPSH_CLUSTER_NODES "${list#,}"
	stack_put OPSH_CLUSTER_PORTS "${cluster_ports[*]}"
	stack_put OPSH_CLUSTER_PIDS "${cluster_pids[*]}"
	stack_put OPSH_CLUSTER_URL "redis://127.0.0.1:${cluster_ports[0]}/0"
}

redis_cluster_targets() {
	local n
	for n in 0 1 2; do
		printf '\t\t%s\n' "shard$((n + 1)) = { kind = \"redis\"," \
			"	url = \"redis://127.0.0.1:${cluster_ports[n]}/0\" },"
	done
}

redis_cluster_down() {
	stack_stop
}
