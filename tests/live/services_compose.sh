# shellcheck shell=bash disable=SC2154 # names of services.sh
# services_compose.sh: the playbooks of services/ on a real Docker engine, for
# services.sh: found, restarted, scaled, rolled, stopped when errors rise, followed;
# a plan changes nothing. Owns the containers of its stack only.

# lines_of TEXT N FILE: has FILE at least N lines with TEXT?
lines_of() {
	[ "$(grep -c "$1" "$3")" -ge "$2" ]
}

D() {
	DOCKER_HOST=$OPSH_DOCKER_HOST timeout 20 docker "$@"
}

# started NAME: when the container was started last.
started() {
	D inspect -f '{{.State.StartedAt}}' "opsh-stack_$1"
}

workers() {
	D ps -q --filter label=com.docker.compose.service=worker | wc -l
}

compose_targets() {
	cat >compose.lua <<-EOT
	return {
	  targets = {
	    gateway = "http://127.0.0.1:$OPSH_DOCKER_GATEWAY_PORT",
	    cache = "redis://127.0.0.1:$OPSH_DOCKER_CACHE_PORT",
	    orchestrator = { kind = "compose", file = "$OPSH_COMPOSE_FILE",
	      project = "$OPSH_COMPOSE_PROJECT", docker_host = "$OPSH_DOCKER_HOST" },
	  },
	  services = {
	    gateway = { target = "gateway", health = "/health",
	      port = $OPSH_DOCKER_GATEWAY_PORT, depends = { "cache" },
	      env = { "PORT", "RATE_LIMIT" } },
	    cache = { target = "cache", container = "opsh-stack_cache_1" },
	    worker = { depends = { "gateway" } },
	  },
	}
	EOT
	chmod 600 compose.lua
	export OPSH_TARGETS=$PWD/compose.lua
}

compose_found_and_restarted() {
	o run services/health
	exits 'compose: all well' 0
	says 'with their containers' '*cache up*healthy*gateway up*healthy*worker up*running*'
	D stop -t 1 opsh-stack_cache_1 >/dev/null
	D exec opsh-stack_gateway_1 rm /www/health
	D exec opsh-stack_worker_1 touch /tmp/crash
	t_ok 'the worker has ended' t_within 10 eval '[ "$(workers)" -eq 0 ]'
	o run services/health
	exits 'compose: all down' 1
	says 'their states' '*3 of 3 down: cache, gateway, worker*exited (0)*failed (3)*'
	o run services/triage
	exits 'triage' 0
	says 'where to begin' \
		'*begin with cache: *it has ended*next: opsh run services/restart service=cache*'
	says 'what follows from it' '*gateway*dependency cache, which it depends on*'
	says 'the log of the one that crashed' '*worker log 1 x worker was told to crash*'
	o run services/triage service=worker
	says 'one service' '*worker instance opsh-stack_worker_1: failed (3)*'
	D exec opsh-stack_gateway_1 sh -c 'echo "{\"status\":\"UP\"}" >/www/health'
	o run services/restart service=worker,cache timeout=30s watch=0
	exits 'what does not run is started without a guard' 0
	tells 'what it depends on comes first' '*start cache*start worker*'
	says 'before and after' '*cache exited (0) (0 of 1 ready) healthy (1 of 1 ready) up*'
	t_ok 'the health check of the gateway sees it' t_within 15 eval \
		'"$opsh" run services/health --quiet >/dev/null 2>&1'
	o run services/health
	exits 'all well again' 0
}

compose_port_taken() {
	D stop -t 1 opsh-stack_gateway_1 >/dev/null
	python3 -m http.server "$OPSH_DOCKER_GATEWAY_PORT" --bind 127.0.0.1 \
		>/dev/null 2>&1 &
	local pid=$!
	t_reap "$pid"
	t_ok 'somebody takes its port' t_within 10 eval \
		'curl -s -o /dev/null "http://127.0.0.1:$OPSH_DOCKER_GATEWAY_PORT/"'
	o run services/triage
	says 'the port is taken' "*begin with gateway: most likely: port $(
		echo "$OPSH_DOCKER_GATEWAY_PORT") is taken by python3 (pid $pid)*"
	kill "$pid"
	wait "$pid" 2>/dev/null
	o run services/restart service=gateway timeout=30s watch=0
	exits 'and started when it is free' 0
}

