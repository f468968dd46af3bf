#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154,SC2317 # Lua in quotes; names of test.sh;
# functions called by name
# kubernetes.sh: kind kubernetes on a real cluster: what status tells apart, logs,
# commands in pods, rollouts, nodes, rights, plans; and the commands of the
# runbooks, each beside the call that takes its place. One cluster for all, a
# namespace a test. Where there is no Go of a fit version it says so and is skipped.
#     kubernetes.sh [FUNCTION...]      all of them, or these

# shellcheck source=../lib/test.sh
. "$(dirname -- "$0")/../lib/test.sh"
# shellcheck source=kube/twins.sh
. "$t_root/tests/live/kube/twins.sh"
# shellcheck source=kube/playbooks.sh
. "$t_root/tests/live/kube/playbooks.sh"

opsh=${OPSH:-$t_root/build/release/opsh}
files=$t_root/tests/live/kube
out=$t_tmp/out err=$t_tmp/err
[ -x "$opsh" ] || { echo "'$opsh' is not built" >&2; exit 1; }
export XDG_STATE_HOME=$t_tmp/state HOME=$t_tmp

# Is there a Go that can build the cluster?
fit_go() {
	local have
	need=$(sed -n 's/^go //p' "$t_root/examples/stack/kube/go.mod")
	have=$(cd / && go env GOVERSION 2>/dev/null) && have=${have#go} &&
		printf '%s\n' "$need" "${have%%[!0-9.]*}" | sort -CV
}

if ! fit_go; then
	echo "skipped: kubernetes needs Go $need to build its cluster, there is none"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi

# --- helpers ------------------------------------------------------------------

k() {
	timeout 60 "$OPSH_KUBECTL" --kubeconfig "$OPSH_KUBECONFIG" "$@"
}

# o NAMESPACE ARG...: opsh with `cluster`, its output in $out and $err, its exit
# code in $rc.
o() {
	targets "$1" "$OPSH_KUBECONFIG"
	shift
	as_is "$@"
}

# as_is ARG...: as o, with the targets as they are.
as_is() {
	timeout -k 1 120 "$opsh" --targets "$t_tmp/opsh.lua" "$@" \
		</dev/null >"$out" 2>"$err"
	rc=$?
}

# targets NAMESPACE KUBECONFIG
targets() {
	cat >"$t_tmp/opsh.lua" <<-LUA
		return { targets = { cluster = { kind = "kubernetes",
		  kubeconfig = "$2", kubectl = "$OPSH_KUBECTL", namespace = "$1",
		  timeout = 20 } } }
	LUA
}

# lua NAMESPACE CODE: what the code prints; one that fails is a failed test.
lua() {
	o "$1" --approve cluster -e "$2"
	[ "$rc" -eq 0 ] || t_fail "exit $rc of: $2" "$(cat "$err")"
	cat "$out"
}

# space NAME [FILE]: a namespace of its own; ready when its services are.
space() {
	k create namespace "$1" >/dev/null || exit 1
	[ -z "${2:-}" ] || k -n "$1" apply -f "$2" >/dev/null || exit 1
}

ready() {
	t_within 60 settled "$1" || t_fail "$1 is not ready" "$(k -n "$1" get pods)"
}

# Asked three times a second at most: the cluster needs the processor itself.
settled() {
	k -n "$1" get deploy,sts,ds,pods -o json | python3 -c '
import json, sys
want = have = pods = 0
for i in json.load(sys.stdin)["items"]:
    s = i["status"]
    if i["kind"] == "Pod":
        pods += 1
        continue
    want += s.get("desiredNumberScheduled", i["spec"].get("replicas", 0))
    have += s.get("numberReady", s.get("readyReplicas", 0))
    want += i["metadata"]["generation"] > s.get("observedGeneration", 0)
sys.exit(not want == have == pods)' || { sleep 0.3; return 1; }
}

free_port() {
	python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

first_pod() {
	k -n "$1" get pods -l "app=$2" -o jsonpath='{.items[0].metadata.name}'
}

# --- status -----------------------------------------------------------------------

reasons() {
	lua broken 'for _, r in ipairs(cluster:status()) do
		print(r.service, r.state, r.reason, r.ready, r.exit_code) end' | tr '\t' ' '
}

told_apart() {
	grep -qx 'crash restarting CrashLoopBackOff false 3' <<<"$1" &&
		grep -qx 'hungry restarting OOMKilled false 137' <<<"$1" &&
		grep -qx 'noimage failed ImagePullBackOff false nil' <<<"$1"
}

# It crashes, it waits, it crashes: the rows of a time when it waits. The engine may
# miss the kernel's word of one kill for memory (then it is a 137 like any other), and
# the next one is minutes away: a new pod has its own sooner.
told_by_now() {
	rows=$(reasons)
	told_apart "$rows" && return
	if grep -q '^hungry restarting CrashLoopBackOff false 137' <<<"$rows"; then
		k -n broken delete pod -l app=hungry --wait=false >/dev/null
		sleep 3
	fi
	return 1
}

# kubelet keeps one dead container: between two restarts there is none before it.
previous_there() {
	o broken -e 'for l in cluster:logs("crash", { previous = true }) do
		print(l.service, l.text) end'
	[ "$(tr '\t' ' ' <"$out")" = 'crash cannot bind' ]
}

status_tells_apart() {
	local rows
	t_within 90 told_by_now || :
	t_is 'a crash' "$(grep '^crash ' <<<"$rows")" \
		'crash restarting CrashLoopBackOff false 3'
	t_is 'out of memory' "$(grep '^hungry ' <<<"$rows")" \
		'hungry restarting OOMKilled false 137'
	t_match 'an image' "$(grep '^noimage ' <<<"$rows")" \
		'noimage failed *ImagePull* false nil'
	t_is 'no room' "$(grep '^toobig ' <<<"$rows")" \
		'toobig pending Unschedulable false nil'
	t_is 'configuration' "$(grep '^noconfig ' <<<"$rows")" \
		'noconfig failed CreateContainerConfigError false nil'
	t_is 'a probe' "$(grep '^unready ' <<<"$rows")" \
		'unready running NotReady false nil'
	t_match 'the message of the scheduler' "$(lua broken \
		'print(cluster:status("toobig")[1].message)')" '*Insufficient cpu*'
	t_match 'the event of the scheduler' "$(lua broken \
		'for _, e in ipairs(cluster:events("toobig")) do
		  print(e.type, e.reason, e.service) end')" *FailedScheduling*toobig*
	t_is 'what it names as its limit' "$(lua broken \
		'print(cluster:definition("hungry").limits.memory)')" 16777216
	# the log of the instance before, and of the one that is there
	t_within 30 previous_there || t_fail 'no log of the instance before' \
		"$(cat "$out" "$err")"
}

# --- logs ---------------------------------------------------------------------------

logs_are_lines() {
	local names
	names=$(k -n fleet get pods -l app=saga -o name | sed 's|pod/||' | sort)
	t_is 'lines of both pods' "$(lua fleet 'local n = 0
		for l in cluster:logs("saga", { tail = 2 }) do
		  assert(l.service == "saga" and l.time > 1e9) n = n + 1 end
		print(n)')" 4
	t_is 'names of both pods' "$(lua fleet 'for l in cluster:logs("saga",
		{ tail = 1 }) do print(l.name) end' | sort)" "$names"
	t_is 'text as kubectl has it' "$(lua fleet "for l in cluster:logs('saga',
		{ instance = '$(first_pod fleet saga)' }) do print(l.text) end")" \
		"$(k -n fleet logs "$(first_pod fleet saga)")"
	t_is 'since' "$(lua fleet 'local n = 0 for _ in cluster:logs("saga",
		{ since = 100000 }) do n = n + 1 end print(n)')" 12
	o fleet -e 'for _ in cluster:logs("saga", { previous = true }) do end'
	t_match 'no instance before' "$(cat "$err")" '*previous terminated*not found*'
}

