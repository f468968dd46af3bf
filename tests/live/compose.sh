#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # code for eval; names of test.sh;
# functions called by name
# compose.sh: the orchestrator on a real Docker engine. Each command that runbooks
# write with docker-compose and docker is run, then its call of opsh from the same
# state: the effects, or what is printed, must be the same. Then what only opsh
# promises: exit codes, stdin, waits, Ctrl-C, a plan that changes nothing. Owns a
# throwaway engine; must be root.
#     compose.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
out=$t_tmp/out err=$t_tmp/err
unset DOCKER_HOST DOCKER_CONTEXT COMPOSE_FILE COMPOSE_PROJECT_NAME
export XDG_STATE_HOME=$t_tmp/state

D() {
	DOCKER_HOST=$OPSH_DOCKER_HOST timeout 60 docker "$@"
}

# C ARG...: the project as people drive it, from its folder.
C() {
	(cd "${OPSH_COMPOSE_FILE%/*}" && DOCKER_HOST=$OPSH_DOCKER_HOST timeout 100 \
		"${compose[@]}" -p "$OPSH_COMPOSE_PROJECT" "$@" </dev/null 2>"$t_tmp/c.err")
}

# o CODE: a script of opsh, all guards approved; its output in $out and $err, its exit
# code in $rc. `o` is the orchestrator in it, `docker` its engine.
o() {
	{
		echo 'local o, docker = orchestrator, require("opsh.docker").of {'
		echo "docker_host = '$OPSH_DOCKER_HOST' } local _ = docker"
		printf '%s\n' "$1"
	} >"$t_tmp/code.lua"
	timeout -k 1 100 "$opsh" run --approve orchestrator --approve local \
		${o_mode:+"$o_mode"} "$t_tmp/code.lua" </dev/null >"$out" 2>"$err"
	rc=$?
}

# state: a line a container: service, number, id, state, start, image.
state() {
	local label='index .Config.Labels "com.docker.compose'
	D ps -aq --filter "label=com.docker.compose.project=$OPSH_COMPOSE_PROJECT" |
		xargs -r env DOCKER_HOST="$OPSH_DOCKER_HOST" docker inspect -f \
		"{{$label.service\"}}.{{$label.container-number\"}} {{.Id}} \
{{.State.Running}} {{.State.StartedAt}} {{.Config.Image}}" |
		sort
}

# effect BEFORE AFTER: what became of each container, in words.
effect() {
	join -a1 -a2 -e- -o 0,1.2,1.3,1.4,2.2,2.3,2.4,2.5 "$1" "$2" |
		while read -r name id1 run1 at1 id2 run2 at2 image; do
			if [ "$id2" = - ]; then echo "$name removed"
			elif [ "$id1" = - ]; then echo "$name made $run2 $image"
			elif [ "$id1" != "$id2" ]; then echo "$name replaced $run2 $image"
			elif [ "$run1$run2" = truefalse ]; then echo "$name stopped"
			elif [ "$run1$run2" = falsetrue ]; then echo "$name started"
			elif [ "$at1" != "$at2" ]; then echo "$name restarted"
			fi
		done | paste -sd, -
}

# steady [STATE]: everything runs; with `stopped`, all but the cache are stopped;
# with `none`, there is nothing.
steady() {
	case ${1:-up} in
	none) C down -t 1 ;;
	*) C up -d --scale worker=1 || { cat "$t_tmp/c.err"; exit 1; } ;;
	esac
	[ "${1:-}" != stopped ] || C stop -t 1 gateway worker
}

# same STATE 'COMMAND' 'CODE' [WANTED]: from this state, the command of people and the
# call of opsh have the same effect (and it is WANTED).
same() {
	local theirs ours
	steady "$1"
	state >"$t_tmp/before"
	# shellcheck disable=SC2086 # words on purpose
	C $2 >"$t_tmp/c.out" || t_fail "$2" "$(cat "$t_tmp/c.err")"
	state >"$t_tmp/after"
	theirs=$(effect "$t_tmp/before" "$t_tmp/after")
	steady "$1"
	state >"$t_tmp/before"
	o "$3"
	t_is "$3: exit" "$rc $(cat "$err")" '0 '
	state >"$t_tmp/after"
	ours=$(effect "$t_tmp/before" "$t_tmp/after")
	t_is "'$2' and '$3'" "$ours" "$theirs"
	t_match "'$2' has an effect" "$theirs" "${4:-?*}"
}