compose_restarted_by_guard() {
	local before
	before=$(started gateway_1)
	o run services/restart service=gateway
	exits 'a restart of what runs needs a guard' 14
	tells 'which names the flag' '*--approve orchestrator*'
	t_is 'nothing was restarted' "$(started gateway_1)" "$before"
	o run services/restart service=gateway timeout=30s watch=1s \
		--approve orchestrator
	exits 'with it' 0
	t_ok 'it was restarted' test "$(started gateway_1)" != "$before"
	says 'and is well' '*gateway*healthy (1 of 1 ready) up*'
	o run services/restart service=nobody --approve orchestrator
	exits 'a service that is not there' 3
	tells 'and those that are' '*it has: cache, gateway, worker*'
}

compose_scaled() {
	o run services/scale service=worker replicas=3 watch=0
	exits 'scale up needs no guard' 0
	t_is 'three of them' "$(workers)" 3
	o run services/scale service=worker replicas=3 watch=0
	exits 'three already' 0
	o run services/scale service=worker replicas=2 watch=0
	exits 'scale down needs one' 14
	t_is 'three still' "$(workers)" 3
}

# Each that ends has started again before the next one ends.
compose_rolled() {
	local first since
	first=$(started worker_1)
	since=$(date +%s)
	o run services/rolling-restart service=worker watch=1s \
		--approve orchestrator
	exits 'rolling restart' 0
	t_ok 'the first was restarted' test "$(started worker_1)" != "$first"
	t_is 'one at a time' "$(D events --since "$since" --until "$(date +%s)" \
		--filter label=com.docker.compose.service=worker --filter event=die \
		--filter event=start --format '{{.Action}}' | tr '\n' ' ')" \
		'die start die start die start '
	o run services/rolling-restart service=gateway --approve orchestrator
	exits 'one instance alone is refused' 3
	tells 'and what to take instead' '*surge=true*'
}

# The gateway breaks when the first worker is restarted: the others are left alone.
compose_roll_stops() {
	local one two three pid
	one=$(started worker_1) two=$(started worker_2) three=$(started worker_3)
	(
		while [ "$(started worker_1)" = "$one" ]; do sleep 0.1; done
		D exec opsh-stack_gateway_1 rm /www/health
	) &
	pid=$!
	t_reap "$pid"
	o run services/rolling-restart service=worker watch=4s \
		--approve orchestrator
	wait "$pid"
	exits 'a roll that makes errors rise stops' 15
	tells 'says why' \
		"*worker_1 (1 of 3)' is not verified: error rate is*before 0 %; last: gateway*"
	t_ok 'the first was restarted' test "$(started worker_1)" != "$one"
	t_is 'the others were not' "$(started worker_2) $(started worker_3)" \
		"$two $three"
	D exec opsh-stack_gateway_1 sh -c 'echo "{\"status\":\"UP\"}" >/www/health'
	t_ok 'well again' t_within 15 eval \
		'"$opsh" run services/health --quiet >/dev/null 2>&1'
	o run services/scale service=worker replicas=1 watch=0 \
		--approve orchestrator
	exits 'scale down' 0
	t_is 'one of them' "$(workers)" 1
}

compose_logs() {
	local pid
	o run services/logs service=gateway level=warn
	exits 'logs by level' 0
	says 'warnings' '*warn rate limit is 100*'
	t_is 'and no information' "$(grep -c 'listens on' "$out")" 0
	o run services/logs service=worker tail=3
	t_is 'the last three' "$(grep -c 'worker tick' "$out")" 3
	o run services/logs 'grep=LISTENS|rate' service=gateway format=raw
	says 'text in any case, as it is' '*INFO gateway listens on*'
	o run services/logs service=worker since=1h until=30m
	t_is 'a window with nothing in it' "$(cat "$out")" ''
	o run services/logs service=gateway export=exported.txt
	exits 'an export' 0
	t_match 'is there, for us only' "$(stat -c '%a' exported.txt) $(cat exported.txt)" \
		'600 *gateway*'
	o run services/logs service=gateway export=exported.txt
	exits 'no file is overwritten' 3
	set -m
	timeout -k 1 60 "$opsh" run services/logs service=worker follow=true \
		tail=1 </dev/null >"$out" 2>"$err" &
	pid=$!
	set +m
	t_reap "$pid"
	t_ok 'follow shows what comes' t_within 15 lines_of 'worker tick' 4 "$out"
	kill -INT -- "-$pid"
	wait "$pid"
	t_is 'Ctrl-C ends it' $? 130
	t_is 'and no child is left' "$(pgrep -f 'docker.*logs.*opsh-stack' | wc -l)" 0
}

compose_resources() {
	o run services/resources all=true
	exits 'resources' 0
	says 'of each instance' '*opsh-stack_worker_1 memory*'
	says 'of the machine' '*machine*disk /*'
	o run services/resources only=cache all=true --output jsonl
	t_ok 'as JSON' python3 -c '
import json, sys
rows = [v for line in open(sys.argv[1]) for v in [json.loads(line)]
        if v["type"] == "result"][0]["value"]
assert {r["what"] for r in rows} >= {"cpu", "memory"}, rows
assert all(r["service"] in ("cache", "-") for r in rows), rows' "$out"
}

