#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for other shells; names of test.sh
# stack_test.sh: examples/stack itself: every component comes up, answers as
# itself and goes without a trace, also on signals, on a frozen or dead server
# and on a failed start. Owns only throwaway folders.

# shellcheck source=test.sh
. "$(dirname -- "$0")/test.sh"

ask() {
	timeout 5 redis-cli -h 127.0.0.1 -p "$@" 2>&1
}

plain() {
	local dir="$t_tmp/a b'c"
	t_ok 'up in a folder with odd characters' "$t_stack" up "$dir" redis
	eval "$("$t_stack" env "$dir")"
	t_is 'ping' "$(ask "$OPSH_REDIS_PORT" ping)" PONG
	t_is 'socket' "$(redis-cli -s "$OPSH_REDIS_SOCK" ping)" PONG
	t_is 'default user needs no password' \
		"$(ask "$OPSH_REDIS_PORT" acl whoami)" default
	t_is 'user ops' "$(REDISCLI_AUTH=$OPSH_REDIS_OPS_PASSWORD \
		ask "$OPSH_REDIS_PORT" --user ops acl whoami)" ops
	t_match 'user ops, wrong password' "$(REDISCLI_AUTH=wrong \
		ask "$OPSH_REDIS_PORT" --user ops acl whoami)" '*WRONGPASS*'
	t_is 'password file' "$(cat "$OPSH_REDIS_OPS_PASSWORD_FILE")" \
		"$OPSH_REDIS_OPS_PASSWORD"
	t_ok 'targets file is Lua' lua5.4 -e '
		secret = { file = function(p) return assert(io.open(p)) end }
		local t = dofile(os.getenv "OPSH_TARGETS")
		assert(t.targets.cache.url:find("^redis://127"))
		assert(t.targets.cache_ops.password)'
	t_is 'world can read nothing' \
		"$(find "$dir" -perm /077 ! -type s ! -type l | head -3)" ''
	t_ok 'status' "$t_stack" status "$dir"
	t_match 'second up keeps it' "$("$t_stack" up "$dir" redis 2>&1)" \
		"*is up already*"
	kill -KILL "$OPSH_REDIS_PID"
	t_ok 'server dies' t_within 5 t_gone "$OPSH_REDIS_PID"
	"$t_stack" status "$dir" >/dev/null
	t_is 'status of a dead server' $? 1
	t_ok 'up restarts it' "$t_stack" up "$dir" redis
	eval "$("$t_stack" env "$dir")"
	kill -STOP "$OPSH_REDIS_PID"
	t_ok 'down ends a stopped server' "$t_stack" down "$dir"
	t_ok 'no process left' t_gone "$OPSH_REDIS_PID"
	t_ok 'no folder left' test ! -e "$dir"
	t_ok 'down again' "$t_stack" down "$dir"
}

stuck() {
	local dir=$t_tmp/stuck
	"$t_stack" up "$dir" redis || return
	eval "$("$t_stack" env "$dir")"
	redis-cli -p "$OPSH_REDIS_PORT" eval 'while true do end' 0 \
		>/dev/null 2>&1 &
	t_reap $!
	t_ok 'script blocks' t_within 5 eval \
		'ask "$OPSH_REDIS_PORT" ping | grep -q BUSY'
	t_ok 'down ends a busy server' "$t_stack" down "$dir"
	t_ok 'busy server is gone' t_gone "$OPSH_REDIS_PID"
}

tls_ping() {
	redis-cli --tls --cacert "$OPSH_REDIS_TLS_CA" -h localhost \
		-p "$(port_of "$1")" "${@:2}" ping 2>&1
}