# --- commands that change ------------------------------------------------------------
restarts() {
	same up 'restart -t 1 worker' 'o:restart("worker", { grace = 1 })' \
		'worker.1 restarted'
	same up 'restart -t 1' 'o:restart(nil, { grace = 1 })' \
		'cache.1 restarted,gateway.1 restarted,worker.1 restarted'
	same up 'stop -t 1 gateway worker' 'o:stop({ "gateway", "worker" })' \
		'gateway.1 stopped,worker.1 stopped'
	same up 'stop -t 1' 'o:stop(nil, { grace = 1 })'
	same stopped 'start gateway worker' 'o:start { "gateway", "worker" }' \
		'gateway.1 started,worker.1 started'
	same stopped 'up -d' 'o:up()' 'gateway.1 started,worker.1 started'
	same none 'up -d' 'o:up()' 'cache.1 made*gateway.1 made*worker.1 made*'
	same none 'up -d cache' 'o:up "cache"' 'cache.1 made true*'
	same none 'up -d' 'o:start()' 'cache.1 made*gateway.1 made*worker.1 made*'
	same up 'down -t 1' 'o:down { grace = 1 }' \
		'cache.1 removed,gateway.1 removed,worker.1 removed'
	same up 'down -v -t 1' 'o:down { volumes = true, grace = 1 }'
	same up 'kill -s KILL worker' 'o:kill "worker"' 'worker.1 stopped'
	same stopped 'rm -f worker' 'o:rm "worker"' 'worker.1 removed'
	same up 'up -d --force-recreate --no-deps worker' \
		'o:up("worker", { force_recreate = true, no_deps = true })' \
		'worker.1 replaced*'
}

scales() {
	same up 'up -d --scale worker=3' 'o:up(nil, { scale = { worker = 3 } })' \
		'worker.2 made*worker.3 made*'
	steady
	o 'o:scale("worker", 3) print(#o:status "worker")'
	t_is 'scale to 3' "$rc $(cat "$out")" '0 3'
	o 'o:restart("worker", { grace = 1 }) print(#o:status "worker")
		print(o:rollout_status("worker").message)'
	t_is 'restart keeps them' "$(cat "$out")" "3
3 of 3 ready, 3 of the current definition"
	timeout -k 1 60 "$opsh" -e 'orchestrator:scale("worker", 1)' </dev/null \
		>"$out" 2>"$err"
	t_is 'scale to fewer wants a guard' $? 14
	t_is 'and nothing was done' "$(state | grep -c ^worker)" 3
	o 'o:scale("worker", 1) print(#o:status "worker")'
	t_is 'scale to 1' "$rc $(cat "$out")" '0 1'
	o 'o:scale("worker", 0) print(o:status("worker")[1].state)'
	t_is 'scale to 0' "$rc $(cat "$out")" '0 missing'
}

# --- commands that print ---------------------------------------------------------------
prints() {
	steady
	o 'for _, r in ipairs(o:status()) do print(r.name, r.state, r.health) end'
	t_is 'ps' "$(cut -f1 "$out" | sort)" "$(D ps -a --format '{{.Names}}' | sort)"
	t_is 'ps: health' "$(cut -f2,3 "$out" | paste -sd,)" \
		'running	healthy,running	healthy,running	nil'
	o 'print(o:status("cache")[1].name)'
	t_is 'ps cache' "$(cat "$out")" "$(D ps --format '{{.Names}}' --filter \
		label=com.docker.compose.service=cache)"
	o 'print(docker:inspect(o:status("gateway")[1].name)[1].State.Health.Status)'
	t_is "inspect --format='{{.State.Health.Status}}'" "$(cat "$out")" \
		"$(D inspect --format='{{.State.Health.Status}}' \
		"$(D ps -q --filter label=com.docker.compose.service=gateway)")"
	o 'for _, r in ipairs(o:top()) do print(r.service, r.memory > 10000,
		r.cpu >= 0, r.memory_limit) end'
	t_is 'stats' "$(sort "$out" | tr '\t' ' ' | paste -sd,)" \
		'cache true true nil,gateway true true nil,worker true true nil'
	o 'print(docker:info().ID, docker:id())'
	t_is 'info' "$(cat "$out")" "$(D info -f '{{.ID}}')	$(D info -f '{{.ID}}')"
	o 'for _, r in ipairs(docker:df()) do print(r.type, r.total) end'
	t_is 'system df' "$(cat "$out")" \
		"$(D system df --format '{{.Type}}	{{.TotalCount}}')"
	o 'print(o:config_check().ok)'
	C config --quiet
	t_is 'config --quiet' "$? $(cat "$out")" '0 true'
	o 'for _, name in ipairs(o:services()) do print(name) end'
	t_is 'config --services' "$(cat "$out")" "$(C config --services | sort)"
	o 'print(o:exec("gateway", { "env" }, { effect = "read" })
		.stdout:match "RATE_LIMIT=%d+")'
	t_is 'exec gateway env | grep RATE_LIMIT' "$(cat "$out")" \
		"$(C exec -T gateway env | grep RATE_LIMIT)"
	definitions
}

