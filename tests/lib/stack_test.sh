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

fetch() {
	curl -sS --max-time 5 -o "$t_tmp/body" -w '%{http_code}' "$@" 2>&1
}

fetch_tls() {
	fetch --cacert "$OPSH_NGINX_TLS_CA" "$@"
}

web() {
	local dir="$t_tmp/w e'b"
	t_ok 'nginx comes up' "$t_stack" up "$dir" nginx
	set -a
	# shellcheck source=/dev/null
	. "$dir/env"
	set +a
	t_is 'health' "$(fetch "$OPSH_NGINX_URL/health")" 200
	: >"$OPSH_NGINX_ROOT/switch/down"
	t_is 'health by its switch' "$(fetch "$OPSH_NGINX_URL/health")" 503
	t_is 'status' "$(fetch "$OPSH_NGINX_URL/status/404")" 404
	t_is 'socket' "$(fetch --unix-socket "$OPSH_NGINX_SOCK" http://x/json)" 200
	t_is '10 MiB' "$(fetch "$OPSH_NGINX_URL/bytes/10m")" 200
	t_ok 'the same 10 MiB' cmp "$t_tmp/body" "$OPSH_NGINX_ROOT/bytes/10m"
	t_match 'slow' "$(fetch --max-time 2 "$OPSH_NGINX_URL/slow")" '*out of 1024*'
	t_match 'silent' "$(fetch --max-time 1 "$OPSH_NGINX_URL/silent")" '*timed out*'
	t_match 'silent port' "$(fetch --max-time 1 "$OPSH_NGINX_SILENT_URL")" \
		'*timed out*'
	t_match 'broken' "$(fetch "$OPSH_NGINX_URL/broken")" '*Empty reply*'
	t_is 'flaky, whole' "$(fetch "$OPSH_NGINX_FLAKY_URL")" 200
	: >"$OPSH_NGINX_ROOT/switch/broken"
	t_is 'flaky, broken' "$(fetch "$OPSH_NGINX_FLAKY_URL")" 500
	t_is 'password' "$(fetch -u "ops:$OPSH_NGINX_PASSWORD" \
		"$OPSH_NGINX_URL/auth")" 200
	t_is 'wrong password' "$(fetch -u ops:x "$OPSH_NGINX_URL/auth")" 401
	t_is 'bearer' "$(fetch -H "Authorization: Bearer $OPSH_NGINX_TOKEN" \
		"$OPSH_NGINX_URL/bearer")" 200
	t_is 'upload' "$(fetch -T "$0" "$OPSH_NGINX_URL/upload/a/b")" 201
	t_ok 'uploaded' cmp "$0" "$OPSH_NGINX_ROOT/upload/a/b"
	t_is 'delete' "$(fetch -X DELETE "$OPSH_NGINX_URL/upload/a/b")" 204
	t_is 'post' "$(fetch -d a=1 "$OPSH_NGINX_URL/post/x")" 200
	t_is 'posted' "$(cat "$OPSH_NGINX_ROOT"/bodies/*)" a=1
	t_ok 'metrics pass promtool' promtool check metrics \
		<"$OPSH_NGINX_ROOT/metrics"
	web_tls
	t_ok 'nginx goes' "$t_stack" down "$dir"
	t_ok 'no nginx left' t_gone "$OPSH_NGINX_PID"
	t_match 'no port left' "$(fetch "$OPSH_NGINX_SILENT_URL")" '*connect*'
}

web_tls() {
	t_is 'HTTP/2' "$(curl -sS --cacert "$OPSH_NGINX_TLS_CA" -o /dev/null \
		-w '%{http_version}' "$OPSH_NGINX_TLS_URL/health")" 2
	t_is 'ends soon' "$(fetch_tls "$OPSH_NGINX_TLS_SOON_URL/json")" 200
	t_ok 'in five days' openssl x509 -in "${OPSH_NGINX_TLS_CA%ca.crt}soon.crt" \
		-noout -checkend $((4 * 86400))
	t_match 'not in six' "$(openssl x509 -noout -checkend $((6 * 86400)) \
		-in "${OPSH_NGINX_TLS_CA%ca.crt}soon.crt")" '*will expire*'
	t_match 'expired' "$(fetch_tls "$OPSH_NGINX_TLS_EXPIRED_URL")" '*has expired*'
	t_match 'wrong host' "$(fetch_tls "$OPSH_NGINX_TLS_WRONGHOST_URL")" \
		'*target host name*'
	t_match 'self-signed' "$(fetch_tls "$OPSH_NGINX_TLS_SELFSIGNED_URL")" \
		'*self*signed*'
	t_match 'TLS 1.1 is refused' "$(fetch_tls "$OPSH_NGINX_TLS_OLD_URL")" '*SSL*000'
	t_is 'TLS 1.1 it is' "$(fetch_tls --tls-max 1.1 --ciphers \
		DEFAULT:@SECLEVEL=0 "$OPSH_NGINX_TLS_OLD_URL/json")" 200
	t_is 'no client certificate' \
		"$(fetch_tls "$OPSH_NGINX_TLS_MUTUAL_URL/json")" 400
	t_is 'client certificate' "$(fetch_tls --cert \
		"$OPSH_NGINX_TLS_CLIENT_CERT" --key "$OPSH_NGINX_TLS_CLIENT_KEY" \
		"$OPSH_NGINX_TLS_MUTUAL_URL/json")" 200
}