followed() {
	grep -q '^saga' "$t_tmp/follow" && grep -q '^postgres' "$t_tmp/follow"
}

# interrupted NAME WHEN ARG...: opsh ARG, of the targets as they are, until WHEN;
# then Ctrl-C ends it in time, and no kubectl is left.
interrupted() {
	local name=$1 when=$2 pid began ms
	shift 2
	: >"$t_tmp/follow" >"$err"
	set -m
	"$opsh" --targets "$t_tmp/opsh.lua" "$@" >"$t_tmp/follow" 2>"$err" </dev/null &
	pid=$!
	set +m
	t_reap "$pid"
	t_within 20 "$when" || t_fail "$name: it never was" "$(cat "$err")"
	began=$(date +%s%N)
	kill -INT "$pid"
	wait "$pid"
	t_is "exit code of Ctrl-C: $name" $? 130
	ms=$((($(date +%s%N) - began) / 1000000))
	[ "$ms" -lt 1500 ] && t_pass || t_fail "Ctrl-C of $name took $ms ms"
	t_ok "no kubectl is left by Ctrl-C: $name" no_kubectl
}

# Ctrl-C while two services are followed; and a loop that is left.
follow_ends() {
	targets fleet "$OPSH_KUBECONFIG"
	interrupted 'logs that are followed' followed -e 'for l in cluster:logs(
		{ "saga", "postgres" }, { follow = true, tail = 3 }) do
		print(l.service, l.text) io.stdout:flush() end'
	t_is 'both are followed' "$(cut -f1 "$t_tmp/follow" | sort -u | tr '\n' ' ')" \
		'postgres saga '
	t_is 'a loop that is left' "$(lua fleet 'for l in cluster:logs("saga",
		{ follow = true }) do print(l.service) break end')" saga
	t_ok 'no kubectl is left by break' no_kubectl
}