definitions() {
	o 'local d = o:definition "gateway"
		print(d.image, d.replicas, d.depends[1], d.health_check)
		print(d.env.PORT, d.env.FEATURE_FLAGS, d.env.NONE)'
	t_is 'definition' "$(cat "$out")" \
		"opsh-stack/app:1	1	cache	true
true	false	nil"
	t_match 'no value is shown' "$(cat "$out" "$err")" '*'
	echo 'services: [' >"$t_tmp/broken.yml"
	timeout -k 1 30 "$opsh" --target "x=compose:$t_tmp/broken.yml" \
		-e 'x:config_check()' </dev/null >"$out" 2>"$err"
	t_match 'a broken file' "$? $(cat "$err")" "2 *broken.yml' is wrong:*"
}

# texts SERVICE...: what people see of the logs, without prefix, sorted.
texts() {
	C logs --no-color --no-log-prefix "$@" | grep -v '^Attaching to' | sort
}

logs() {
	local n
	steady
	C stop -t 1		# nothing is written from now on
	o 'for l in o:logs() do print(l.text) end'
	t_is 'logs --no-log-prefix' "$(sort "$out")" "$(texts)"
	t_ok 'which is not nothing' grep -q 'Ready to accept' "$out"
	o 'for l in o:logs "gateway" do print(l.text) end'
	t_is 'logs gateway' "$(sort "$out")" "$(texts gateway)"
	t_ok 'stdout and stderr' test "$(grep -c 'INFO gateway\|WARN rate' "$out")" -ge 2
	o 'for l in o:logs(nil, { tail = 5 }) do print(l.text) end'
	t_is 'logs --tail=5' "$(sort "$out")" "$(texts --tail=5)"
	o 'for l in o:logs("worker", { tail = 20 }) do
		if l.text:find "tick" then print(l.text) end end'
	t_is 'logs worker | grep tick | tail' "$(sort "$out")" \
		"$(texts --tail=20 worker | grep tick)"
	o 'local last = 0 for l in o:logs() do assert(l.time >= last) last = l.time end
		print(last > 0)'
	t_is 'logs of all are merged by time' "$rc $(cat "$out")" '0 true'
	o 'for l in o:logs(nil, { since = 0 }) do print(l.text) end'
	t_is 'logs since now' "$rc $(cat "$out")" '0 '
	steady
	o 'local n = 0
		for l in o:logs("worker", { previous = true }) do n = n + 1 last = l.text end
		print(n > 0, last)'
	n=$(D ps -q --filter label=com.docker.compose.service=worker)
	# by what it writes first: the engine's time of its start may be later
	t_is 'logs of before the last start' "$(cat "$out")" "true	$(D logs "$n" 2>&1 |
		awk '/worker tick 1$/ { last = before } { before = $0 } END { print last }')"
	follow
}

follow() {
	local pid n
	echo 'for l in orchestrator:logs({ "worker", "gateway" }, { follow = true,
		tail = 2 }) do print(l.service, l.text) io.stdout:flush() end' \
		>"$t_tmp/follow.lua"
	set -m
	timeout -k 1 60 "$opsh" run "$t_tmp/follow.lua" </dev/null >"$out" 2>"$err" &
	pid=$!
	set +m
	t_reap "$pid"
	t_ok 'logs -f: lines come' t_within 20 eval \
		'[ "$(grep -c "^worker.*tick" "$t_tmp/out")" -gt 5 ]'
	C restart -t 1 worker
	n=$(grep -c tick "$out")
	t_ok 'logs -f: also after a restart' t_within 20 eval \
		"[ \"\$(grep -c tick '$out')\" -gt $((n + 5)) ]"
	t_ok 'both services' grep -q '^gateway' "$out"
	kill -INT -- "-$pid"
	wait "$pid"
	t_is 'logs -f: Ctrl-C' $? 130
	t_is 'no process is left' "$(pgrep -af -- 'logs .*--follow')" ''
}