# listens PID: the addresses it listens on, one a line.
listens() {
	ss -Hltnp | sed -n "s/^LISTEN *[0-9]* *[0-9]* *\([^ ]*\):[0-9]* .*pid=$1,.*/\1/p" |
		sort -u
}

broker() {
	local out epmd beam
	t_up rabbitmq
	read -r epmd _ <"$t_tmp/stack/rabbitmq/epmd.pid"
	read -r beam _ <"$t_tmp/stack/rabbitmq/rabbitmq.pid"
	t_is 'pid' "$beam" "$OPSH_RABBITMQ_PID"
	t_is 'management' "$(fetch -u "ops:$OPSH_RABBITMQ_PASSWORD" \
		"$OPSH_RABBITMQ_URL/api/overview")" 200
	t_is 'wrong password' "$(fetch -u ops:x "$OPSH_RABBITMQ_URL/api/overview")" 401
	t_ok 'AMQP port' bash -c "exec 3<>/dev/tcp/127.0.0.1/$OPSH_RABBITMQ_AMQP_PORT"
	t_is 'loopback only' "$(listens "$beam")" 127.0.0.1
	t_is 'epmd too' "$(listens "$epmd" | grep -v '^\[::1\]$')" 127.0.0.1
	t_ok 'rabbitmq goes' "$t_stack" down "$t_tmp/stack"
	t_ok 'no broker, no epmd left' t_gone "$beam" "$epmd"
	t_ok 'no helper left' t_within 5 eval '! pgrep -f "$t_tmp/stack" >/dev/null'
	out=$("$t_stack" up "$t_tmp/r b" rabbitmq 2>&1)
	t_match 'a folder that it cannot take' "$? $out" '1 *hangs when*'
	t_ok 'another component comes up all the same' \
		"$t_stack" up "$t_tmp/r b" redis
	"$t_stack" down "$t_tmp/r b"
}

prometheus() {
	local dir="$t_tmp/p r'm" ask='api/v1/query?query'
	t_ok 'prometheus comes up' "$t_stack" up "$dir" nginx prometheus
	set -a
	# shellcheck source=/dev/null
	. "$dir/env"
	set +a
	fetch "$OPSH_PROMETHEUS_URL/$ask=opsh:up:sum" >/dev/null
	t_match 'scrapes itself and nginx' "$(cat "$t_tmp/body")" '*,"2"\]*'
	fetch "$OPSH_PROMETHEUS_URL/$ask=http_requests_total" >/dev/null
	t_match 'a value of nginx' "$(cat "$t_tmp/body")" '*,"1027"\]*'
	fetch "$OPSH_PROMETHEUS_URL/api/v1/alerts" >/dev/null
	t_match 'the alert fires' "$(cat "$t_tmp/body")" \
		'*AlwaysFiring*"state":"firing"*'
	t_is 'lifecycle' "$(fetch -X POST "$OPSH_PROMETHEUS_URL/-/reload")" 200
	t_ok 'prometheus goes' "$t_stack" down "$dir"
	t_ok 'no prometheus left' t_gone "$OPSH_PROMETHEUS_PID"
	"$t_stack" up "$t_tmp/stack" prometheus || return
	eval "$("$t_stack" env "$t_tmp/stack")"
	t_is 'alone' "$(fetch "$OPSH_PROMETHEUS_URL/-/ready")" 200
	"$t_stack" down "$t_tmp/stack"
}

# A system of processes: one hangs, one says 503, one is started by opsh.
booking() {
	local dir="$t_tmp/b o'k" pid
	t_ok 'booking comes up' "$t_stack" up "$dir" booking
	set -a
	# shellcheck source=/dev/null
	. "$dir/env"
	set +a
	t_is 'gateway' "$(fetch "$OPSH_BOOKING_GATEWAY_URL/health")" 200
	t_is 'all is well' "$(cat "$t_tmp/body")" '{"status":"UP"}'
	: >"$OPSH_BOOKING_DIR/switch/booking"
	t_is 'booking, by its switch' \
		"$(fetch "$OPSH_BOOKING_BOOKING_URL/health")" 503
	fetch "$OPSH_BOOKING_GATEWAY_URL/health" >/dev/null
	t_match 'its gateway says so' "$(cat "$t_tmp/body")" '*"booking":*DOWN*'
	read -r pid _ <"$OPSH_BOOKING_DIR/payment.pid"
	kill -STOP "$pid"
	t_ok 'status' "$t_stack" status "$dir"
	t_ok 'booking goes, with one that hangs' "$t_stack" down "$dir"
	t_ok 'it is gone' t_gone "$pid"
	t_ok 'no folder left' test ! -e "$dir"
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
	find /sys/fs/cgroup -maxdepth 3 -name 'opsh-stack-*' |
		sort | comm -13 "$t_tmp/groups" -
}

containers() {
	local fake=$t_tmp/nobody out
	# What a stack that was killed left behind is not this one's.
	find /sys/fs/cgroup -maxdepth 3 -name 'opsh-stack-*' |
		sort >"$t_tmp/groups"
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
		"1 *unknown component 'nonesuch': expected one of:*redis*"
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
web
broker
prometheus
booking
ha
cluster
containers
run
failures
collision
t_done
