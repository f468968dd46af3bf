# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# postgres-server.sh: makes and starts Postgres servers below stack_dir, shared by
# the components that run one. Postgres refuses to be root: a root's servers run
# as another user, who owns only their data folders and may walk through ours.
# Owns data folders and shared memory of the component at work; must not choose
# what a component runs, nor touch the machine's clusters.

# shellcheck source=certificates.sh
. "$stack_here/lib/certificates.sh"

# postgres_need: finds the programs, and who is to run them.
postgres_need() {
	local dir
	postgres_bin=${OPSH_STACK_POSTGRES_BIN:-}
	[ -n "$postgres_bin" ] || for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
		[ ! -x "$dir/postgres" ] || postgres_bin=$dir
	done
	if [ -z "$postgres_bin" ]; then
		dir=$(stack_program postgres) || return 1
		postgres_bin=${dir%/*}
	fi
	if [ ! -x "$postgres_bin/initdb" ]; then
		stack_fail "cannot find 'initdb' beside '$postgres_bin/postgres'"
		return 1
	fi
	postgres_psql=$(PATH=$postgres_bin:$PATH stack_program psql) || return 1
	postgres_enter=() postgres_host=127.0.0.1
	postgres_user_choose || return 1
	postgres_run=$stack_dir/run
	# sun_path has room for 104 bytes where it is smallest
	if [ "${#postgres_run}" -gt 89 ]; then
		stack_fail "socket path '$postgres_run/.s.PGSQL.65535' is longer \
than 103 bytes"
		return 1
	fi
	postgres_own "$postgres_run"
}

# postgres_user_choose: sets postgres_as, the words before a command that make it
# run as a user that Postgres accepts. The one capability lets it pass through
# folders that only root may enter; nothing has to be opened to the world.
postgres_user_choose() {
	local user name
	postgres_as=() postgres_user=
	[ "$(id -u)" -eq 0 ] || return 0
	stack_program setpriv >/dev/null || return 1
	for user in postgres nobody; do
		id -u "$user" >/dev/null 2>&1 || continue
		for name in dac_read_search dac_override; do
			postgres_as=(setpriv --reuid="$(id -u "$user")"
				--regid="$(id -g "$user")" --clear-groups
				--inh-caps="-all,+$name" --ambient-caps="-all,+$name")
			if "${postgres_as[@]}" ls -d "$stack_dir/." >/dev/null 2>&1; then
				postgres_user=$user
				return 0
			fi
		done
	done
	stack_fail "cannot run Postgres: no other user than root can use \
'$stack_dir'; try it as an ordinary user"
}

# postgres_own FOLDER...: makes folders that the servers own.
postgres_own() {
	mkdir -p -- "$@" && chmod 700 -- "$@" || return 1
	[ -z "$postgres_user" ] ||
		chown -R -- "$postgres_user:$(id -g "$postgres_user")" "$@"
}

# postgres_tool COMMAND...: as the servers' user, with nothing of the caller's
# environment: a PGSSLMODE in it must not decide how a standby connects. Where a
# node has a network of its own, postgres_enter leads into it.
postgres_tool() {
	env -i "${postgres_clean[@]}" ${postgres_enter[0]+"${postgres_enter[@]}"} \
		${postgres_as[0]+"${postgres_as[@]}"} "$@"
}

# postgres_quote TEXT: as a value of postgresql.conf, or an SQL literal.
postgres_quote() {
	printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

# postgres_sql PORT DATABASE: runs SQL of its input as the superuser, unlogged;
# prints bare values.
postgres_sql() {
	stack_brief env -i PATH="$PATH" PGPASSWORD="$postgres_super" \
		PGOPTIONS='-c log_statement=none -c client_min_messages=error' \
		"$postgres_psql" -X -q -A -t -v ON_ERROR_STOP=1 \
		-h "$postgres_host" -p "$1" -U postgres -d "$2"
}

# postgres_passwords: makes those of the users, and the files that hold them.
postgres_passwords() {
	postgres_clean=(PATH="$postgres_bin:$PATH" HOME="$postgres_run" LC_ALL=C
		PGPASSFILE="$postgres_run/pgpass")
	postgres_super=$(stack_secret)
	postgres_password=$(stack_secret)
	printf '%s' "$postgres_password" >"$stack_dir/password" &&
		printf '%s' "$postgres_super" >"$stack_dir/super_password" &&
		printf '*:*:*:%s\n' "postgres:$postgres_super" \
			"ops:$postgres_password" "replicator:$postgres_password" \
			>"$postgres_run/pgpass" && postgres_own "$postgres_run"
}

# postgres_initdb NAME LINE...: a data folder with these lines of configuration
# on top of what every server of a throwaway stack has. The address, the port and
# the name are given when it is started: nodes may copy each other's files.
postgres_initdb() {
	local data=$stack_dir/$1.data log=$stack_dir/$1.log locale=(--no-locale)
	shift
	[ "$(LC_ALL=C.UTF-8 locale charmap 2>/dev/null)" != UTF-8 ] ||
		locale=(--locale=C.UTF-8)
	postgres_own "$data" || return 1
	printf '%s\n' "$postgres_super" | postgres_tool "$postgres_bin/initdb" \
		-D "$data" -U postgres --pwfile=/dev/stdin -A scram-sha-256 -E UTF8 \
		"${locale[@]}" --no-sync --data-checksums >"$log" 2>&1 ||
		stack_fail "cannot make the data folder '$data'" "$log" || return 1
	postgres_conf "$@" >>"$data/postgresql.conf" || return 1
	postgres_hba >"$data/pg_hba.conf" || return 1
	postgres_certificate "$data"
}

# The log is the tests' witness: every statement is in it, whoever sent it.
postgres_conf() {
	printf '%s\n' "log_statement = 'all'" \
		"log_line_prefix = '%m [%p] %q%u@%d %a: '" "log_timezone = 'UTC'" \
		"timezone = 'UTC'" 'log_lock_waits = on' 'logging_collector = off' \
		"shared_preload_libraries = 'pg_stat_statements'" \
		'track_io_timing = on' 'shared_buffers = 32MB' 'max_wal_size = 256MB' \
		'fsync = off' 'dynamic_shared_memory_type = mmap' \
		'max_prepared_transactions = 5' 'ssl = on' \
		"ssl_cert_file = 'server.crt'" "ssl_key_file = 'server.key'" \
		"ssl_ca_file = 'ca.crt'" "$@"
}

postgres_hba() {
	printf '%s\n' 'local all all scram-sha-256' \
		'local replication all scram-sha-256' \
		'hostssl all "opsh-client" all cert' \
		'host all all all scram-sha-256' \
		'host replication all all scram-sha-256'
}

# postgres_certificate DATA: the good one, as the server's own files.
postgres_certificate() {
	cp -- "$stack_dir/good.crt" "$1/server.crt" &&
		cp -- "$stack_dir/good.key" "$1/server.key" &&
		cp -- "$certificates_ca" "$1/ca.crt" &&
		postgres_own "$1"
}

# postgres_sockets: the folder of the sockets, as a list of one.
postgres_sockets() {
	printf '"%s"' "$(printf '%s' "$postgres_run" | sed 's/"/""/g')"
}

# postgres_command NAME [ADDRESS]: sets postgres_argv, what starts the server on
# postgres_port; in the foreground, its log on stderr.
postgres_command() {
	postgres_argv=(env -i "${postgres_clean[@]}"
		${postgres_enter[0]+"${postgres_enter[@]}"}
		${postgres_as[0]+"${postgres_as[@]}"} "$postgres_bin/postgres"
		-D "$stack_dir/$1.data" -p "$postgres_port"
		-c "listen_addresses=${2:-127.0.0.1}"
		-c "unix_socket_directories=$(postgres_sockets)" -c "cluster_name=$1")
}

# postgres_is NAME PID: 0 when PID itself says that it is ready: a server writes
# that into its data folder, and a stranger on the port can't.
postgres_is() {
	local file=$stack_dir/$1.data/postmaster.pid
	[ "$(sed -n 1p "$file" 2>/dev/null)" = "$2" ] &&
		case $(sed -n 8p "$file" 2>/dev/null) in
		ready*|standby*) ;;
		*) return 1 ;;
		esac
}

postgres_settled() {
	stack_alive "$stack_dir/$1.pid" || return 0
	postgres_is "$1" "$stack_pid"
}

# postgres_serve NAME [ADDRESS]: starts the server; sets postgres_port and postgres_pid.
# When the port was taken meanwhile it tries others.
postgres_serve() {
	local try log=$stack_dir/$1.log
	for try in 1 2 3 4 5; do
		postgres_port=$(stack_free_port) || return 1
		postgres_command "$@"
		: >"$log"
		stack_spawn "$1" "${postgres_argv[@]}"
		stack_within "$stack_limit" postgres_settled "$1" || break
		if stack_alive "$stack_dir/$1.pid"; then
			postgres_pid=$stack_pid
			return 0
		fi
		grep -q 'Address already in use' "$log" || break
		stack_say "port $postgres_port of '$1' is taken (try $try)"
	done
	stack_fail "cannot start '$1': not ready on port $postgres_port" "$log"
}

# postgres_roles: the user `ops`, who may do what operators do, and may log in
# with a certificate as well; run in each database that there shall be.
postgres_roles() {
	cat <<-SQL
		create role ops login createdb replication password '$postgres_password';
		grant pg_monitor, pg_signal_backend, pg_read_all_settings,
			pg_checkpoint to ops;
		create role "opsh-client" login in role ops;
		create role replicator login replication
			password '$postgres_password';
		create database flights owner ops;
	SQL
}

# postgres_grants: what is granted in each database.
postgres_grants() {
	cat <<-SQL
		create extension pg_stat_statements;
		grant execute on function pg_promote, pg_wal_replay_pause,
			pg_wal_replay_resume, pg_stat_reset, pg_switch_wal,
			pg_create_restore_point, pg_reload_conf,
			pg_stat_statements_reset to ops;
	SQL
}

# postgres_tables: something to look at.
postgres_tables() {
	cat <<-SQL
		set role ops;
		create table airports (code char(3) primary key, name text not null);
		insert into airports values ('ZRH', 'Zürich'), ('LHR', 'London'),
			('JFK', 'New York'), ('NRT', '東京'), ('GRU', 'São Paulo');
		create table flights (
			id bigint generated always as identity primary key,
			callsign text not null,
			origin char(3) not null references airports,
			destination char(3) not null references airports,
			departs timestamptz not null,
			seats integer not null check (seats > 0),
			details jsonb);
		insert into flights (callsign, origin, destination, departs, seats,
				details)
			select 'OPS' || n, (array['ZRH','LHR','JFK','NRT','GRU'])[n % 5 + 1],
				(array['LHR','JFK','NRT','GRU','ZRH'])[n % 5 + 1],
				timestamptz '2026-01-01 06:00Z' + n * interval '17 minutes',
				100 + n % 200, jsonb_build_object('gate', n % 40)
			from generate_series(1, 1000) n;
		create index flights_departs on flights (departs);
	SQL
}

# postgres_fill: users, databases and tables, on the server just started.
postgres_fill() {
	local log=$stack_dir/setup.log
	{
		postgres_roles | postgres_sql "$postgres_port" postgres &&
			postgres_grants | postgres_sql "$postgres_port" postgres &&
			postgres_grants | postgres_sql "$postgres_port" flights &&
			postgres_tables | postgres_sql "$postgres_port" flights &&
			echo 'analyze;' | postgres_sql "$postgres_port" flights
	} >"$log" 2>&1 || stack_fail 'cannot fill the database' "$log"
}

# --- what others are told -------------------------------------------------------

# postgres_escape TEXT: as a part of a URL's query.
postgres_escape() {
	local byte
	for byte in $(printf '%s' "$1" | od -An -v -tx1); do
		case $byte in
		2[d-f]|3[0-9]|4[1-f]|5[0-9a]|6[1-f]|7[0-9a])
			printf '%b' "\\x$byte"
			;;
		*) printf '%%%s' "$byte" ;;
		esac
	done
}

# postgres_conninfo TEXT: as a value in libpq's NAME=VALUE form.
postgres_conninfo() {
	printf "'%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"
}

# postgres_target NAME USER PASSWORDFILE ADDRESS FIELD...
postgres_target() {
	printf '\t\t%s = { kind = "postgres",\n' "$1"
	printf '\t\t\turl = %s,\n' "$(stack_lua "postgresql://$2@$4")"
	printf '\t\t\tpassword = secret.file %s' "$(stack_lua "$stack_dir/$3")"
	shift 4
	[ $# -eq 0 ] || printf ',\n\t\t\t%s' "$@"
	printf ' },\n'
}

# --- the end ------------------------------------------------------------------

# postgres_strays: pids of all that runs in a data folder of ours: backends, also
# those whose postmaster was killed.
postgres_strays() {
	local link data
	for data in "$stack_dir"/*.data "$stack_dir"/*.data/pg; do
		for link in /proc/[0-9]*/cwd; do
			[ "$link" -ef "$data" ] || continue
			link=${link#/proc/}
			printf '%s\n' "${link%/cwd}"
		done
	done
}

postgres_no_strays() {
	[ -z "$(postgres_strays)" ]
}

# postgres_quit: QUIT ends a server at once and lets it take its shared memory
# with it; a frozen one is woken first.
postgres_quit() {
	local file pid
	for pid in $(postgres_strays); do
		kill -CONT "$pid" 2>/dev/null
	done
	for file in "$stack_dir"/*.data/{,pg/}postmaster.pid; do
		pid=$(sed -n 1p "$file" 2>/dev/null)
		[ "/proc/${pid:-x}/cwd" -ef "${file%/*}" ] &&
			kill -QUIT "$pid" 2>/dev/null
	done
	stack_within 3 postgres_no_strays
}

# postgres_memory_down: the segments of servers that were killed; a pid file
# tells which they had.
postgres_memory_down() {
	local file key id
	for file in "$stack_dir"/*.data/{,pg/}postmaster.pid; do
		[ -f "$file" ] || continue
		read -r key id < <(sed -n 7p "$file")
		[ -n "$id" ] || continue
		grep -q "^ *$key  *$id " /proc/sysvipc/shm 2>/dev/null &&
			ipcrm -m "$id"
	done
	return 0
}

# postgres_end: every server of the component at work, without a trace.
postgres_end() {
	local pid
	postgres_quit
	stack_stop || return 1
	for pid in $(postgres_strays); do
		kill -KILL "$pid" 2>/dev/null
	done
	stack_within 5 postgres_no_strays ||
		stack_fail "servers of '$stack_dir' are left" || return 1
	postgres_memory_down
}