# --- exec ---------------------------------------------------------------------------------
execs() {
	local cache
	steady
	cache=$(D ps --format '{{.Names}}' --filter \
		label=com.docker.compose.service=cache)
	R() {
		D exec "$cache" redis-cli -p "$OPSH_DOCKER_CACHE_PORT" "$@"
	}
	R set flights::UAL1 x >/dev/null
	o 'print((o:exec("cache", { "redis-cli", "-p", os.getenv
		"OPSH_DOCKER_CACHE_PORT", "keys", "flights::*" }, { effect = "read" })
		.stdout))'
	t_is 'exec redis-cli keys' "$(head -n 1 "$out")" "$(R keys 'flights::*')"
	o 'local r = docker:exec(o:status("cache")[1].name, { "redis-cli", "-p",
		os.getenv "OPSH_DOCKER_CACHE_PORT", "del", "flights::UAL1" })
		print(r.ok, (r.stdout:gsub("%s", "")))'
	t_is 'docker exec redis-cli del' "$(cat "$out")" 'true	1'
	t_is 'it is gone' "$(R exists flights::UAL1)" 0
	timeout -k 1 30 "$opsh" -e 'orchestrator:exec("cache", { "redis-cli" })' \
		</dev/null >"$out" 2>"$err"
	t_is 'exec that is not declared wants a guard' $? 14
	o 'local r = o:exec("gateway", { "sh", "-c", "exit 7" }, { effect = "read",
		accept = true }) print(r.status)'
	t_is 'exit code' "$(cat "$out")" 7
	o 'o:exec("gateway", { "sh", "-c", "echo no >&2; exit 7" })'
	t_match 'exit code raises' "$rc $(cat "$err")" '1 *no*'
	o 'print((o:exec("gateway", { "cat" }, { effect = "read",
		stdin = "a\0b\n" .. ("x"):rep(200000) }).stdout:len()))'
	t_is 'exec -i < file' "$(cat "$out")" 200004
	head -c 300000 /dev/urandom >"$t_tmp/blob"
	o "o:exec('gateway', { 'sh', '-c', 'cat >/tmp/blob' }, { effect = 'write',
		stdin = { file = '$t_tmp/blob' } })
		o:exec('gateway', { 'cat', '/tmp/blob' }, { effect = 'read',
		stdout = { file = '$t_tmp/blob2' } })"
	t_ok 'exec pg_dump > file' cmp "$t_tmp/blob" "$t_tmp/blob2"
	o "o:cp('gateway:/tmp/blob', '$t_tmp/blob3') o:cp('$t_tmp/blob3',
		'worker:/tmp/copy')"
	t_ok 'cp out' cmp "$t_tmp/blob" "$t_tmp/blob3"
	t_is 'cp in' "$(C exec -T worker sha256sum /tmp/copy | cut -c1-64)" \
		"$(sha256sum "$t_tmp/blob" | cut -c1-64)"
	o 'print((o:exec("worker", { "sh", "-c", "echo $A; pwd" }, { effect = "read",
		env = { A = "$(x) y" }, cwd = "/tmp" }).stdout))'
	t_is 'environment and folder' "$(head -n 2 "$out")" '$(x) y
/tmp'
	o 'o:exec("worker", { "true" }, { env = { A = 1 } })'
	t_is 'a value that is none' "$rc" 2
	backup
}

backup() {
	D volume create shop_data >/dev/null
	D run --rm --network none -v shop_data:/data opsh-stack/app:1 \
		sh -c 'echo kept >/data/x'
	o "docker:run('opsh-stack/app:1', { 'tar', 'czf', '/backup/b.tgz', '/data' },
		{ volumes = { 'shop_data:/data', '$t_tmp:/backup' }, network = 'none' })"
	t_is 'run --rm -v ... tar czf' "$(tar xzOf "$t_tmp/b.tgz" data/x)" kept
	C stop -t 1 worker
	o 'docker:prune { volumes = true }'
	t_is 'system prune: exit' "$rc" 0
	t_is 'removes what is stopped' "$(state | grep -c ^worker)" 0
	t_is 'and volumes' "$(D volume ls -q)" ''
}

