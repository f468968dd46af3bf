# shellcheck shell=bash disable=SC2016,SC2154 # Lua in quotes; names of the test
# twins.sh: the kubectl commands of the runbooks, one after the other: run by
# kubectl in namespace by-kubectl, by the call that takes its place in by-opsh;
# then both have to be the same. Sourced by kubernetes.sh; must not run alone.

objects() {
	k -n "$1" get deploy,sts,ds,hpa,ingress,secrets,certificates -o json |
		python3 "$files/normal.py" >"$t_tmp/$1"
}

# same NAME: all objects of both namespaces say the same, times left out.
same() {
	objects by-kubectl &
	objects by-opsh
	wait $!
	t_ok "$1" diff "$t_tmp/by-kubectl" "$t_tmp/by-opsh"
	t_ok "$1: there is something" grep -q '"name": "saga"' "$t_tmp/by-opsh"
}

# both NAME CODE KUBECTL...: the one and the other.
both() {
	local name=$1 code=$2
	shift 2
	k -n by-kubectl "$@" >"$t_tmp/said" 2>&1 &
	lua by-opsh "$code" >/dev/null
	wait $! || t_fail "kubectl: $name" "$(cat "$t_tmp/said")"
	same "$name"
}

twins_drive() {
	both 'scale deployment --replicas=3' 'cluster:scale("saga", 3)' \
		scale deployment saga --replicas=3
	both 'scale down' 'cluster:scale("saga", 2)' \
		scale deployment/saga --replicas=2
	both 'set env' 'cluster:set_env("saga", { GOMAXPROCS = "4", GOGC = "100",
		JAVA_OPTS = "-Xms512m -Xmx1024m -XX:+UseG1GC" })' \
		set env deployment/saga GOMAXPROCS=4 GOGC=100 \
		'JAVA_OPTS=-Xms512m -Xmx1024m -XX:+UseG1GC'
	both 'set env of another value' 'cluster:set_env("saga", { GOGC = "50" })' \
		set env deployment/saga GOGC=50
	both 'unset env' 'cluster:set_env("saga", { OLD = false })' \
		set env deployment/saga OLD-
	both 'patch of a limit' 'cluster:set_limits("saga", { memory = "2Gi" })' \
		patch deployment saga -p '{"spec":{"template":{"spec":{"containers":
		[{"name":"saga","resources":{"limits":{"memory":"2Gi"}}}]}}}}'
	both 'rollout restart deployment' 'cluster:restart "saga"' \
		rollout restart deployment/saga
	both 'rollout restart statefulset' 'cluster:restart "postgres"' \
		rollout restart statefulset/postgres
	both 'rollout restart daemonset' 'cluster:restart "fluentd"' \
		rollout restart daemonset/fluentd
	both 'annotate' 'cluster:annotate("saga", { ["example/owner"] = "ops team" })' \
		annotate deployment/saga 'example/owner=ops team'
	o by-opsh -e 'cluster:restart "postgres"'
	t_match 'a restart that leaves none is destructive' "$(cat "$err")" \
		"*guard: 'restart' on 'cluster' is destructive*"
	o by-opsh -e 'cluster:scale("saga", 1)'
	t_match 'scale down is destructive' "$(cat "$err")" \
		"*guard: 'scale' on 'cluster' is destructive*"
	lua by-opsh 'cluster:stop "saga"' >/dev/null
	t_is 'stop' "$(k -n by-opsh get deploy saga -o jsonpath='{.spec.replicas}')" 0
	lua by-opsh 'cluster:start "saga"' >/dev/null
	same 'start brings back what was'
}

