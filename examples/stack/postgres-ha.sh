# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# postgres-ha: a primary, its streaming standby on a slot, and pgbouncer in front
# of them; all three can be stopped and started as units of a `local` target.
# OPSH_STACK_PG_SYNC=1: commits wait for the standby. OPSH_STACK_NETNS=1 (root):
# each node in a network of its own, to be cut off by lib/pg-partition.sh.
# Owns its servers and networks; must not touch the machine's clusters.

# shellcheck source=lib/postgres-server.sh
. "$stack_here/lib/postgres-server.sh"
# shellcheck source=lib/postgres-nodes.sh
. "$stack_here/lib/postgres-nodes.sh"

postgres_ha_up() {
	postgres_need && postgres_passwords && certificates_make || return 1
	ha_net=
	[ "${OPSH_STACK_NETNS:-0}" != 1 ] || postgres_net_up || return 1
	postgres_ha_primary && postgres_ha_standby && postgres_ha_pooler
}

postgres_ha_primary() {
	postgres_node primary "$stack_dir/primary.data" || return 1
	postgres_initdb primary 'wal_log_hints = on' 'wal_keep_size = 64MB' \
		'max_slot_wal_keep_size = 512MB' 'hot_standby = on' \
		'wal_sender_timeout = 5s' 'wal_receiver_timeout = 5s' \
		'wal_receiver_status_interval = 1s' \
		'wal_retrieve_retry_interval = 500ms' \
		'track_commit_timestamp = on' || return 1
	postgres_serve primary "$postgres_listen" || return 1
	ha_primary=$postgres_port ha_primary_pid=$postgres_pid
	ha_primary_host=$postgres_host
	postgres_script "$stack_dir/primary.start" "$stack_here/lib/pg-start.sh" \
		"$stack_dir/primary.data" "${postgres_argv[@]}" || return 1
	postgres_fill && postgres_ha_writes
}

# postgres_ha_writes: the table that pg-writer.sh fills.
postgres_ha_writes() {
	postgres_sql "$ha_primary" flights >>"$stack_dir/setup.log" 2>&1 <<-SQL ||
		create table writes (n bigint primary key,
			at timestamptz not null default clock_timestamp());
		alter table writes owner to ops;
	SQL
		stack_fail 'cannot make the table of writes' "$stack_dir/setup.log"
}

postgres_ha_standby() {
	local log=$stack_dir/standby.log
	postgres_node standby "$stack_dir/standby.data" &&
		postgres_own "$stack_dir/standby.data" || return 1
	postgres_tool "$postgres_bin/pg_basebackup" -D "$stack_dir/standby.data" \
		-d "host=$ha_primary_host port=$ha_primary user=replicator \
connect_timeout=3" -R -X stream -c fast -C -S standby --no-sync \
		>"$log" 2>&1 </dev/null || stack_fail 'cannot copy the primary' "$log" ||
		return 1
	postgres_serve standby "$postgres_listen" || return 1
	ha_standby=$postgres_port ha_standby_pid=$postgres_pid
	ha_standby_host=$postgres_host
	postgres_script "$stack_dir/standby.start" "$stack_here/lib/pg-start.sh" \
		"$stack_dir/standby.data" "${postgres_argv[@]}" || return 1
	postgres_host=$ha_primary_host
	ha_state=async
	if [ "${OPSH_STACK_PG_SYNC:-0}" = 1 ]; then
		ha_state=sync
		postgres_sql "$ha_primary" postgres >/dev/null <<-SQL || return 1
			alter system set synchronous_standby_names = 'standby';
			select pg_reload_conf();
		SQL
	fi
	stack_within "$stack_limit" postgres_ha_streams ||
		stack_fail "the standby does not stream after $stack_limit s" "$log"
}

postgres_ha_streams() {
	[ "$(echo "select sync_state from pg_stat_replication
		where application_name = 'standby' and state = 'streaming'" |
		postgres_sql "$ha_primary" postgres 2>/dev/null)" = "$ha_state" ]
}