# --- images, builds -----------------------------------------------------------------------
changes() {
	local over=${OPSH_COMPOSE_FILE%/*}/docker-compose.override.yml
	steady
	o 'o:set_image("worker", "opsh-stack/app:2")
		print(o:status("worker")[1].image, o:rollout_status("worker").done)'
	t_is 'set_image' "$rc $(cat "$out")" '0 opsh-stack/app:2	true'
	t_is 'others are left' "$(state | awk '/^gateway/ { print $5 }')" \
		opsh-stack/app:1
	C up -d
	t_is 'what people type sees it' "$(state | awk '/^worker/ { print $5 }')" \
		opsh-stack/app:2
	o 'o:set_env("gateway", { RATE_LIMIT = "5$0", NEW = "a: b" })
		require("opsh.orchestrator").wait_ready(o, "gateway")
		print((o:exec("gateway", { "sh", "-c", "echo $RATE_LIMIT $NEW $PORT" },
		{ effect = "read" }).stdout))'
	t_is 'set_env' "$rc $(head -n 1 "$out")" "0 5\$0 a: b $OPSH_DOCKER_GATEWAY_PORT"
	o 'o:set_image("worker", "nothing/like-it:1")'
	t_is 'an image that is not there: exit' "$rc" 1
	t_is 'the file is as it was' "$(grep -c like-it "$over")" 0
	t_is 'so is the container' "$(state | awk '/^worker/ { print $3, $5 }')" \
		'true opsh-stack/app:2'
	o 'o:undo "worker" o:undo "gateway"'
	t_is 'undo: exit' "$rc" 0
	t_is 'undo' "$(state | awk '/^worker/ { print $5 }')" opsh-stack/app:1
	t_ok 'nothing is laid over' test ! -e "$over"
	o 'o:undo "worker"'
	t_is 'nothing to undo' "$rc" 3
	builds
}

builds() {
	local dir=$t_tmp/built
	mkdir "$dir"
	printf 'FROM opsh-stack/app:1\nCMD ["worker"]\n' >"$dir/Dockerfile"
	printf 'services:\n  job:\n    build: .\n    image: built:1\n    network_mode: host\n' \
		>"$dir/docker-compose.yml"
	o_target="job=compose:$dir/docker-compose.yml"
	echo "local job = system.target 'job' job:build(nil, { no_cache = true })
		job:up(nil, { build = true }) print(job:status()[1].state)
		job:down { grace = 1 }" >"$t_tmp/build.lua"
	DOCKER_HOST=$OPSH_DOCKER_HOST DOCKER_BUILDKIT=0 timeout -k 1 60 "$opsh" run \
		--target "$o_target" --approve job "$t_tmp/build.lua" </dev/null \
		>"$out" 2>"$err"
	t_is 'build --no-cache, up -d --build' "$? $(cat "$out" "$err")" '0 running'
	t_is 'the image is there' "$(D images -q built:1 | wc -l)" 1
}

# --- what only opsh promises -----------------------------------------------------------------
healthy() {
	local n
	steady
	o 'local w = require("opsh.orchestrator").wait_ready
		o:exec("gateway", { "rm", "/www/health" })
		repeat task.sleep(0.2) local r = o:status("gateway")[1] until not r.ready
		print(o:status("gateway")[1].reason)
		local ok, e = pcall(w, o, "gateway", { timeout = 1 })
		print(ok, e.kind, e.message)
		o:up("gateway", { force_recreate = true, no_deps = true })
		print(w(o, { "gateway", "cache" }, { timeout = 20 }) > 0)'
	t_match 'health wait' "$rc $(cat "$out")" '0 Unhealthy
false	timeout	not ready within 1 s:*gateway*unhealthy*
true'
	o 'o:exec("worker", { "touch", "/tmp/crash" })
		local r
		repeat task.sleep(0.1) r = o:status("worker")[1] until not r.ready
		print(r.state, r.exit_code, r.reason)
		local seen
		for _ = 1, 20 do
			for _, e in ipairs(o:events("worker", { since = 60 })) do
				if e.reason == "die" and e.type == "Warning" then
					seen = e.type .. " " .. e.message
				end
			end
			if seen then break end
			task.sleep(0.2)
		end
		print(seen)'
	t_is 'a crash is seen' "$(cat "$out" "$err")" 'failed	3	Error
Warning container die with exit code 3'
	n=$(D ps -q --filter label=com.docker.compose.service=cache)
	D rm -f "$n" >/dev/null
	o 'print(o:status("cache")[1].state)
		local ok, e = pcall(o.exec, o, "cache", { "true" }) print(ok, e.kind)'
	t_is 'missing' "$(cat "$out")" 'missing
false	check'
}

# Everything that writes, in a plan: the engine's own events are the witness.
plans() {
	local since until
	steady
	state >"$t_tmp/before"
	# the next second: what came before is none of the plan's
	since=$(($(date +%s) + 1))
	t_within 3 eval '[ "$(date +%s)" -ge "$since" ]'
	echo 'local o = orchestrator
		local x = { expect = { ok = true } }
		for _, verb in ipairs { "restart", "stop", "start", "kill", "rm", "up",
			"pull", "build" } do o[verb](o, "worker", x) end
		o:down(x) o:scale("worker", 3, x) o:scale("worker", 0, x)
		o:set_image("worker", "opsh-stack/app:2", x)
		o:set_env("gateway", { A = "1" }, x)
		o:exec("worker", { "touch", "/tmp/x" }, x)
		o:cp("worker:/bin/worker", "/tmp/opsh-none", x)
		local n = 0 for _ in o:logs("cache") do n = n + 1 end
		assert(n > 0 and #o:status() == 3 and #o:top() == 3)
		o:rollout_status "worker" o:config_check()' >"$t_tmp/plan.lua"
	timeout -k 1 60 "$opsh" plan "$t_tmp/plan.lua" </dev/null >"$out" 2>"$err"
	t_is 'plan: exit' "$? $(tail -n 3 "$err" | grep opsh:)" '0 '
	t_match 'plan: lists them' "$(cat "$out")" '*restart*stop*start*kill*rm*up*pull*'
	t_match 'plan: and the others' "$(cat "$out")" \
		'*build*down*scale*image*up*environment*up*exec*cp*'
	until=$(date +%s)
	t_is 'plan: no event but those of health checks' "$(D events --since "$since" \
		--until "$((until + 1))" --format '{{.Type}} {{.Action}}' |
		grep -v '^container exec_\|^container health_status')" ''
	state >"$t_tmp/after"
	t_ok 'plan: containers are as they were' cmp "$t_tmp/before" "$t_tmp/after"
	t_ok 'plan: no file was written' test ! -e \
		"${OPSH_COMPOSE_FILE%/*}/docker-compose.override.yml"
	t_is 'plan: no file in a container' "$(C exec -T worker ls /tmp)" ''
}

interrupted() {
	local pid
	steady
	C exec -T gateway true
	echo 'orchestrator:exec("worker", { "sleep", "50" }, { effect = "read" })' \
		>"$t_tmp/sleep.lua"
	set -m
	timeout -k 1 60 "$opsh" run "$t_tmp/sleep.lua" </dev/null >"$out" 2>"$err" &
	pid=$!
	set +m
	t_reap "$pid"
	t_ok 'exec runs' t_within 10 pgrep -f 'docker exec .* sleep 50'
	kill -INT -- "-$pid"
	wait "$pid"
	t_is 'Ctrl-C in an exec' $? 130
	t_is 'no process of docker is left' "$(pgrep -af 'docker exec .* sleep 50')" ''
	echo 'orchestrator:restart("worker", { grace = 20 })' >"$t_tmp/slow.lua"
	C exec -T worker sh -c 'kill -STOP 1' || :
	timeout -k 1 60 "$opsh" -e 'orchestrator:status "nosuch"' </dev/null >"$out" \
		2>"$err"
	t_match 'a service that is not there' "$? $(cat "$err")" \
		"2 *there is no service 'nosuch'*cache, gateway, worker*"
	timeout -k 1 30 "$opsh" --target x="compose:$OPSH_COMPOSE_FILE" -e \
		'x:restart()' </dev/null >"$out" 2>"$err"
	t_match 'no engine' "$? $(cat "$err")" '4 *cannot reach the Docker engine*'
}

t_up docker
if docker compose version >/dev/null 2>&1; then
	compose=(docker compose)
else
	compose=(docker-compose)
fi
echo "compose: ${compose[*]} $("${compose[@]}" version --short)"
if [ $# -eq 0 ]; then
	set -- restarts scales prints logs execs changes healthy plans interrupted
fi
for test; do
	"$test"
done
t_done