witness() {
	D ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}'
	D inspect -f '{{.State.StartedAt}} {{.State.Pid}}' $(D ps -aq)
	find "$PWD" -type f -newer "$t_tmp/began" ! -path "$XDG_STATE_HOME/*"
}

compose_plans() {
	local since args
	touch "$t_tmp/began"
	sleep 1.1
	since=$(date +%s)
	witness >"$t_tmp/before"
	for args in services/health services/triage 'services/triage service=worker' \
		'services/restart service=gateway,worker' \
		'services/scale service=worker replicas=4' \
		'services/rolling-restart service=worker surge=true' 'services/logs tail=3' \
		'services/logs export=planned.txt' services/resources; do
		# shellcheck disable=SC2086 # words on purpose
		plan_only $args
	done
	witness >"$t_tmp/after"
	t_ok 'containers, their processes and files are as they were' \
		diff "$t_tmp/before" "$t_tmp/after"
	t_is 'and the engine has seen no change' "$(D events --since "$since" \
		--until "$(date +%s)" --format '{{.Action}}' |
		grep -cvE '^(exec_|health_status)')" 0
	o plan services/restart service=gateway
	says 'the plan says what would be' \
		'*restart gateway*orchestrator*destructive*approval*rest*'
	# the witness sees what a run does
	traced "$opsh" run services/restart service=worker watch=0 \
		--approve orchestrator
	t_match 'the witness sees a run' "$rc $(writing)" '0 *ran *restart*'
}

# A secret reaches a container by its environment, never by an argument: what everybody
# on the machine can read in /proc while it runs, and what was executed.
compose_secrets() {
	local value='s3cr3t-of-the-live-test' pid
	printf '%s\n' "$value" >"$t_tmp/value" # grep takes no argument that holds it
	cat >secret.lua <<-'EOT'
	local token = secret.env "LIVE_TOKEN"
	local function refused(f, ...)
	  local _, e = try(f, ...)
	  print(e.kind, e.message)
	end
	refused(orchestrator.exec, orchestrator, "worker", { "echo", token },
	  { effect = "read" })
	print((orchestrator:exec("worker", { "sh", "-c", "sleep 2; echo ${#TOKEN}" },
	  { effect = "read", env = { TOKEN = token } }).stdout))
	local text = os.getenv "LIVE_TOKEN" -- known as a secret now
	refused(orchestrator.exec, orchestrator, "worker", { "echo", text },
	  { effect = "read" })
	refused(sh.run, { "echo", "Bearer " .. text, effect = "read" })
	EOT
	LIVE_TOKEN=$value strace -f --seccomp-bpf -qq -e trace=execve -s 4000 -o "$t_tmp/trace" \
		timeout -k 1 60 "$opsh" run secret.lua </dev/null >"$out" 2>"$err" &
	pid=$!
	t_reap "$pid"
	t_ok 'the one with an environment runs' t_within 30 \
		pgrep -f 'docker exec .*sleep 2; echo'
	t_is 'a secret in /proc/*/cmdline' "$(cat /proc/[0-9]*/cmdline 2>/dev/null |
		grep -acFf "$t_tmp/value")" 0
	wait "$pid"
	t_is 'secrets: exit' $? 0
	t_match 'secrets in arguments are refused' "$(cat "$out")" \
		'refused*holds a secret*23*refused*holds a secret*refused*holds a secret*'
	t_is 'no argument of what was executed held it' "$(grep -cF "$value" \
		"$t_tmp/trace")" 0
	t_ok 'though it was traced' grep -q 'execve(.*"exec".*TOKEN' "$t_tmp/trace"
	t_is 'nor does what opsh says and keeps' "$(grep -rlF "$value" "$out" "$err" \
		"$XDG_STATE_HOME" | wc -l)" 0
}

services_on_compose() {
	if [ "$(id -u)" -ne 0 ] || ! command -v dockerd >/dev/null; then
		t_fail 'a Docker engine needs root and dockerd'
		return
	fi
	"$t_stack" up "$t_tmp/docker" docker || { t_fail 'docker is up'; return; }
	set -a
	# shellcheck source=/dev/null
	. "$t_tmp/docker/env"
	set +a
	compose_targets
	compose_found_and_restarted
	compose_port_taken
	compose_restarted_by_guard
	compose_scaled
	compose_rolled
	compose_roll_stops
	compose_logs
	compose_resources
	compose_plans
	compose_secrets
	"$t_stack" down "$t_tmp/docker"
	unset OPSH_TARGETS
}
