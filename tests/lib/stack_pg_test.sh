#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for other shells; names of test.sh
# stack_pg_test.sh: the Postgres components of examples/stack: each comes up,
# answers as itself and goes without a trace, as root and as an ordinary user, also
# when a server was killed or frozen, or can't start. Owns only throwaway folders.

# shellcheck source=test.sh
. "$(dirname -- "$0")/test.sh"

# sql URL STATEMENT: bare values, or the error.
sql() {
	timeout 10 psql -X -q -A -t "$1" -c "$2" 2>&1
}

# take DIR: the environment of a stack.
take() {
	set -a
	# shellcheck source=/dev/null
	. "$1/env"
	set +a
}

# traces: processes and shared memory that were not there at the start.
traces() {
	pgrep -af -- "$t_tmp/"
	ipcs -m | awk '/^0x/ { print $2 }' | sort | comm -13 "$t_tmp/shm" -
}

no_traces() {
	[ -z "$(traces)" ]
}

single() {
	local dir="$t_tmp/p g's" url tls
	t_ok 'postgres: up in a folder with odd characters' \
		"$t_stack" up "$dir" postgres
	take "$dir"
	url=$OPSH_POSTGRES_URL
	t_is 'postgres: the user' "$(sql "$url" 'select current_user')" ops
	t_is 'postgres: it is this one' \
		"$(sql "$OPSH_POSTGRES_SUPER_URL" 'show data_directory')" \
		"$OPSH_POSTGRES_DATA"
	t_is 'postgres: its pid' "$(sed -n 1p "$OPSH_POSTGRES_DATA/postmaster.pid")" \
		"$OPSH_POSTGRES_PID"
	t_match 'postgres: a wrong password' "$(sql \
		"postgresql://ops:x@127.0.0.1:$OPSH_POSTGRES_PORT/flights" 'select 1')" \
		'*password authentication failed*'
	t_is 'postgres: socket' "$(PGPASSWORD=$OPSH_POSTGRES_PASSWORD sql \
		"host='${OPSH_POSTGRES_SOCKET_DIR//\'/\\\'}' user=ops dbname=flights \
port=$OPSH_POSTGRES_PORT" 'select count(*) from flights')" 1000
	t_is 'postgres: statements are counted' \
		"$(sql "$url" 'select count(*) > 0 from pg_stat_statements')" t
	t_is 'postgres: statements are in the log' "$(grep -c \
		'ops@flights.*statement: select count(\*) from flights$' \
		"$OPSH_POSTGRES_LOG")" 1
	t_is 'postgres: no password in the log' \
		"$(grep -c "$OPSH_POSTGRES_PASSWORD" "$OPSH_POSTGRES_LOG")" 0
	tls="host=localhost port=$OPSH_POSTGRES_PORT dbname=flights \
sslmode=verify-full sslrootcert='${OPSH_POSTGRES_TLS_CA//\'/\\\'}'"
	t_is 'postgres: verified TLS and a client certificate' "$(sql "$tls user=$\
OPSH_POSTGRES_TLS_CLIENT_USER sslcert='${OPSH_POSTGRES_TLS_CLIENT_CERT//\'/\\\'}' \
sslkey='${OPSH_POSTGRES_TLS_CLIENT_KEY//\'/\\\'}'" \
		'select client_dn from pg_stat_ssl where pid = pg_backend_pid()')" \
		/CN=opsh-client
	t_match 'postgres: another CA' "$(sql "$tls sslrootcert='${\
OPSH_POSTGRES_TLS_OTHER_CA//\'/\\\'}'" 'select 1')" '*certificate verify failed*'
	t_ok 'postgres: targets file is Lua' lua5.4 -e '
		secret = { file = function(p) return assert(io.open(p)) end }
		local t = dofile(os.getenv "OPSH_TARGETS").targets
		assert(t.db.password and t.db_super.password)
		assert(t.db_tls.url:find("sslrootcert=/", 1, true))'
	t_is 'postgres: world can read nothing' \
		"$(find "$dir" -perm /077 ! -type s ! -type l | head -3)" ''
	neighbour
	kill -KILL "$OPSH_POSTGRES_PID"
	t_ok 'postgres: server dies' t_within 5 t_gone "$OPSH_POSTGRES_PID"
	"$t_stack" status "$dir" >/dev/null
	t_is 'postgres: status of a dead server' $? 1
	t_ok 'postgres: down after it was killed' "$t_stack" down "$dir"
	t_is 'postgres: no trace is left' "$(traces)" ''
}

