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
	memory "$1"
}

# memory DIR: notes the shared memory of its servers: it must go with them.
memory() {
	cat "$1"/*/*.data/{,pg/}postmaster.pid 2>/dev/null |
		awk 'NF == 2 && /^ / { print $2 }' >>"$t_tmp/memory"
}

# traces: processes and shared memory of ours that are left.
traces() {
	local id
	pgrep -af -- "$t_tmp/"
	while read -r id; do
		ipcs -m | awk -v id="$id" '$2 == id { print "shared memory " id }'
	done <"$t_tmp/memory"
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
	t_is 'pair: as an ordinary user' "$(ordinary postgres-ha 'psql -XqAt \
		"$OPSH_PGBOUNCER_URL" -c "select count(*) from flights"')" 1000
	t_is 'patroni: as an ordinary user' "$(ordinary patroni 'psql -XqAt \
		"$OPSH_PATRONI2_PG_URL" -c "select count(*) from flights"')" 1000
	t_is 'postgres: as an ordinary user' "$(ordinary postgres 'psql -XqAt \
		"$OPSH_POSTGRES_URL" -c "select count(*) from flights"')" 1000
}

# --- a pair -----------------------------------------------------------------------

# streams URL STATE: the primary's standby.
streams() {
	[ "$(sql "$1" "select sync_state from pg_stat_replication
		where application_name = 'standby'")" = "$2" ]
}

replicated() {
	[ "$(sql "$OPSH_PG_STANDBY_URL" 'select count(*) from writes
		where n = -1')" = 1 ]
}

acknowledged() {
	[ "$(wc -l <"$t_tmp/acked")" -ge "$1" ]
}

pair() {
	local dir="$t_tmp/p g'h" writer out pid
	t_ok 'pair: up in a folder with odd characters' \
		"$t_stack" up "$dir" postgres-ha
	take "$dir"
	t_ok 'pair: the standby streams' streams "$OPSH_PG_PRIMARY_URL" async
	sql "$OPSH_PGBOUNCER_URL" 'insert into writes values (-1)'
	t_ok 'pair: a row through the pooler arrives' t_within 10 replicated
	t_match 'pair: the standby takes none' "$(sql "$OPSH_PG_STANDBY_URL" \
		'insert into writes values (-2)')" '*read-only transaction*'
	t_is 'pair: by its socket' "$(sql "$OPSH_PG_STANDBY_CONNINFO" \
		'select current_user')" postgres
	t_match 'pair: the admin console' "$(sql "$OPSH_PGBOUNCER_ADMIN_URL" \
		'show databases')" "*|$OPSH_PG_PRIMARY_PORT|flights|*"
	t_match 'pair: the pooler wants a password' "$(sql \
		"postgresql://ops:x@127.0.0.1:$OPSH_PGBOUNCER_PORT/flights" 'select 1')" \
		'*failed*'
	t_match 'pair: programs of a node' \
		"$("$OPSH_PG_STANDBY_BIN/pg_controldata" "$OPSH_PG_STANDBY_DIR")" \
		'*in archive recovery*'
	t_ok 'pair: units can be started' lua5.4 -e '
		secret = { file = function(p) return assert(io.open(p)) end }
		local t = dofile(os.getenv "OPSH_TARGETS").targets
		for _, name in ipairs { "primary", "standby", "pgbouncer" } do
			local unit = t.pg_units.services[name]
			assert(io.open(unit.command[1]) and io.open(unit.pid), name)
		end'
	"$OPSH_PG_WRITER" write "$OPSH_PGBOUNCER_URL" "$t_tmp/acked" &
	writer=$!
	t_reap "$writer"
	t_ok 'pair: the writer writes' t_within 10 acknowledged 50
	failover
	kill "$writer"
	t_ok 'pair: the writer ends' t_within 5 t_gone "$writer"
	out=$("$OPSH_PG_WRITER" report "$OPSH_PGBOUNCER_URL" "$t_tmp/acked")
	t_match 'pair: loss and gap are told' "$out" \
		'acknowledged=[1-9]* lost=[0-9]* gap=[0-9]*.[0-9]* from=1*'
	sql "$OPSH_PGBOUNCER_URL" "delete from writes where n = $(tail -n 1 \
		"$t_tmp/acked" | cut -d ' ' -f 1)" >/dev/null
	t_match 'pair: a lost row is found' "$("$OPSH_PG_WRITER" report \
		"$OPSH_PGBOUNCER_URL" "$t_tmp/acked")" \
		"*lost=$(($(expr "$out" : '.*lost=\([0-9]*\)') + 1)) *"
	rejoin
	memory "$dir"
	read -r pid _ <"$OPSH_PG_STANDBY_PIDFILE"
	kill -STOP "$pid"
	t_ok 'pair: down, one frozen, one started by others' "$t_stack" down "$dir"
	t_match 'pair: memory was noted' "$(sort -u "$t_tmp/memory" | wc -l)" '[4-9]'
	t_is 'pair: no trace is left' "$(traces)" ''
}

# states DATA: the different states of its processes.
states() {
	local pid
	for pid in $("$OPSH_PG_NODE" pids "$1"); do
		ps -o state= -p "$pid"
	done | sort -u | paste -sd ' '
}

# failover: the primary is killed, the standby takes over.
failover() {
	"$OPSH_PG_NODE" freeze "$OPSH_PG_PRIMARY_DIR"
	t_is 'pair: frozen altogether' "$(states "$OPSH_PG_PRIMARY_DIR")" T
	"$OPSH_PG_NODE" thaw "$OPSH_PG_PRIMARY_DIR"
	t_match 'pair: and thawed' "$(states "$OPSH_PG_PRIMARY_DIR")" '[!T]*'
	"$OPSH_PG_NODE" kill "$OPSH_PG_PRIMARY_DIR"
	t_ok 'pair: the primary dies' t_within 5 t_gone "$OPSH_PG_PRIMARY_PID"
	t_is 'pair: nobody of it lives' "$(states "$OPSH_PG_PRIMARY_DIR")" ''
	t_is 'pair: promoted' "$(sql "$OPSH_PG_STANDBY_URL" \
		'select pg_promote(true, 20)')" t
	sed -i "s/port=$OPSH_PG_PRIMARY_PORT/port=$OPSH_PG_STANDBY_PORT/" \
		"$OPSH_PGBOUNCER_DATABASES"
	sql "$OPSH_PGBOUNCER_ADMIN_URL" reload >/dev/null
	t_ok 'pair: the writer goes on' t_within 20 acknowledged \
		$(($(wc -l <"$t_tmp/acked") + 50))
}

# rejoin: the old primary follows the new one, by programs of its unit, started as
# an orchestrator does: its pid and the time of its start in the pid file.
rejoin() {
	local at="host=$OPSH_PG_STANDBY_HOST port=$OPSH_PG_STANDBY_PORT"
	sql "$OPSH_PG_STANDBY_URL" checkpoint
	t_ok 'pair: rewound' env PGPASSFILE="$OPSH_PG_PASSFILE" \
		"$OPSH_PG_PRIMARY_BIN/pg_rewind" -D "$OPSH_PG_PRIMARY_DIR" -R \
		--source-server="$at user=postgres dbname=postgres" --no-sync
	sed -i '/primary_slot_name/d' "$OPSH_PG_PRIMARY_DIR/postgresql.auto.conf"
	set -m
	"${OPSH_PG_PRIMARY_PIDFILE%.pid}.start" </dev/null \
		>>"$OPSH_PG_PRIMARY_LOG" 2>&1 &
	echo "$! $(sed 's/.*) //' "/proc/$!/stat" | cut -d ' ' -f 20)" \
		>"$OPSH_PG_PRIMARY_PIDFILE"
	disown
	set +m
	t_ok 'pair: the old primary follows' t_within 20 eval \
		'[ "$(sql "$OPSH_PG_STANDBY_URL" "select application_name
		from pg_stat_replication")" = primary ]'
}

# Networks of their own, and a standby that commits wait for. A second pair stands
# beside it, which it must not touch.
partition() {
	local dir=$t_tmp/net cut
	if [ "$(id -u)" -ne 0 ]; then
		t_match 'net: not root' "$(OPSH_STACK_NETNS=1 "$t_stack" up \
			"$dir" postgres-ha 2>&1)" '*needs root*'
		return
	fi
	"$t_stack" up "$t_tmp/beside" postgres-ha || return
	t_ok 'net: up' env OPSH_STACK_NETNS=1 OPSH_STACK_PG_SYNC=1 \
		"$t_stack" up "$dir" postgres-ha
	take "$dir"
	cut=$OPSH_PG_PARTITION
	export PGCONNECT_TIMEOUT=2
	t_ok 'net: in step' streams "$OPSH_PG_PRIMARY_URL" sync
	t_match 'net: units ask through it' "$("$OPSH_PG_PRIMARY_BIN/pg_isready" \
		-h "$OPSH_PG_STANDBY_HOST" -p "$OPSH_PG_STANDBY_PORT")" '*accepting*'
	"$cut" cut primary standby
	t_is 'net: no commit without the standby' "$(timeout 2 psql -XqAt \
		"$OPSH_PG_PRIMARY_URL" -c 'insert into writes values (1)'
		echo $?)" 124
	t_is 'net: both are seen from here' "$(sql "$OPSH_PG_STANDBY_URL" \
		'select 1')" 1
	"$cut" cut standby
	t_match 'net: a node that is cut off is silent' \
		"$(sql "$OPSH_PG_STANDBY_URL" 'select 1')" '*timeout expired*'
	t_is 'net: its socket is not' "$(sql "$OPSH_PG_STANDBY_CONNINFO" \
		'select pg_is_in_recovery()')" t
	"$cut" heal
	t_ok 'net: healed' t_within 20 streams "$OPSH_PG_PRIMARY_URL" sync
	"$cut" cut primary host
	t_match 'net: the primary, from here' "$(sql "$OPSH_PG_PRIMARY_URL" \
		'select 1')" '*timeout expired*'
	t_is 'net: not from the standby' "$("$OPSH_PG_STANDBY_BIN/pg_isready" -q \
		-h "$OPSH_PG_PRIMARY_HOST" -p "$OPSH_PG_PRIMARY_PORT"; echo $?)" 0
	unset PGCONNECT_TIMEOUT
	t_ok 'net: down while it is cut' "$t_stack" down "$dir"
	t_is 'net: no namespace, no link is left' \
		"$(ip netns | grep "$OPSH_PG_NET"; ip link | grep "$OPSH_PG_NET")" ''
	t_ok 'net: the other pair still streams' eval \
		'take "$t_tmp/beside"; streams "$OPSH_PG_PRIMARY_URL" async'
	"$t_stack" down "$t_tmp/beside"
}

# --- Patroni ----------------------------------------------------------------------

# role N: what the REST interface of the node calls it.
role() {
	local url=OPSH_PATRONI$1_URL
	curl -s "${!url}/patroni" | sed -n 's/.*"role": "\([a-z_]*\)".*/\1/p'
}