# --- the pooler -----------------------------------------------------------------

postgres_ha_pooler() {
	local try log=$stack_dir/pgbouncer.log
	ha_pgbouncer=$(PATH=$PATH:/usr/sbin:/usr/local/sbin stack_program \
		pgbouncer) || return 1
	printf '"%s" "%s"\n' ops "$postgres_password" postgres "$postgres_super" \
		>"$stack_dir/pgbouncer.users" && postgres_ha_databases || return 1
	postgres_enter=()
	for try in 1 2 3 4 5; do
		ha_pooler=$(stack_free_port) || return 1
		postgres_ha_pooler_conf >"$stack_dir/pgbouncer.ini" || return 1
		# Relative paths: the folder's name may hold what it can't take.
		# shellcheck disable=SC2016 # another shell's
		postgres_script "$stack_dir/pgbouncer.start" env -i \
			"${postgres_clean[@]}" sh -c \
			'cd -- "$1" && shift && exec "$@"' sh "$stack_dir" \
			${postgres_as[0]+"${postgres_as[@]}"} "$ha_pgbouncer" \
			pgbouncer.ini || return 1
		: >"$log"
		stack_spawn pgbouncer "$stack_dir/pgbouncer.start"
		stack_within "$stack_limit" postgres_ha_pooled || break
		if stack_alive "$stack_dir/pgbouncer.pid"; then
			ha_pooler_pid=$stack_pid
			return 0
		fi
		grep -q 'Address already in use' "$log" || break
		stack_say "port $ha_pooler of 'pgbouncer' is taken (try $try)"
	done
	stack_fail "cannot start 'pgbouncer': no answer on port $ha_pooler" "$log"
}

# What a failover changes; RELOAD on the admin console takes it over.
postgres_ha_databases() {
	printf '%s\n' '[databases]' \
		"flights = host=$ha_primary_host port=$ha_primary dbname=flights" \
		"postgres = host=$ha_primary_host port=$ha_primary dbname=postgres" \
		>"$stack_dir/pgbouncer.databases"
}

postgres_ha_pooler_conf() {
	printf '%s\n' '%include pgbouncer.databases' '[pgbouncer]' \
		'listen_addr = 127.0.0.1' "listen_port = $ha_pooler" \
		'unix_socket_dir =' 'auth_type = scram-sha-256' \
		'auth_file = pgbouncer.users' 'admin_users = ops, postgres' \
		'pool_mode = transaction' 'default_pool_size = 10' \
		'ignore_startup_parameters = extra_float_digits' \
		'server_login_retry = 1' 'server_connect_timeout = 2' \
		'tcp_user_timeout = 3000' 'client_tls_sslmode = allow' \
		'client_tls_cert_file = good.crt' 'client_tls_key_file = good.key'
}

# postgres_ha_pooled: 0 when it is dead, or when it takes our password, which no
# stranger on the port does, and leads to the primary.
postgres_ha_pooled() {
	stack_alive "$stack_dir/pgbouncer.pid" || return 0
	[ "$(echo 'show data_directory' | postgres_ha_ask)" = \
		"$stack_dir/primary.data" ]
}

postgres_ha_ask() {
	stack_brief env -i PATH="$PATH" PGPASSWORD="$postgres_super" \
		"$postgres_psql" -X -q -A -t -h 127.0.0.1 -p "$ha_pooler" \
		-U postgres -d flights 2>/dev/null
}

# --- what others are told -------------------------------------------------------