twins_rollouts() {
	both 'set image' 'cluster:set_image("saga", "localhost/web:2")' \
		set image deployment/saga saga=localhost/web:2
	t_ok 'kubectl rollout status' k -n by-kubectl rollout status deployment/saga
	t_is 'rollout_status waits' "$(lua by-opsh 'local r = cluster:rollout_status(
		"saga", { wait = true, timeout = 30 }) print(r.done, r.ready, r.updated)' |
		tr '\t' ' ')" 'true 2 2'
	t_is 'wait_ready' "$(lua by-opsh 'local o = require "opsh.orchestrator"
		print(o.wait_ready(cluster, cluster:services(), { timeout = 60 }) < 60)')" \
		true
	t_ok 'kubectl wait' k -n by-kubectl wait --for=condition=available \
		--timeout=60s deployment --all
	t_is 'rollout history' "$(lua by-opsh 'local t = {}
		for n, r in ipairs(cluster:history "saga") do t[#t - n + 1] = r.revision end
		table.sort(t, nil) for _, r in ipairs(cluster:history "saga") do
		print(r.revision) end' | sort -n | tr '\n' ' ')" \
		"$(k -n by-kubectl rollout history deployment/saga |
		awk '/^[0-9]/ { print $1 }' | tr '\n' ' ')"
	both 'rollout undo' 'cluster:undo "saga"' rollout undo deployment/saga
	t_is 'undo brought the image back' "$(lua by-opsh \
		'print(cluster:definition("saga").image)')" localhost/web:1
	lua by-opsh 'cluster:set_image("saga", "localhost:9/absent:1")' >/dev/null
	o by-opsh -e 'cluster:rollout_status("saga", { wait = true, timeout = 3 })'
	t_match 'a rollout that hangs' "$(cat "$err")" \
		"*timeout: rollout of 'saga' is not done within 3 s: *NOT_READY*"
	t_match 'and why' "$(lua by-opsh 'for _, r in ipairs(cluster:status "saga") do
		print(r.reason) end')" '*ImagePull*'
	lua by-opsh 'local h = cluster:history "saga"
		cluster:undo("saga", { to = h[2].revision })' >/dev/null
	same 'undo to a revision'
	# the runbook's `rollout restart deployment --all` is refused by kubectl
	both 'rollout restart of all deployments' 'cluster:restart { "saga" }' \
		rollout restart deployment
}

twins_objects() {
	local tls=$t_tmp/tls
	both 'apply -f' "cluster:apply '$files/hpa.yaml'" apply -f "$files/hpa.yaml"
	t_is 'get hpa' "$(lua by-opsh 'local h = cluster:hpa()[1] print(h.name, h.min,
		h.max, h.metrics[1].target)' | tr '\t' ' ')" 'saga 2 6 70'
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=saga.example \
		-keyout "$tls.key" -out "$tls.crt" 2>/dev/null
	k -n by-kubectl create secret tls saga-tls --cert="$tls.crt" \
		--key="$tls.key" --dry-run=client -o yaml |
		k -n by-kubectl apply -f - >/dev/null
	lua by-opsh "cluster:secret_apply('saga-tls', { ['tls.crt'] =
		{ file = '$tls.crt' }, ['tls.key'] = { file = '$tls.key' } },
		{ type = 'kubernetes.io/tls' })" >/dev/null
	same 'create secret tls | apply'
	k -n by-kubectl create secret generic postgres-secret \
		--from-literal=password=s3cr3t-and-long --dry-run=client -o yaml |
		k -n by-kubectl apply -f - >/dev/null
	OPSH_TEST_PASSWORD=s3cr3t-and-long lua by-opsh 'cluster:secret_apply(
		"postgres-secret", { password = secret.env "OPSH_TEST_PASSWORD" })' \
		>/dev/null
	same 'create secret generic | apply'
	t_ok 'the value is in no record' not_recorded s3cr3t-and-long
	t_is 'get does not show it' "$(lua by-opsh \
		'print(cluster:get("secret/postgres-secret").data.password)')" '***'
	t_is 'get ingress' "$(lua by-opsh 'local i = cluster:ingresses()[1]
		print(i.name, i.hosts[1], i.paths[1])' | tr '\t' ' ')" \
		'saga-ingress saga.example saga.example/ -> saga:80'
	t_is 'describe ingress' "$(lua by-opsh \
		'print(cluster:describe "ingress/saga-ingress")' | head -n 1)" \
		"$(k -n by-opsh describe ingress saga-ingress | head -n 1)"
	twins_certificates
	t_is 'apply of a table' "$(lua by-opsh 'cluster:apply { apiVersion = "v1",
		kind = "ConfigMap", metadata = { name = "c" }, data = { a = "b\nc" } }
		print(cluster:get("configmap/c").data.a)')" "$(printf 'b\nc')"
	t_match 'diff' "$(lua by-opsh 'print(cluster:diff { apiVersion = "v1",
		kind = "ConfigMap", metadata = { name = "c" }, data = { a = "d" } })')" \
		'*+*a: d*'
	t_is 'no diff' "$(lua by-opsh 'print(cluster:diff { apiVersion = "v1",
		kind = "ConfigMap", metadata = { name = "c" }, data = { a = "b\nc" } })')" nil
}