port_of() {
	local port=${1##*:}
	printf '%s' "${port%%/*}"
}

verdict() {
	openssl s_client -connect "localhost:$(port_of "$1")" \
		-CAfile "$OPSH_REDIS_TLS_CA" -verify_return_error \
		-verify_hostname localhost </dev/null 2>&1
}

tls() {
	t_up redis-tls
	t_is 'TLS ping' "$(tls_ping "$OPSH_REDIS_TLS_URL")" PONG
	t_match 'good certificate' "$(verdict "$OPSH_REDIS_TLS_URL")" \
		'*Verified peername: localhost*'
	t_match 'expired' "$(verdict "$OPSH_REDIS_TLS_EXPIRED_URL")" \
		'*certificate has expired*'
	t_match 'wrong host' "$(verdict "$OPSH_REDIS_TLS_WRONGHOST_URL")" \
		'*ostname mismatch*'
	t_match 'self-signed' "$(verdict "$OPSH_REDIS_TLS_SELFSIGNED_URL")" \
		'*self*signed*'
	t_match 'TLS 1.1 is refused by default' \
		"$(verdict "$OPSH_REDIS_TLS_OLD_URL")" '*error:*'
	t_is 'mutual, with certificate' "$(tls_ping \
		"$OPSH_REDIS_TLS_MUTUAL_URL" --cert "$OPSH_REDIS_TLS_CLIENT_CERT" \
		--key "$OPSH_REDIS_TLS_CLIENT_KEY")" PONG
	t_match 'mutual, without' \
		"$(tls_ping "$OPSH_REDIS_TLS_MUTUAL_URL")" '*rror*'
	"$t_stack" down "$t_tmp/stack"
}

new_master() {
	[ "$(ask "${OPSH_SENTINEL_PORTS%% *}" sentinel \
		get-master-addr-by-name mymaster | tail -n 1)" = \
		"$OPSH_REDIS_HA_REPLICA_PORT" ]
}

ha() {
	t_up redis-ha
	t_is 'master' "$(ask "$OPSH_REDIS_HA_MASTER_PORT" role | head -n 1)" \
		master
	t_is 'replica' "$(ask "$OPSH_REDIS_HA_REPLICA_PORT" role | head -n 1)" \
		slave
	t_match 'quorum' "$(ask "${OPSH_SENTINEL_PORTS##* }" sentinel \
		ckquorum mymaster)" 'OK 3 usable*'
	kill -KILL "$OPSH_REDIS_HA_MASTER_PID"
	t_ok 'failover happens' t_within 20 new_master
	"$t_stack" down "$t_tmp/stack"
	# shellcheck disable=SC2086 # a list
	t_ok 'no process left' t_gone $OPSH_SENTINEL_PIDS \
		"$OPSH_REDIS_HA_REPLICA_PID"
}

cluster() {
	local ports
	t_up redis-cluster
	read -r -a ports <<<"$OPSH_CLUSTER_PORTS"
	# slot 12182 is the third node's
	t_is 'MOVED' "$(ask "${ports[0]}" get foo)" \
		"MOVED 12182 127.0.0.1:${ports[2]}"
	t_is 'own slot' "$(ask "${ports[2]}" set foo 1)" OK
	"$t_stack" down "$t_tmp/stack"
}

D() {
	DOCKER_HOST=$OPSH_DOCKER_HOST timeout 20 docker "$@"
}

# traces: processes, mounts and cgroups of the engine below t_tmp.
traces() {
	grep -alF "$t_tmp" /proc/[0-9]*/cmdline 2>/dev/null |
		xargs -r grep -al 'containerd\|dockerd' 2>/dev/null
	grep -F "$t_tmp" /proc/self/mountinfo
	find /sys/fs/cgroup -maxdepth 3 -name 'opsh-stack-*'
}

containers() {
	local fake=$t_tmp/nobody out
	mkdir "$fake"
	printf '#!/bin/sh\necho 1000\n' >"$fake/id"
	chmod +x "$fake/id"
	out=$(PATH=$fake:$PATH "$t_stack" up "$t_tmp/none" docker 2>&1)
	t_match 'docker: not root' "$? $out" \
		'1 *cannot start a Docker engine: only root may'
	t_up docker
	t_is 'docker: services' "$(D ps --format '{{.Names}} {{.Status}}' |
		sed -E 's/^opsh-stack[_-]//; s/[_-]1 Up .*\((.*)\)/ \1/
			s/[_-]1 Up.*/ up/' | sort | paste -sd,)" \
		'cache healthy,gateway healthy,worker up'
	t_is 'docker: the cache is Redis' \
		"$(ask "$OPSH_DOCKER_CACHE_PORT" ping)" PONG
	t_match 'docker: the gateway answers' "$(busybox wget -qO- \
		"http://127.0.0.1:$OPSH_DOCKER_GATEWAY_PORT/health")" '*UP*'
	t_is 'docker: no bridge' "$(D network ls -q -f driver=bridge)" ''
	"$t_stack" down "$t_tmp/stack"
	t_is 'docker: no trace is left' "$(traces)" ''
	t_up docker
	kill -KILL "$(cut -d' ' -f1 "$t_tmp/stack/docker/dockerd.pid")"
	t_ok 'docker: down after its engine was killed' \
		"$t_stack" down "$t_tmp/stack"
	t_is 'docker: no trace is left then' "$(traces)" ''
	t_ok 'docker: nor a server' eval \
		'! ask "$OPSH_DOCKER_CACHE_PORT" ping | grep -q PONG'
}

# run_and SIGNAL WANTED: `run`, told to stop while its command runs.
run_and() {
	local out=$t_tmp/run.$1 stack_pid pid
	"$t_stack" run redis -- bash -c \
		'echo "$OPSH_STACK_DIR $OPSH_REDIS_PID"; exec sleep 60' \
		>"$out" 2>&1 &
	stack_pid=$!
	t_reap "$stack_pid"
	t_ok "run $1: starts" t_within 10 test -s "$out"
	read -r dir pid <"$out"
	kill -"$1" "$stack_pid"
	wait "$stack_pid"
	t_is "run $1: exit code" $? "$2"
	t_ok "run $1: server is gone" t_gone "$pid"
	t_ok "run $1: folder is gone" test ! -e "$dir"
}

run() {
	local out
	out=$("$t_stack" run redis -- bash -c \
		'redis-cli -u "$OPSH_REDIS_URL" ping; cat; exit 7' <<<hello)
	t_is 'run: exit code' $? 7
	t_is 'run: output and input' "$out" "PONG
hello"
	set -m		# else the test's background jobs ignore SIGINT
	run_and INT 130
	run_and TERM 143
	run_and HUP 129
	set +m
}

failures() {
	local dir=$t_tmp/fail out fake=$t_tmp/bin
	mkdir "$fake" "$t_tmp/full"
	: >"$t_tmp/full/file"
	out=$("$t_stack" up "$t_tmp/full" redis 2>&1)
	t_match 'refuses a folder that is not its own' "$? $out" \
		'1 *not empty and not a stack*'
	out=$("$t_stack" up "$dir" nonesuch 2>&1)
	t_match 'unknown component' "$? $out" \
		"1 *unknown component 'nonesuch': expected one of: redis*"
	out=$("$t_stack" up "$t_tmp/$(printf '%0120d' 1)" redis 2>&1)
	t_match 'long socket path' "$? $out" '1 *longer than 103 bytes*'
	printf '#!/bin/sh\necho "the disk is on fire"\nexit 1\n' \
		>"$fake/redis-server"
	chmod +x "$fake/redis-server"
	out=$(PATH=$fake:$PATH "$t_stack" up "$dir" redis 2>&1)
	t_match 'failed start shows the log' "$? $out" \
		'1 *log: */redis.log*the disk is on fire*'
	printf '#!/bin/sh\necho mute\nexec sleep 60\n' >"$fake/redis-server"
	out=$(PATH=$fake:$PATH OPSH_STACK_TIMEOUT=1 \
		"$t_stack" up "$dir" redis 2>&1)
	t_match 'silent start meets its deadline' "$? $out" \
		'1 *no answer on port*mute*'
	set -m
	interrupted INT 130
	interrupted TERM 143
	set +m
	t_is 'nothing runs after a failed start' \
		"$("$t_stack" status "$dir" | grep -c ' up ')" 0
	t_ok 'up after a failed start' "$t_stack" up "$dir" redis
	t_ok 'down' "$t_stack" down "$dir"
}

# interrupted SIGNAL WANTED: told to stop while a server does not come up.
interrupted() {
	local dir=$t_tmp/interrupted.$1 up_pid pid
	PATH=$t_tmp/bin:$PATH "$t_stack" up "$dir" redis 2>/dev/null &
	up_pid=$!
	t_ok "up $1: starts" t_within 5 test -s "$dir/redis/redis.pid"
	read -r pid _ <"$dir/redis/redis.pid"
	kill -"$1" "$up_pid"
	wait "$up_pid"
	t_is "up $1: exit code" $? "$2"
	t_ok "up $1: server is gone" t_gone "$pid"
}

# The first port that is offered is taken: another one has to be tried.
collision() {
	local dir=$t_tmp/taken out fake=$t_tmp/perl
	mkdir "$fake"
	"$t_stack" up "$t_tmp/first" redis || return
	eval "$("$t_stack" env "$t_tmp/first")"
	cat >"$fake/perl" <<-EOF
		#!/bin/sh
		if mkdir "$fake/once" 2>/dev/null; then
			printf '%s\n' $OPSH_REDIS_PORT 1
		else
			exec $(command -v perl) "\$@"
		fi
	EOF
	chmod +x "$fake/perl"
	out=$(PATH=$fake:$PATH "$t_stack" up "$dir" redis 2>&1)
	t_match 'a taken port is tried over' "$? $out" '0 *is taken*'
	"$t_stack" down "$dir"
	t_is 'the stranger still runs' "$(ask "$OPSH_REDIS_PORT" ping)" PONG
	"$t_stack" down "$t_tmp/first"
}

plain
stuck
tls
ha
cluster
containers
run
failures
collision
t_done
