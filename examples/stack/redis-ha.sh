# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# redis-ha: a master, its replica and three Sentinels that watch them as
# `mymaster`. Up means: replica in sync, the Sentinels know each other and the
# replica, and a failover would find its quorum. Owns these five servers; must
# not need any other component.

# shellcheck source=lib/redis-server.sh
. "$stack_here/lib/redis-server.sh"

redis_ha_up() {
	local n down_after=${OPSH_STACK_DOWN_AFTER_MS:-1000}
	ha_sentinels=()
	ha_sentinel_pids=()
	redis_need || return 1
	redis_serve master server "${redis_plain[@]}" || return 1
	ha_master=$redis_port ha_master_pid=$redis_pid
	redis_serve replica server "${redis_plain[@]}" \
		"replicaof 127.0.0.1 $ha_master" || return 1
	ha_replica=$redis_port ha_replica_pid=$redis_pid
	# A Sentinel that looks before the replica is there finds it 10 s later.
	stack_within "$stack_limit" redis_ha_synced ||
		stack_fail "replica is not in sync after $stack_limit s" \
			"$stack_dir/replica.log" || return 1
	for n in 1 2 3; do
		redis_serve "sentinel$n" sentinel 'port @PORT@' \
			"sentinel monitor mymaster 127.0.0.1 $ha_master 2" \
			"sentinel down-after-milliseconds mymaster $down_after" \
			'sentinel failover-timeout mymaster 3000' \
			'sentinel parallel-syncs mymaster 1' || return 1
		ha_sentinels+=("$redis_port")
		ha_sentinel_pids+=("$redis_pid")
		# Sentinels say hello every 2 s; a test stack may be faster.
		redis_ask "$redis_port" SENTINEL DEBUG publish-period 200 \
			>/dev/null || :
	done
	for n in 0 1 2; do
		stack_within "$stack_limit" redis_ha_agreed "${ha_sentinels[n]}" ||
			stack_fail "no quorum after $stack_limit s" \
				"$stack_dir/sentinel$((n + 1)).log" || return 1
	done
}

redis_ha_synced() {
	redis_ask "$ha_replica" INFO replication |
		grep -q '^master_link_status:up'
}

# redis_ha_agreed PORT: this Sentinel sees three usable Sentinels and a replica
# that is in use.
redis_ha_agreed() {
	redis_ask "$1" SENTINEL CKQUORUM mymaster | grep -q '^OK 3 ' &&
		redis_ask "$1" SENTINEL REPLICAS mymaster | tr -d '\r' |
		grep -A1 '^flags$' | grep -qx 'slave'
}

redis_ha_env() {
	local list
	printf -v list ',127.0.0.1:%s' "${ha_sentinels[@]}"
	stack_put OPSH_SENTINELS "${list#,}"
	stack_put OPSH_SENTINEL_MASTER mymaster
	stack_put OPSH_SENTINEL_PORTS "${ha_sentinels[*]}"
	stack_put OPSH_SENTINEL_PIDS "${ha_sentinel_pids[*]}"
	stack_put OPSH_REDIS_HA_MASTER_PORT "$ha_master"
	stack_put OPSH_REDIS_HA_MASTER_PID "$ha_master_pid"
	stack_put OPSH_REDIS_HA_MASTER_URL "redis://127.0.0.1:$ha_master/0"
	stack_put OPSH_REDIS_HA_REPLICA_PORT "$ha_replica"
	stack_put OPSH_REDIS_HA_REPLICA_PID "$ha_replica_pid"
	stack_put OPSH_REDIS_HA_REPLICA_URL "redis://127.0.0.1:$ha_replica/0"
}

redis_ha_targets() {
	local list
	printf -v list ', "127.0.0.1:%s"' "${ha_sentinels[@]}"
	printf '\t\t%s\n' \
		'ha = { kind = "redis", role = "master",' \
		"	sentinels = { ${list#, } }," \
		'	master_name = "mymaster" },' \
		'ha_master = { kind = "redis", role = "master",' \
		"	url = \"redis://127.0.0.1:$ha_master/0\" }," \
		'ha_replica = { kind = "redis",' \
		"	url = \"redis://127.0.0.1:$ha_replica/0\" },"
}

redis_ha_down() {
	stack_stop
}
