# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# patroni: two Postgres nodes that Patroni keeps, on an etcd of their own; the first
# one leads when it is up. REST with a password on whatever changes something.
# OPSH_STACK_PG_SYNC=1: synchronous_mode. All three can be stopped and started as
# units of a `local` target. Owns its servers; must not touch the machine's.

# shellcheck source=lib/postgres-server.sh
. "$stack_here/lib/postgres-server.sh"
# shellcheck source=lib/postgres-nodes.sh
. "$stack_here/lib/postgres-nodes.sh"

patroni_up() {
	local try n
	postgres_need && postgres_passwords && certificates_make || return 1
	patroni_program=$(stack_program patroni) &&
		patroni_etcd=$(stack_program etcd) || return 1
	patroni_scope=opsh-$(stack_secret)
	for n in 1 2; do
		postgres_node "patroni$n" "$stack_dir/patroni$n.data/pg" || return 1
	done
	patroni_folders || return 1
	for try in 1 2 3; do
		mapfile -t patroni_ports < <(stack_free_port 6)
		[ ${#patroni_ports[@]} -eq 6 ] || return 1
		patroni_start && return 0
		grep -qsi 'address already in use' "$stack_dir"/*.log || return 1
		stack_say "a port of 'patroni' is taken (try $try)"
		patroni_down && rm -rf -- "$stack_dir"/*.data "$stack_dir"/*.log &&
			patroni_folders || return 1
	done
	return 1
}

# patroni_folders: Patroni makes and removes its data folders itself, so they are
# inside of folders that it owns.
patroni_folders() {
	mkdir -p -- "$stack_dir/etcd.data" && chmod 700 -- "$stack_dir/etcd.data" &&
		postgres_own "$stack_dir/patroni1.data" "$stack_dir/patroni2.data"
}

# patroni_start: etcd, the leader, its replica, each when the one before answers.
patroni_start() {
	local url=http://127.0.0.1:${patroni_ports[0]}
	local peer=http://127.0.0.1:${patroni_ports[1]} n
	postgres_script "$stack_dir/etcd.start" env -i "PATH=$PATH" \
		"$patroni_etcd" --data-dir "$stack_dir/etcd.data" \
		--listen-client-urls "$url" --advertise-client-urls "$url" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
		--initial-cluster "default=$peer" --unsafe-no-fsync \
		--logger zap --log-level warn || return 1
	stack_spawn etcd "$stack_dir/etcd.start"
	stack_within "$stack_limit" patroni_settled etcd patroni_etcd_answers &&
		stack_alive "$stack_dir/etcd.pid" ||
		stack_fail 'cannot start etcd' "$stack_dir/etcd.log" || return 1
	patroni_etcd_pid=$stack_pid
	for n in 1 2; do
		patroni_node "$n" || return 1
		[ "$n" -ne 1 ] || {
			postgres_port=${patroni_ports[4]}
			postgres_fill || return 1
		}
	done
}

# patroni_node N: the process, until it is what it shall be.
patroni_node() {
	local file=$stack_dir/patroni$1
	patroni_conf "$1" >"$file.yml" &&
		postgres_script "$file.start" "$stack_here/lib/pg-start.sh" \
		"$file.data/pg" env -i "${postgres_clean[@]}" \
		${postgres_as[0]+"${postgres_as[@]}"} "$patroni_program" \
		"$file.yml" || return 1
	stack_spawn "patroni$1" "$file.start"
	stack_within $((stack_limit * 2)) patroni_settled "patroni$1" \
		patroni_answers "$1" && stack_alive "$file.pid" ||
		stack_fail "cannot start 'patroni$1': it has no role after \
$((stack_limit * 2)) s" "$file.log" || return 1
	patroni_pids[$1]=$stack_pid
}

# patroni_settled NAME COMMAND...: 0 when it is dead or COMMAND succeeds.
patroni_settled() {
	stack_alive "$stack_dir/$1.pid" || return 0
	shift
	"$@"
}

patroni_etcd_answers() {
	stack_http "${patroni_ports[0]}" /health | grep -q '"true"'
}

# patroni_answers N: as a member of this very cluster, the first leading, the
# second streaming from it.
patroni_answers() {
	local said
	said=$(stack_http "${patroni_ports[$(($1 + 1))]}" /patroni) || return 1
	case $1:$said in
	1:*'"role": "master"'*"$patroni_scope"*) ;;
	2:*'"role": "replica"'*"$patroni_scope"*)
		[ "$(echo "select count(*) from pg_stat_replication
			where state = 'streaming'" | postgres_sql \
			"${patroni_ports[4]}" postgres 2>/dev/null)" = 1 ] ;;
	*) return 1 ;;
	esac && case $said in
	*'"state": "running"'*) ;;
	*) return 1 ;;
	esac
}

# patroni_conf N: YAML's double quotes are nearly Lua's.
patroni_conf() {
	local rest=127.0.0.1:${patroni_ports[$(($1 + 1))]} sync=false
	local pg=127.0.0.1:${patroni_ports[$(($1 + 3))]}
	[ "${OPSH_STACK_PG_SYNC:-0}" != 1 ] || sync=true
	cat <<-YAML
		scope: $patroni_scope
		name: patroni$1
		restapi:
		  listen: $rest
		  connect_address: $rest
		  authentication: {username: ops, password: "$postgres_password"}
		etcd3: {hosts: ["127.0.0.1:${patroni_ports[0]}"]}
		bootstrap:
		  dcs:
		    ttl: 20
		    loop_wait: 1
		    retry_timeout: 3
		    maximum_lag_on_failover: 1048576
		    synchronous_mode: $sync
		    postgresql:
		      use_pg_rewind: true
		      use_slots: true
		      parameters: {wal_log_hints: "on", track_commit_timestamp: "on"}
		  initdb: [{encoding: UTF8}, no-locale, data-checksums]
		postgresql:
		  listen: $pg
		  connect_address: $pg
		  data_dir: $(stack_lua "$stack_dir/patroni$1.data/pg")
		  bin_dir: $(stack_lua "$postgres_bin")
		  pgpass: $(stack_lua "$postgres_run/pgpass$1")
		  authentication:
		    superuser: {username: postgres, password: "$postgres_super"}
		    replication: {username: patroni, password: "$postgres_super"}
		    rewind: {username: rewind, password: "$postgres_super"}
		  basebackup: {checkpoint: fast}
		  pg_hba:
	YAML
	postgres_hba | sed "s/.*/  - '&'/"
	echo '  parameters:'
	# NAME = VALUE of postgresql.conf is NAME: VALUE here.
	postgres_conf "unix_socket_directories = '$(postgres_sockets |
		sed "s/'/''/g")'" \
		"ssl_cert_file = $(postgres_quote "$stack_dir/good.crt")" \
		"ssl_key_file = $(postgres_quote "$stack_dir/good.key")" \
		"ssl_ca_file = $(postgres_quote "$certificates_ca")" |
		grep -v "^ssl_[a-z_]* = '[a-z.]*'$" |
		sed "s/^\([a-z_.]*\) = /    \1: /; s/: on$/: 'on'/; s/: off$/: 'off'/"
}

# --- what others are told -------------------------------------------------------

patroni_env() {
	local n at
	for n in 1 2; do
		at=127.0.0.1:${patroni_ports[$((n + 3))]}/flights
		stack_put "OPSH_PATRONI${n}_URL" \
			"http://127.0.0.1:${patroni_ports[$((n + 1))]}"
		stack_put "OPSH_PATRONI${n}_PORT" "${patroni_ports[$((n + 1))]}"
		stack_put "OPSH_PATRONI${n}_PID" "${patroni_pids[$n]}"
		stack_put "OPSH_PATRONI${n}_PIDFILE" "$stack_dir/patroni$n.pid"
		stack_put "OPSH_PATRONI${n}_CONFIG" "$stack_dir/patroni$n.yml"
		stack_put "OPSH_PATRONI${n}_LOG" "$stack_dir/patroni$n.log"
		stack_put "OPSH_PATRONI${n}_DIR" "$stack_dir/patroni$n.data/pg"
		stack_put "OPSH_PATRONI${n}_PG_PORT" "${patroni_ports[$((n + 3))]}"
		stack_put "OPSH_PATRONI${n}_PG_URL" \
			"postgresql://ops:$postgres_password@$at"
		stack_put "OPSH_PATRONI${n}_PG_SUPER_URL" \
			"postgresql://postgres:$postgres_super@$at"
	done
	stack_put OPSH_PG_NODE "$stack_here/lib/pg-node.sh"
	stack_put OPSH_PATRONI_SCOPE "$patroni_scope"
	stack_put OPSH_PATRONI_USER ops
	stack_put OPSH_PATRONI_PASSWORD "$postgres_password"
	stack_put OPSH_PATRONI_PASSWORD_FILE "$stack_dir/password"
	stack_put OPSH_ETCD_URL "http://127.0.0.1:${patroni_ports[0]}"
	stack_put OPSH_ETCD_PORT "${patroni_ports[0]}"
	stack_put OPSH_ETCD_PID "$patroni_etcd_pid"
}

patroni_targets() {
	local n at list=
	for n in 1 2; do
		at=127.0.0.1:${patroni_ports[$((n + 3))]}
		list=$list,$at
		printf '\t\t%s\n' "patroni$n = { kind = \"http\"," \
			"	url = \"http://127.0.0.1:${patroni_ports[$((n + 1))]}\"," \
			'	user = "ops",' \
			"	password = secret.file $(stack_lua "$stack_dir/password") },"
		postgres_target "patroni_pg$n" ops password "$at/flights"
		postgres_target "patroni_pg${n}_super" postgres super_password \
			"$at/flights"
	done
	postgres_target patroni_pair ops password \
		"${list#,}/flights?target_session_attrs=read-write"
	printf '\t\tetcd = { kind = "http", url = "http://127.0.0.1:%s" },\n' \
		"${patroni_ports[0]}"
	printf '\t\tpatroni_units = { kind = "local", services = {\n'
	postgres_unit etcd TERM "${patroni_ports[0]}"
	for n in 1 2; do
		at=${patroni_ports[$((n + 3))]}
		postgres_unit "patroni$n" TERM "$at" pg_isready -h 127.0.0.1 -p "$at"
	done
	printf '\t\t} },\n'
}

# Patroni would start again what is ended, so it is ended first, for good.
patroni_down() {
	local file
	for file in "$stack_dir"/patroni?.pid; do
		[ -f "$file" ] && stack_alive "$file" || continue
		kill -KILL -- "-$stack_pid" 2>/dev/null || kill -KILL "$stack_pid"
	done
	postgres_end
}