roles() {
	[ "$(role 1) $(role 2)" = "$1" ]
}

switchover() {
	curl -s -o /dev/null -w '%{http_code}' -u "ops:$1" \
		-d '{"leader": "patroni1"}' "$OPSH_PATRONI1_URL/switchover"
}

patroni() {
	local dir="$t_tmp/p t's"
	t_ok 'patroni: up in a folder with odd characters' \
		"$t_stack" up "$dir" patroni
	take "$dir"
	t_is 'patroni: roles' "$(role 1) $(role 2)" 'master replica'
	t_is 'patroni: its database' "$(sql "$OPSH_PATRONI2_PG_URL" \
		'select count(*), pg_is_in_recovery() from flights')" '1000|t'
	t_is 'patroni: it is this one' "$(sql "$OPSH_PATRONI1_PG_SUPER_URL" \
		'show data_directory')" "$OPSH_PATRONI1_DIR"
	t_is 'patroni: no password in the log' "$(grep -c "$OPSH_PATRONI_PASSWORD" \
		"$OPSH_PATRONI1_LOG")" 0
	t_match 'patroni: its own tool' "$(patronictl -c "$OPSH_PATRONI1_CONFIG" \
		list 2>&1)" '*patroni1*Leader*running*patroni2*Replica*'
	t_is 'patroni: a switchover wants a password' "$(switchover x)" 401
	t_is 'patroni: a switchover' "$(switchover "$OPSH_PATRONI_PASSWORD")" 200
	t_ok 'patroni: roles have changed' t_within 30 roles 'replica master'
	t_ok 'patroni: targets file is Lua' lua5.4 -e '
		secret = { file = function(p) return assert(io.open(p)) end }
		local t = dofile(os.getenv "OPSH_TARGETS").targets
		assert(t.patroni1.password and t.patroni_pg2.url)
		for _, name in ipairs { "etcd", "patroni1", "patroni2" } do
			local unit = t.patroni_units.services[name]
			assert(io.open(unit.command[1]) and io.open(unit.pid), name)
		end'
	t_ok 'patroni: a second one, synchronous' env OPSH_STACK_PG_SYNC=1 \
		"$t_stack" up "$t_tmp/beside" patroni
	t_is 'patroni: its standby is waited for' "$(take "$t_tmp/beside"
		t_within 20 patroni_sync && echo sync)" sync
	t_ok 'patroni: the second one goes' "$t_stack" down "$t_tmp/beside"
	t_ok 'patroni: the first one is as it was' roles 'replica master'
	kill -KILL "$OPSH_PATRONI1_PID"
	kill -STOP "$OPSH_PATRONI2_PID" "$OPSH_ETCD_PID"
	t_ok 'patroni: down, one killed, the others frozen' "$t_stack" down "$dir"
	t_is 'patroni: no trace is left' "$(traces)" ''
}