# A second stack beside the first, frozen together with a busy backend.
neighbour() {
	local dir=$t_tmp/second url=$OPSH_POSTGRES_URL mine=$OPSH_POSTGRES_DATA busy
	t_ok 'postgres: a second stack' "$t_stack" up "$dir" postgres
	(
		take "$dir"
		[ "$OPSH_POSTGRES_DATA" != "$mine" ] || exit 1
		sql "$OPSH_POSTGRES_URL" 'do $$begin loop end loop; end$$' \
			>/dev/null &
		t_within 10 busy_backend || exit 1
		read -r busy <"$t_tmp/busy"
		kill -STOP "$OPSH_POSTGRES_PID" "$busy"
	)
	t_is 'postgres: frozen' $? 0
	t_ok 'postgres: down while it is frozen' "$t_stack" down "$dir"
	t_ok 'postgres: nothing of it is left' t_gone "$(cat "$t_tmp/busy")"
	t_is 'postgres: the other one answers' "$(sql "$url" 'select 1')" 1
}

busy_backend() {
	sql "$OPSH_POSTGRES_SUPER_URL" "select pid from pg_stat_activity
		where query like 'do %' and state = 'active'" >"$t_tmp/busy"
	[ -s "$t_tmp/busy" ]
}

# ordinary COMPONENT COMMAND: `stack run` as somebody who is not root.
ordinary() {
	local home=$t_tmp/ordinary
	mkdir -p "$home/tmp" && cp -R "$t_root/examples/stack" "$home/" || return 1
	chmod -R a+rX "$home" && chmod 711 "$t_tmp" && chmod 777 "$home/tmp"
	if [ "$(id -u)" -eq 0 ]; then
		set -- setpriv --reuid=nobody --regid="$(id -g nobody)" \
			--clear-groups --inh-caps=-all --bounding-set=-all \
			env HOME="$home/tmp" TMPDIR="$home/tmp" \
			"$home/stack/stack" run "$1" -- bash -c "$2"
	else
		set -- "$home/stack/stack" run "$1" -- bash -c "$2"
	fi
	"$@" 2>&1
}

somebody() {
	t_is 'postgres: as an ordinary user' "$(ordinary postgres 'psql -XqAt \
		"$OPSH_POSTGRES_URL" -c "select count(*) from flights"')" 1000
}

# A server that says nothing, one that dies at once: both are said with the log.
failures() {
	local dir=$t_tmp/fail out fake=$t_tmp/bin tool
	mkdir "$fake"
	for tool in initdb postgres; do
		printf '#!/bin/sh\necho "%s: the disk is on fire"\nexit 1\n' \
			"$tool" >"$fake/$tool"
		chmod +x "$fake/$tool"
	done
	out=$(OPSH_STACK_POSTGRES_BIN=$fake "$t_stack" up "$dir" postgres 2>&1)
	t_match 'postgres: no data folder' "$? $out" \
		'1 *cannot make the data folder*log: */postgres.log*on fire*'
	out=$OPSH_POSTGRES_BIN
	printf '#!/bin/sh\nexec %s/initdb "$@"\n' "$out" >"$fake/initdb"
	printf '#!/bin/sh\n[ "$1" != --version -a "$1" != -V ] ||
exec %s/postgres "$@"\ncase "$*" in *cluster_name*) echo mute; exec sleep 60
esac\nexec %s/postgres "$@"\n' "$out" "$out" >"$fake/postgres"
	chmod 755 "$fake" "$fake"/*
	out=$(OPSH_STACK_POSTGRES_BIN=$fake OPSH_STACK_TIMEOUT=1 \
		"$t_stack" up "$dir" postgres 2>&1)
	t_match 'postgres: a silent start meets its deadline' "$? $out" \
		'1 *not ready on port*log: */postgres.log*mute*'
	t_ok 'postgres: nothing of it runs' t_within 5 no_traces
	out=$("$t_stack" up "$t_tmp/$(printf '%0120d' 1)" postgres 2>&1)
	t_match 'postgres: a long path' "$? $out" '1 *longer than 103 bytes*'
	"$t_stack" down "$dir"
}

ipcs -m | awk '/^0x/ { print $2 }' | sort >"$t_tmp/shm"
single
somebody
failures
t_done