twins_certificates() {
	local ns
	for ns in by-kubectl by-opsh; do
		k -n "$ns" apply -f - >/dev/null <<-YAML
			apiVersion: cert-manager.io/v1
			kind: Certificate
			metadata: {name: saga-tls}
			spec: {secretName: saga-tls, dnsNames: [saga.example]}
			status:
			  notAfter: "2020-01-01T00:00:00Z"
			  conditions: [{type: Ready, status: "False", message: expired}]
		YAML
	done
	t_is 'get certificates' "$(lua by-opsh 'local c = cluster:certificates()[1]
		print(c.name, c.ready, c.days_left < 0, c.message)' | tr '\t' ' ')" \
		'saga-tls false true expired'
	both 'delete certificate' 'cluster:delete "certificate/saga-tls"' \
		delete certificate saga-tls
}

not_recorded() {
	! grep -rqF -e "$1" -e "$(printf %s "$1" | base64)" "$XDG_STATE_HOME"
}

last_reason='{range .items[*]}{.metadata.name}{" "}{'
last_reason+='.status.containerStatuses[0].lastState.terminated.reason}{"\n"}{end}'

same_ends() {
	[ "$(lua broken 'for _, r in ipairs(cluster:pods()) do
		print(r.name, r.last_reason or "") end' | tr '\t' ' ' | sort)" = \
		"$(k -n broken get pods -o "jsonpath=$last_reason" | sort)" ]
}

metrics_there() {
	k -n fleet top pods >/dev/null 2>&1
}

nodes_and_use() {
	t_is 'get pods' "$(lua fleet 'for _, r in ipairs(cluster:pods()) do
		print(r.name, r.restarts) end' | tr '\t' ' ' | sort)" \
		"$(k -n fleet get pods --no-headers | awk '{ print $1, $4 }' | sort)"
	# they end again and again: at some moment both have seen the same end
	t_ok 'get pods with the reason of their last end' t_within 30 same_ends
	t_is 'events' "$(lua fleet 'print(#cluster:events() > 5, #cluster:events(
		"saga", { since = 3600 }) > 1)' | tr '\t' ' ')" 'true true'
	t_within 40 metrics_there || t_fail 'kubectl top has no numbers'
	t_is 'top pods' "$(lua fleet 'for _, r in ipairs(cluster:top()) do
		assert(r.memory > 0 and r.cpu >= 0) print(r.name) end' | sort)" \
		"$(k -n fleet top pods --no-headers | awk '{ print $1 }' | sort)"
	t_is 'get nodes' "$(lua fleet 'local n = cluster:nodes()[1]
		print(n.name, n.ready, n.version)' | tr '\t' ' ')" 'node true v1.33.13'
	lua fleet 'cluster:cordon "node"' >/dev/null
	t_is 'cordon' "$(k get node node -o jsonpath='{.spec.unschedulable}')" true
	lua fleet 'cluster:uncordon "node"' >/dev/null
	t_is 'uncordon' "$(k get node node -o jsonpath='{.spec.unschedulable}')" ''
	t_is 'can' "$(lua fleet 'for _, r in ipairs(cluster:can { { "patch",
		"deployments.apps" }, { "get", "pods" } }) do print(r.allowed) end' |
		tr '\n' ' ')" 'true true '
	drain_respects_budgets
}

# A budget blocks it until the deadline; without one every pod goes.
drain_respects_budgets() {
	local before
	k -n fleet create poddisruptionbudget keep --selector=app=saga \
		--min-available=2 >/dev/null
	o fleet --approve cluster -e 'cluster:drain("node", { timeout = 2, grace = 1 })'
	t_match 'a budget blocks, and what was done is in doubt' "$(cat "$err")" \
		'*drain*outcome unknown*'
	[ "$rc" -ne 0 ] || t_fail 'a drain against a budget succeeded'
	t_is 'the pods are there' "$(k -n fleet get pods -l app=saga --no-headers |
		grep -c Running)" 2
	k -n fleet delete poddisruptionbudget keep >/dev/null
	before=$(k -n fleet get pods -l app=saga -o name)
	lua fleet 'cluster:drain("node", { timeout = 60, grace = 1 })' >/dev/null
	t_is 'every pod went' "$(k -n fleet get pods -l app=saga -o name |
		grep -cxF "$before")" 0
	t_is 'drained: Pending' "$(lua fleet \
		'print(cluster:status("saga")[1].reason)')" Unschedulable
	lua fleet 'cluster:uncordon "node"' >/dev/null
	ready fleet
}