no_kubectl() {
	t_within 2 no_kubectl_now
}

# All configurations are in t_tmp, so no other cluster's kubectl is seen.
no_kubectl_now() {
	! kubectl_runs
}

kubectl_runs() {
	pgrep -f -- "kubectl .*--kubeconfig $t_tmp/" >/dev/null
}

# --- commands in pods ---------------------------------------------------------------

exec_runs() {
	t_is 'its exit status' "$(lua fleet 'local r = cluster:exec("saga",
		{ "sh", "-c", "cat; echo no >&2; exit 7" }, { stdin = "in", accept = { 7 },
		effect = "read" }) print(r.status, r.stdout, r.stderr)' | tr '\t\n' '  ')" \
		'7 in no  '
	o fleet -e 'cluster:exec("saga", { "sh", "-c", "echo no >&2; exit 7" },
		{ effect = "read" })'
	t_match 'its failure' "$(cat "$err")" \
		"*server: 'sh' in pod 'saga-*' ended with status 7: no*code 7*"
	o fleet -e 'cluster:exec("saga", { "absent" }, { effect = "read" })'
	t_match 'a program that is not there' "$(cat "$err")" \
		'*executable file not found*'
	o fleet -e 'cluster:exec("saga", { "true" })'
	t_match 'destructive unless declared' "$(cat "$err")" \
		"*guard: 'exec' on 'cluster' is destructive*"
	printf 'a\0b\n' >"$t_tmp/bytes"
	t_is 'a file in, a file out' "$(lua fleet "cluster:exec('saga', { 'cat' },
		{ stdin = { file = '$t_tmp/bytes' }, stdout = '$t_tmp/back' })
		print 'done'")" 'done'
	t_ok 'every byte' cmp "$t_tmp/bytes" "$t_tmp/back"
	t_is 'hard arguments' "$(lua fleet 'print(cluster:exec("saga", { "printf",
		"%s|", "a b", "$(x)", "--", "q\"\x27", "" }, { effect = "read" }).stdout)')" \
		"a b|\$(x)|--|q\"'||"
}

# --- rights -------------------------------------------------------------------------

# A service account that may look at some things and change nothing.
restricted() {
	local token conf=$t_tmp/clerk.conf
	k -n fleet create serviceaccount clerk >/dev/null
	k -n fleet create role look --verb=get,list --resource=pods,deployments.apps \
		>/dev/null
	k -n fleet create rolebinding look --role=look --serviceaccount=fleet:clerk \
		>/dev/null
	token=$(k -n fleet create token clerk)
	sed "s|client-certificate-data:.*|token: $token|; /client-key-data/d" \
		"$OPSH_KUBECONFIG" >"$conf"
	targets fleet "$conf"
}

clerk() {
	as_is --approve cluster -e "$1"
}

auth_is_clear() {
	local before pods
	restricted
	pods=$(sagas)
	clerk 'print(#cluster:status "saga")'
	t_is 'what it may see it sees' "$(cat "$out")" 2
	before=$(k -n fleet get deploy saga -o jsonpath='{.metadata.resourceVersion}')
	for call in 'restart("saga")' 'scale("saga", 5)' \
		'set_image("saga", "localhost/web:2")' 'undo("saga")' \
		'stop("saga")' 'set_env("saga", { A = "b" })'; do
		clerk "cluster:$call"
		t_match "auth of $call" "$(cat "$err")" "*auth: user \
'system:serviceaccount:fleet:clerk' may not * 'deployments.apps*' in namespace \
'fleet': nothing was sent*"
	done
	clerk 'cluster:exec("saga", { "true" })'
	t_match 'auth of exec' "$(cat "$err")" "*may not create 'pods/exec'*"
	clerk 'cluster:cordon "node"'
	t_match 'auth of cordon' "$(cat "$err")" "*may not patch 'nodes' in this cluster*"
	clerk 'cluster:apply { apiVersion = "v1", kind = "ConfigMap",
		metadata = { name = "x" } }'
	t_match 'auth of apply' "$(cat "$err")" '*auth: *configmaps*code Forbidden*'
	clerk 'cluster:nodes()'
	t_match 'auth of a read' "$(cat "$err")" '*auth: nodes is forbidden*'
	t_is 'nothing was written' "$before" \
		"$(k -n fleet get deploy saga -o jsonpath='{.metadata.resourceVersion}')"
	t_is 'no write is in the record' "$(grep -lE '"class":"(write|destructive)"' \
		"$XDG_STATE_HOME"/opsh/runs/*/journal.jsonl 2>/dev/null | xargs -r grep -l \
		clerk | wc -l)" 0
	system fleet "$t_tmp/clerk.conf"
	as_is --approve orchestrator run services/restart service=saga watch=0
	t_match 'auth of a playbook' "$(cat "$err")" "*auth: user *fleet:clerk' may not \
patch 'deployments.apps*: nothing was sent*"
	t_is 'its pods are there' "$(sagas)" "$pods"
	sed -i 's|token:.*|token: wrong|' "$t_tmp/clerk.conf"
	targets fleet "$t_tmp/clerk.conf"
	clerk 'cluster:status()'
	t_match 'a wrong token' "$(cat "$err")" '*auth: *code Unauthorized*'
}