patroni_sync() {
	[ "$(sql "$OPSH_PATRONI1_PG_SUPER_URL" \
		'select sync_state from pg_stat_replication')" = sync ]
}

# --- the prober -------------------------------------------------------------------

# verdict LINE...: of the prober on such a file.
verdict() {
	printf '%s\n' "$@" >"$t_tmp/probes"
	"$t_root/tests/lib/pg_prober.py" --judge "$t_tmp/probes" | tail -n 1
}

prober() {
	local one='1.0 a up' pid
	t_is 'prober: one after the other' "$(verdict "$one" '1.0 a written 1' \
		'1.1 a written 1' '1.2 a down x' '1.3 b up' '1.3 b written 1')" \
		'probes 3, moments 0, longest 0.000 s'
	t_is 'prober: two at a time' "$(verdict "$one" '1.0 a written 1' \
		'1.1 b up' '1.1 b written 1' '1.2 b written 1' '1.3 a written 1')" \
		'probes 4, moments 1, longest 0.100 s'
	t_is 'prober: one wakes up' "$(verdict "$one" '1.0 a written 1' \
		'2.0 b written 1' '3.0 b written 1' '2.5 a written 3' '2.6 a down x')" \
		'probes 4, moments 1, longest 0.500 s'
	t_is 'prober: silence is no verdict' "$(verdict '1.0 a down x'; echo "$?")" \
		'probes 0, moments 0, longest 0.000 s
0'
	"$t_stack" up "$t_tmp/probed" postgres-ha || return
	take "$t_tmp/probed"
	"$t_root/tests/lib/pg_prober.py" "$t_tmp/probes" \
		"primary=$OPSH_PG_PRIMARY_CONNINFO" \
		"standby=$OPSH_PG_STANDBY_CONNINFO" >"$t_tmp/verdict" &
	pid=$!
	t_reap "$pid"
	t_ok 'prober: it writes' t_within 10 grep -q written "$t_tmp/probes"
	sql "$OPSH_PG_STANDBY_URL" 'select pg_promote(true, 20)' >/dev/null
	t_ok 'prober: to both' t_within 10 grep -q 'standby written' "$t_tmp/probes"
	t_ok 'prober: for a while' t_within 5 eval \
		'[ "$(grep -c "standby written" "$t_tmp/probes")" -gt 20 ]'
	kill "$pid"
	wait "$pid"
	t_is 'prober: says so by its status' $? 1
	t_match 'prober: and in words' "$(cat "$t_tmp/verdict")" \
		'two writable: primary and standby from *moments 1, longest *'
	"$t_stack" down "$t_tmp/probed"
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

: >"$t_tmp/memory"
single
somebody
pair
partition
patroni
prober
failures
t_done