postgres_ha_env() {
	local node port host pid
	for node in primary standby; do
		port=ha_$node host=ha_${node}_host pid=ha_${node}_pid
		stack_put "OPSH_PG_${node^^}_HOST" "${!host}"
		stack_put "OPSH_PG_${node^^}_PORT" "${!port}"
		stack_put "OPSH_PG_${node^^}_PID" "${!pid}"
		stack_put "OPSH_PG_${node^^}_PIDFILE" "$stack_dir/$node.pid"
		stack_put "OPSH_PG_${node^^}_DIR" "$stack_dir/$node.data"
		stack_put "OPSH_PG_${node^^}_LOG" "$stack_dir/$node.log"
		stack_put "OPSH_PG_${node^^}_BIN" "$stack_dir/$node.bin"
		stack_put "OPSH_PG_${node^^}_URL" \
			"postgresql://ops:$postgres_password@${!host}:${!port}/flights"
		stack_put "OPSH_PG_${node^^}_SUPER_URL" \
			"postgresql://postgres:$postgres_super@${!host}:${!port}/flights"
		stack_put "OPSH_PG_${node^^}_CONNINFO" "port=${!port} user=postgres \
dbname=flights password=$postgres_super host=$(postgres_conninfo "$postgres_run")"
	done
	stack_put OPSH_PGBOUNCER_PORT "$ha_pooler"
	stack_put OPSH_PGBOUNCER_PID "$ha_pooler_pid"
	stack_put OPSH_PGBOUNCER_PIDFILE "$stack_dir/pgbouncer.pid"
	stack_put OPSH_PGBOUNCER_DATABASES "$stack_dir/pgbouncer.databases"
	stack_put OPSH_PGBOUNCER_URL \
		"postgresql://ops:$postgres_password@127.0.0.1:$ha_pooler/flights"
	stack_put OPSH_PGBOUNCER_ADMIN_URL \
		"postgresql://ops:$postgres_password@127.0.0.1:$ha_pooler/pgbouncer"
	stack_put OPSH_PG_SOCKET_DIR "$postgres_run"
	stack_put OPSH_PG_PASSFILE "$postgres_run/pgpass"
	stack_put OPSH_PG_USER ops
	stack_put OPSH_PG_PASSWORD "$postgres_password"
	stack_put OPSH_PG_PASSWORD_FILE "$stack_dir/password"
	stack_put OPSH_PG_SUPER_PASSWORD_FILE "$stack_dir/super_password"
	stack_put OPSH_PG_SLOT standby
	stack_put OPSH_PG_TLS_CA "$certificates_ca"
	stack_put OPSH_PG_NODE "$stack_here/lib/pg-node.sh"
	stack_put OPSH_PG_WRITER "$stack_here/lib/pg-writer.sh"
	stack_put OPSH_PG_SYNC "$ha_state"
	[ -z "$ha_net" ] || {
		stack_put OPSH_PG_NET "$ha_net"
		stack_put OPSH_PG_PARTITION "$stack_here/lib/pg-partition.sh"
	}
}

postgres_ha_targets() {
	local a=$ha_primary_host:$ha_primary b=$ha_standby_host:$ha_standby
	postgres_target pg_primary ops password "$a/flights"
	postgres_target pg_standby ops password "$b/flights"
	postgres_target pg_primary_super postgres super_password "$a/flights"
	postgres_target pg_standby_super postgres super_password "$b/flights"
	postgres_target pg_pair ops password \
		"$a,$b/flights?target_session_attrs=read-write"
	postgres_target pg_pooler ops password "127.0.0.1:$ha_pooler/flights"
	postgres_target pg_pooler_admin ops password "127.0.0.1:$ha_pooler/pgbouncer"
	printf '\t\tpg_units = { kind = "local", services = {\n'
	postgres_unit primary INT "$ha_primary" \
		pg_isready -h "$ha_primary_host" -p "$ha_primary"
	postgres_unit standby INT "$ha_standby" \
		pg_isready -h "$ha_standby_host" -p "$ha_standby"
	postgres_unit pgbouncer TERM "$ha_pooler"
	printf '\t\t} },\n'
}

postgres_ha_down() {
	local rc=0
	postgres_end || rc=1
	postgres_net_down || rc=1
	return $rc
}
