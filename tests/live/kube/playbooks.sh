# shellcheck shell=bash disable=SC2016,SC2154 # Lua in quotes; names of the test
# playbooks.sh: the playbooks of services/ on a cluster: what is broken told apart by
# its cause, plans that change nothing, restarts and rollouts as they are asked for,
# Ctrl-C while one waits. Sourced by kubernetes.sh; must not run alone.

# p NAMESPACE COMMAND PLAYBOOK ARG...: opsh run or plan on the services of a
# namespace; output in $out and $err, exit code in $rc.
p() {
	local ns=$1 verb=$2 name=$3
	shift 3
	system "$ns"
	as_is "$verb" "services/$name" "$@"
}

# system NAMESPACE [KUBECONFIG]: its targets file has the services, too.
system() {
	local services='saga = {}, postgres = {}, fluentd = {}'
	[ "$1" != broken ] || services='crash = {}, hungry = {}, noimage = {},
		toobig = {}, noconfig = {}, unready = {}'
	targets "$1" "${2:-$OPSH_KUBECONFIG}"
	sed -i "s/cluster = {/orchestrator = {/
		s/^return {/& services = { ${services//$'\n'/} },/" "$t_tmp/opsh.lua"
}

# says NAME PATTERN: in what it printed, blanks put together.
says() {
	t_match "$1" "$(tr -s ' ' <"$out")" "$2"
}

exits() {
	t_is "exit code: $1" "$rc" "$2"
	[ "$rc" -eq "$2" ] || cat "$out" "$err" >&2
}

# --- told apart -----------------------------------------------------------------------

crash_waits() {
	p broken run health
	grep -q '^crash *down *CrashLoopBackOff' "$out"
}

playbooks_tell_apart() {
	t_within 60 crash_waits || t_fail 'health: a crash' "$(cat "$out" "$err")"
	exits 'health of what is broken' 1
	says 'health: the verdict' \
		'6 of 6 down: crash, hungry, noconfig, noimage, toobig, unready*'
	says 'health: memory' '*hungry down OOMKilled, * restarts*'
	says 'health: configuration' '*noconfig down CreateContainerConfigError *'
	says 'health: an image' '*noimage down *ImagePull*'
	says 'health: no room' '*toobig down Unschedulable *'
	says 'health: a probe' '*unready down NotReady *'
	p broken run triage
	exits 'triage of what is broken' 0
	says 'triage: a crash' '*crash down crash it crashes at its start, again and '`
		`'again: exit code 3; last error: cannot bind *services/logs*'
	says 'triage: memory' "*hungry down memory it was killed for its memory \
(OOMKilled): the limit is 16 MiB *services/resources only=hungry*"
	says 'triage: configuration' "*noconfig down config its container can't be \
made: secret \"absent\" not found *"
	says 'triage: an image' "*noimage down image the image can't be pulled: \
*localhost:9/absent:1*"
	says 'triage: no room' \
		'*toobig down schedule no node takes it: *Insufficient cpu*'
	says 'triage: a probe' "*unready down probe it runs, and its probe says that it \
is not well: Readiness probe failed*"
	says 'triage: the log of the run before' '*crash log * cannot bind*'
	says 'triage: the event' '*crash event *BackOff*'
	p broken run triage service=toobig
	says 'triage of one' 'begin with toobig: most likely: no node takes it: *'
	p fleet run triage
	says 'triage of what is well' 'nothing is down: all 3 up*'
}

# --- plans ----------------------------------------------------------------------------

# planned SENDS ARG...: the plan exits 0 and says what it would send.
planned() {
	local sends=$1
	shift
	p fleet plan "$@"
	exits "plan of $*" 0
	t_match "plan of $*: what it would send" "$(cat "$out" "$err")" "*$sends*"
}

playbooks_plan() {
	local restart='kubectl -n fleet rollout restart deployment/saga*1 write withheld'
	versions >"$t_tmp/before"
	planned "$restart" restart service=saga
	planned "$restart" rolling-restart service=saga
	planned 'scale deployment/saga --replicas=3*1 write withheld' \
		scale service=saga replicas=3
	planned 'scale deployment/saga --replicas=1*1 write withheld' \
		scale service=saga replicas=1
	planned 'to stderr*nothing to write' logs service=saga
	planned 'nothing to write' resources
	planned 'nothing to write' triage
	versions >"$t_tmp/after"
	t_ok 'the plans have changed nothing' diff "$t_tmp/before" "$t_tmp/after"
	t_ok 'pods were compared' grep -q '^Pod saga' "$t_tmp/before"
}

# --- driven ---------------------------------------------------------------------------

sagas() {
	k -n fleet get pods -l app=saga --field-selector=status.phase=Running -o name |
		sort
}

# renewed NAME BEFORE: none of the pods is one of those.
renewed() {
	t_is "$1" "$(sagas | grep -cxF "$2")" 0
}

playbooks_drive() {
	local before
	before=$(sagas)
	p fleet run restart service=saga watch=0
	exits 'a restart needs a guard' 14
	t_is 'nothing was restarted' "$(sagas)" "$before"
	p fleet run restart service=saga watch=0 --approve orchestrator
	exits 'restart' 0
	says 'before and after' '*saga 2 ready (2 of 2 ready) 2 ready (2 of 2 ready)*'
	ready fleet
	renewed 'every pod was restarted' "$before"
	before=$(sagas)
	p fleet run rolling-restart service=saga watch=0
	exits 'a rolling restart leaves instances: no guard' 0
	says 'none that leaves is counted' '*2 ready (2 of 2 ready)*'
	p fleet run scale service=saga replicas=3 watch=0
	exits 'scale up, while those before still leave' 0
	says 'three' '*saga 2 ready (2 of 2 ready) 3 ready (3 of 3 ready)*'
	renewed 'every pod was rolled' "$before"
	p fleet run scale service=saga replicas=2 watch=0
	exits 'scale down needs a guard' 14
	p fleet run scale service=saga replicas=2 watch=0 --approve orchestrator
	exits 'scale down' 0
	t_is 'two' "$(k -n fleet get deploy saga -o jsonpath='{.spec.replicas}')" 2
	p fleet run logs service=saga tail=0
	exits 'logs' 0
	t_is 'lines of both pods' "$(grep -c 'line 5' "$out")" 2
	p fleet run resources
	exits 'resources' 0
	p fleet run health
	exits 'all well' 0
	p fleet run restart service=sago --approve orchestrator
	exits 'a service that is not there' 3
}

# The front breaks when the rollout of saga begins: it is taken back.
rollout_is_undone() {
	local was port pid
	mkdir "$t_tmp/front"
	echo '{"status":"UP"}' >"$t_tmp/front/health"
	port=$(free_port)
	python3 -m http.server "$port" --bind 127.0.0.1 --directory "$t_tmp/front" \
		>/dev/null 2>&1 &
	t_reap $!
	disown
	t_ok 'the front is up' t_within 10 curl -sfo /dev/null \
		"http://127.0.0.1:$port/health"
	was=$(template)
	system fleet
	sed -i "s|targets = {|& front = 'http://127.0.0.1:$port',|
		s|services = {|& front = { target = 'front', health = '/health' },|" \
		"$t_tmp/opsh.lua"
	(
		t_within 30 eval '[ "$(template)" != "$was" ]'
		rm "$t_tmp/front/health"
	) &
	pid=$!
	as_is run services/rolling-restart service=saga watch=2s timeout=40s
	wait "$pid"
	exits 'a rollout that makes it worse' 15
	t_match 'it says so' "$(cat "$err")" '*the rollout was undone*'
	t_is 'it is what it was' "$(template)" "$was"
}

template() {
	k -n fleet get deploy saga -o jsonpath='{.spec.template}'
}

# --- Ctrl-C ---------------------------------------------------------------------------

has_output() {
	[ -s "$t_tmp/follow" ]
}

rolls() {
	grep -q 'instances are' "$err"
}

# A rollout that never ends is waited for: by the call, and by a playbook.
waits_end() {
	targets broken "$OPSH_KUBECONFIG"
	interrupted 'a rollout that is waited for' has_output -e \
		'cluster:rollout_status("unready", { wait = true, on_wait = function(text)
		print(text) io.stdout:flush() end })'
	system broken
	interrupted 'a rolling restart that hangs' rolls --approve orchestrator \
		run services/rolling-restart service=unready watch=0
}