# --- what can't be reached, or is another ---------------------------------------------

unreachable() {
	local conf=$t_tmp/away.conf port
	port=$(free_port)
	sed "s|https://127.0.0.1:[0-9]*|https://127.0.0.1:$port|" \
		"$OPSH_KUBECONFIG" >"$conf"
	targets fleet "$conf"
	clerk 'cluster:status()'
	t_match 'nobody there' "$(cat "$err")" "*connect: *127.0.0.1:$port*"
	python3 -c 'import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); time.sleep(30)' \
		"$port" &
	t_reap $!
	disown
	sed -i 's/timeout = 20/timeout = 2/' "$t_tmp/opsh.lua"
	local began=$SECONDS
	clerk 'cluster:status()'
	t_match 'nobody answers' "$(cat "$err")" "*127.0.0.1:$port*"
	[ $((SECONDS - began)) -le 8 ] || t_fail 'the deadline of 2 s took longer'
	sed -i 's/timeout = 2/timeout = 20/' "$t_tmp/opsh.lua"
	interrupted 'a call that nobody answers' kubectl_runs -e 'cluster:status()'
	sed -i 's|kubectl = "[^"]*"|kubectl = "kubectl-absent"|' "$t_tmp/opsh.lua"
	clerk 'cluster:status()'
	t_match 'no kubectl' "$(cat "$err")" "*kubectl-absent*"
	o fleet -e 'cluster:status "sago"'
	t_match 'no such service' "$(cat "$err")" \
		"*no service 'sago' in namespace 'fleet' (there are: fluentd, postgres, saga)*"
	targets fleet "$OPSH_KUBECONFIG"
	sed -i 's/namespace = /context = "absent", namespace = /' "$t_tmp/opsh.lua"
	clerk 'cluster:status()'
	t_match 'no such context' "$(cat "$err")" '*config: *absent*'
}

# --- plans --------------------------------------------------------------------------

# versions: kind, name and resourceVersion of all that a namespace and the cluster
# have, but what changes by itself: events, leases, the state of the node.
versions() {
	types=${types:-$(k api-resources --namespaced --verbs=list,create -o name |
		grep -v -e '^events' -e '^leases' | paste -sd,)}
	k -n fleet get "$types" -o json 2>/dev/null | python3 -c '
import json, sys
for i in json.load(sys.stdin)["items"]:
    print(i["kind"], i["metadata"]["name"], i["metadata"]["resourceVersion"])' | sort
	k get node node -o jsonpath='{.spec}'
}

plan_changes_nothing() {
	versions >"$t_tmp/before"
	o fleet plan "$files/plan.lua"
	t_is 'exit code of the plan' "$rc" 0
	[ "$rc" -eq 0 ] || cat "$err" >&2
	for verb in restart scale stop 'set image' 'set env' 'set resources' undo \
		annotate exec cordon uncordon drain delete 'apply -f' 'apply secret/planned'; do
		t_match "the plan shows $verb" "$(cat "$out" "$err")" "*$verb*"
	done
	versions >"$t_tmp/after"
	t_ok 'nothing has changed' diff "$t_tmp/before" "$t_tmp/after"
	t_ok 'something was compared' grep -q '^Deployment saga' "$t_tmp/before"
}

# --- all of it ------------------------------------------------------------------------

# What is broken has failed often enough when the others are done; a drain is last.
tests="logs_are_lines follow_ends exec_runs auth_is_clear unreachable
	plan_changes_nothing playbooks_plan playbooks_drive rollout_is_undone
	twins_drive twins_rollouts twins_objects status_tells_apart
	playbooks_tell_apart waits_end nodes_and_use"
[ $# -eq 0 ] || tests=$*
t_up kubernetes
space broken "$files/broken.yaml"
space fleet "$files/fleet.yaml"
space by-kubectl "$files/fleet.yaml"
space by-opsh "$files/fleet.yaml"
k apply -f "$files/certificate.yaml" >/dev/null
ready fleet
ready by-kubectl
ready by-opsh
for test in $tests; do
	began=$SECONDS
	"$test"
	printf '%-24s %d s\n' "$test" $((SECONDS - began))
done
t_done
