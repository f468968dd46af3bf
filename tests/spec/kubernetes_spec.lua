-- kubernetes: rows from documents as kubectl prints them, what its failures are,
-- the arguments that each method gives to kubectl, names that must not reach it.
-- The cluster itself is asked in tests/live/kubernetes.sh.
require "harness"
local field = require "opsh.kubernetes.field"
local json = require "opsh.json"
local kubernetes = require "opsh.kubernetes"
local logs = require "opsh.kubernetes.logs"
local pods = require "opsh.kubernetes.pods"
local rows = require "opsh.kubernetes.rows"
local said = require "opsh.kubernetes.said"
local workload = require "opsh.kubernetes.workload"
local target = require "opsh.c.target"

local NOW = field.time "2026-11-21T12:20:00Z"

local function list(...)
	return { apiVersion = "v1", kind = "List", items = { ... } }
end

local function deployment(name, more)
	local item = { kind = "Deployment", metadata = { name = name, uid = "u-" .. name,
		generation = 2 }, spec = { replicas = 2, selector = { matchLabels = {
		app = name } }, template = { spec = { containers = { { name = name,
		image = "img:1" } } } } }, status = { observedGeneration = 2,
		replicas = 2, updatedReplicas = 2, readyReplicas = 2,
		availableReplicas = 2 } }
	for k, v in pairs(more or {}) do item[k] = v end
	return item
end

-- A pod of Deployment `service` whose container is in `state`.
local function pod(service, status, more)
	status.name = status.name or service
	status.restartCount = status.restartCount or 0
	local item = { kind = "Pod", metadata = { name = service .. "-abc12-x1",
		labels = { ["pod-template-hash"] = "abc12" }, ownerReferences = { {
		kind = "ReplicaSet", name = service .. "-abc12", controller = true } } },
		spec = { nodeName = "node", containers = { { name = service,
			image = "img:1" } } },
		status = { phase = "Running", startTime = "2026-11-21T12:00:00Z",
			conditions = { { type = "PodScheduled", status = "True" },
				{ type = "Ready", status = status.ready and "True" or "False",
				lastTransitionTime = "2026-11-21T12:00:00Z",
				message = "containers with unready status: [" .. service .. "]" } },
			containerStatuses = { status } } }
	for k, v in pairs(more or {}) do item.status[k] = v end
	return item
end

local function row_of(...) return pods.row(pod(...), NOW) end

local RUNNING = { running = { startedAt = "2026-11-21T12:00:01Z" } }

describe("kubernetes status", function()
	it("has a row of a running pod", function()
		local row = row_of("web", { state = RUNNING, ready = true, started = true,
			restartCount = 2 })
		eq(row.service, "web")
		eq(row.state, "running")
		eq(row.ready, true)
		eq(row.restarts, 2)
		eq(row.node, "node")
		eq(row.image, "img:1")
		eq(row.started, field.time "2026-11-21T12:00:01Z")
		eq(row.reason, nil)
		eq(row.health, nil)
	end)

	it("tells crashing, memory and ends apart", function()
		local waiting = { waiting = { reason = "CrashLoopBackOff",
			message = "back-off 10s restarting failed container" } }
		local row = row_of("web", { state = waiting, restartCount = 3, lastState = {
			terminated = { exitCode = 3, reason = "Error" } } })
		eq({ row.state, row.reason, row.exit_code, row.signal, row.restarts },
			{ "restarting", "CrashLoopBackOff", 3, nil, 3 })
		eq(row.message, "back-off 10s restarting failed container")
		row = row_of("web", { state = waiting, lastState = { terminated = {
			exitCode = 137, reason = "OOMKilled" } } })
		eq({ row.state, row.reason, row.exit_code, row.signal },
			{ "restarting", "OOMKilled", 137, 9 })
		row = row_of("web", { state = { terminated = { exitCode = 3,
			reason = "Error" } } })
		eq({ row.state, row.reason, row.ready }, { "restarting", "Error", false })
		row = row_of("web", { state = RUNNING, ready = true, lastState = {
			terminated = { exitCode = 137, reason = "OOMKilled" } } })
		eq({ row.state, row.ready, row.reason, row.last_reason },
			{ "running", true, nil, "OOMKilled" })
	end)

	it("tells images and configuration apart", function()
		for _, reason in ipairs { "ErrImagePull", "ImagePullBackOff",
			"InvalidImageName", "CreateContainerConfigError" } do
			local row = row_of("web", { state = { waiting = { reason = reason,
				message = "why" } } }, { phase = "Pending" })
			eq({ row.state, row.reason, row.message }, { "failed", reason, "why" })
		end
		local row = row_of("web", { state = { waiting = {
			reason = "ContainerCreating" } } }, { phase = "Pending" })
		eq({ row.state, row.reason }, { "starting", nil })
	end)

	it("says why a pod has no node", function()
		local item = pod("web", {})
		item.spec.nodeName, item.status.containerStatuses = nil, nil
		item.status.phase = "Pending"
		item.status.conditions = { { type = "PodScheduled", status = "False",
			reason = "Unschedulable", message = "1 Insufficient cpu" } }
		local row = pods.row(item, NOW)
		eq({ row.state, row.reason, row.message, row.ready, row.started },
			{ "pending", "Unschedulable", "1 Insufficient cpu", false, nil })
	end)

	it("judges by the probe, once it had its time", function()
		local item = pod("web", { state = RUNNING, ready = false, started = true })
		item.spec.containers[1].readinessProbe = { periodSeconds = 5 }
		local row = pods.row(item, NOW)
		eq({ row.state, row.ready, row.health, row.reason },
			{ "running", false, "unhealthy", "NotReady" })
		eq(row.message, "containers with unready status: [web]")
		row = pods.row(item, field.time "2026-11-21T12:00:05Z")
		eq({ row.health, row.reason }, { "starting", nil })
		item.status.containerStatuses[1].started = false
		eq(pods.row(item, NOW).state, "starting")
	end)

	it("knows lost nodes, evicted and ending pods", function()
		local item = pod("web", { state = RUNNING, ready = true })
		item.status.conditions[2].status = "False"
		item.status.reason = "NodeLost"
		local row = pods.row(item, NOW)
		eq({ row.state, row.ready, row.reason }, { "running", false, "NodeLost" })
		item = pod("web", {}, { phase = "Failed", reason = "Evicted",
			message = "The node was low on resource: memory" })
		item.status.containerStatuses = nil
		row = pods.row(item, NOW)
		eq({ row.state, row.reason, row.leaving }, { "failed", "Evicted", true })
		item = pod("web", { state = RUNNING, ready = true })
		item.metadata.deletionTimestamp = "2026-11-21T12:20:00Z"
		row = pods.row(item, NOW)
		eq({ row.ready, row.reason, row.leaving }, { false, "Terminating", true })
	end)

	it("lets the container that is worst off speak", function()
		local item = pod("web", { state = RUNNING, ready = true })
		item.spec.containers[2] = { name = "side", image = "side:1" }
		table.insert(item.status.containerStatuses, { name = "side",
			restartCount = 4, state = { waiting = { reason = "ImagePullBackOff" } } })
		local row = pods.row(item, NOW)
		eq({ row.state, row.container, row.restarts, row.image },
			{ "failed", "side", 4, "img:1" })
		item = pod("web", { state = { waiting = { reason = "PodInitializing" } } })
		item.status.initContainerStatuses = { { name = "migrate", restartCount = 1,
			state = { waiting = { reason = "CrashLoopBackOff" } },
			lastState = { terminated = { exitCode = 2 } } } }
		row = pods.row(item, NOW)
		eq({ row.state, row.reason, row.exit_code, row.restarts },
			{ "restarting", "CrashLoopBackOff", 2, 1 })
		eq(row.message, "init container 'migrate'")
	end)

	it("has a row for what is missing, and names that two kinds share", function()
		local lacking = deployment("web")
		lacking.status.conditions = { { type = "ReplicaFailure", status = "True",
			reason = "FailedCreate", message = "exceeded quota" } }
		local all = rows.status(list(lacking, pod("web", { state = RUNNING,
			ready = true })), NOW)
		eq(#all, 2)
		eq({ all[1].state, all[1].reason, all[1].message },
			{ "missing", "FailedCreate", "exceeded quota" })
		eq(all[2].state, "running")
		local stateful = deployment("web")
		stateful.kind = "StatefulSet"
		local names = {}
		for n, service in ipairs(rows.services(list(deployment("web"), stateful,
			deployment("api")))) do
			names[n] = service.name
		end
		eq(names, { "api", "deployment/web", "statefulset/web" })
		eq(#rows.status(list(lacking, deployment("api")), NOW, { api = true }), 1)
	end)

	it("takes documents of any shape", function()
		eq(rows.status(list(), NOW), {})
		eq(raises("protocol", rows.items, json.null).kind, "protocol")
		eq(rows.items { kind = "PodList" }, {})
		local row = pods.row({ status = { containerStatuses = { 7, json.null, {} },
			conditions = "x" }, spec = json.null, metadata = 3 }, NOW)
		eq(row.name, "")
		eq(row.ready, false)
		eq(#rows.pods(list(pod("web", {}), { kind = "Pod" }), NOW), 2)
	end)
end)

describe("kubernetes workload", function()
	it("reads a definition without values", function()
		local item = deployment("web")
		item.spec.template.spec.containers[1] = { name = "web", image = "img:2",
			env = { { name = "A", value = "hidden" }, { name = "B", value = "" },
				{ name = "C", valueFrom = { secretKeyRef = {} } } },
			envFrom = { { secretRef = { name = "s" } } },
			ports = { { containerPort = 8080 } }, readinessProbe = {},
			resources = { limits = { cpu = "250m", memory = "64Mi" } } }
		local d = workload.definition(item)
		eq(d.env, { A = true, B = false, C = true })
		eq(d.limits, { cpu = 0.25, memory = 64 << 20 })
		eq({ d.image, d.replicas, d.ports, d.health_check },
			{ "img:2", 2, { 8080 }, true })
		eq(d.config.env_from, { "secret/s" })
		eq(d.config.selector, "app=web")
		ok(not json.encode(d):find "hidden")
		eq(workload.selector { spec = { selector = { matchExpressions = { {} },
			matchLabels = { a = "b" } } } }, nil)
		eq(#workload.containers(item), 1)
	end)

	it("knows when a restart leaves nothing", function()
		local item = deployment("web")
		eq(workload.goes_down(item), false)
		item.spec.strategy = { type = "Recreate" }
		eq(workload.strategy(item), "Recreate")
		eq(workload.goes_down(item), true)
		item.spec.strategy = { rollingUpdate = { maxUnavailable = "100%" } }
		eq(workload.goes_down(item), true)
		item.spec.strategy, item.spec.replicas = nil, 1
		eq(workload.goes_down(item), false)
		item.kind = "StatefulSet"
		eq(workload.goes_down(item), true)
		item.spec.replicas = 0
		eq(workload.goes_down(item), false)
		eq(workload.desired(item), 0)
		item.kind, item.status.desiredNumberScheduled = "DaemonSet", 1
		eq(workload.goes_down(item), true)
	end)

	it("says how far a rollout is", function()
		local item = deployment("web")
		local r = workload.rollout(item)
		eq({ r.done, r.failed, r.ready, r.desired, r.updated },
			{ true, false, 2, 2, 2 })
		item.status.updatedReplicas = 1
		eq(workload.rollout(item).message, "1 of 2 instances are updated")
		item.status.updatedReplicas, item.status.replicas = 2, 3
		eq(workload.rollout(item).message, "1 old instances are still there")
		item.status.replicas, item.status.availableReplicas = 2, 1
		eq(workload.rollout(item).done, false)
		item.metadata.generation = 3
		eq(workload.rollout(item).message, "the change is not observed yet")
		item.status.conditions = { { type = "Progressing",
			reason = "ProgressDeadlineExceeded", message = "timed out" } }
		r = workload.rollout(item)
		eq({ r.done, r.failed, r.message }, { false, true, "timed out" })
	end)
end)

describe("kubernetes rows", function()
	it("reads quantities and fields", function()
		eq(field.quantity "250m", 0.25)
		eq(field.quantity "1500000n", 0.0015)
		eq(field.quantity "2", 2)
		eq(field.quantity "1e3", 1000.0)
		eq(field.quantity "12E", 12e18)
		eq(field.quantity "x", nil)
		eq(field.quantity "1.2.3", nil)
		eq(field.bytes "64Mi", 64 << 20)
		eq(field.bytes "9e99", nil)
		eq(field.str({ a = { "x" } }, "a", 1), "x")
		eq(field.str({ a = "" }, "a"), nil)
		eq(field.int({ a = 2.0 }, "a"), 2)
		eq(field.tab(7, "a")[1], nil)
		eq(field.yes({ a = true }, "a"), true)
		eq(field.list({ 1, { 2 } }), { { 2 } })
		eq(field.find({ { a = 1 } }, "a", 1), { a = 1 })
		eq(field.name {}, "")
		eq(field.at({ { 3 } }, 1, 1), 3)
	end)

	it("has events, oldest first, by service", function()
		local out = rows.events(list(
			{ kind = "Event", involvedObject = { name = "web-api-abc-x", kind = "Pod" },
				reason = "BackOff", type = "Warning", count = 3, message = "m",
				lastTimestamp = "2026-11-21T12:10:00Z" },
			{ kind = "Event", involvedObject = { name = "web-abc-x" },
				eventTime = "2026-11-21T12:05:00.000000Z" }),
			{ "web", "web-api" })
		eq(out[1].service, "web")
		eq({ out[2].service, out[2].count, out[2].reason, out[2].object },
			{ "web-api", 3, "BackOff", "Pod" })
		eq(#rows.events(list({ kind = "Event", lastTimestamp =
			"2026-11-21T12:10:00Z" }), {}, NOW), 0)
	end)

	it("sums what a pod uses", function()
		local item = pod("web", {})
		item.spec.containers[1].resources = { limits = { memory = "64Mi" } }
		local out = rows.top({ kind = "PodMetricsList", items = { {
			metadata = { name = "web-abc12-x1" }, containers = {
			{ usage = { cpu = "1500000n", memory = "2048Ki" } },
			{ usage = { cpu = "1m", memory = "1Ki" } } } } } },
			list(deployment("web"), item))
		eq(#out, 1)
		eq({ out[1].service, out[1].cpu, out[1].memory, out[1].memory_limit },
			{ "web", 0.0025, (2048 + 1) * 1024, 64 << 20 })
	end)

	it("has nodes, autoscalers, history, ingresses and certificates", function()
		local node = rows.nodes(list({ metadata = { name = "n1", labels = {
			["node-role.kubernetes.io/worker"] = "" } }, spec = {
			unschedulable = true }, status = { conditions = { { type = "Ready",
			status = "True" }, { type = "DiskPressure", status = "True" } },
			allocatable = { cpu = "2", memory = "1Gi" },
			nodeInfo = { kubeletVersion = "v1" } } }))[1]
		eq({ node.ready, node.schedulable, node.roles, node.problems, node.cpu,
			node.memory }, { true, false, { "worker" }, { "DiskPressure" }, 2,
			1 << 30 })
		local scaler = rows.hpa(list({ metadata = { name = "h" }, spec = {
			scaleTargetRef = { name = "web" }, maxReplicas = 5, metrics = { {
			type = "Resource", resource = { name = "cpu", target = {
			averageUtilization = 70 } } } } }, status = { currentReplicas = 2,
			currentMetrics = { { resource = { current = {
			averageUtilization = 91 } } } } } }))[1]
		eq({ scaler.service, scaler.min, scaler.max, scaler.replicas },
			{ "web", 1, 5, 2 })
		eq(scaler.metrics, { { name = "cpu", target = 70, current = 91,
			percent = true } })
		local function set(n, image)
			return { kind = "ReplicaSet", metadata = { name = "web-" .. n,
				annotations = { ["deployment.kubernetes.io/revision"] =
				tostring(n) }, ownerReferences = { { uid = "u-web" } } },
				spec = { template = { spec = { containers = { {
				image = image } } } } } }
		end
		local history = rows.history(list(set(1, "img:1"), set(2, "img:2")),
			deployment("web"))
		eq({ history[1].revision, history[1].image, history[2].revision },
			{ 2, "img:2", 1 })
		local ingress = rows.ingresses(list({ metadata = { name = "i" }, spec = {
			tls = { { secretName = "t" } }, rules = { { host = "a.example",
			http = { paths = { { path = "/", backend = { service = {
			name = "web", port = { number = 80 } } } } } } } } } }))[1]
		eq({ ingress.hosts, ingress.paths, ingress.secrets }, { { "a.example" },
			{ "a.example/ -> web:80" }, { "t" } })
		local cert = rows.certificates(list({ metadata = { name = "c" }, spec = {
			secretName = "t", dnsNames = { "a.example" } }, status = {
			notAfter = "2026-12-01T12:20:00Z", conditions = { { type = "Ready",
			status = "True" } } } }), NOW)[1]
		eq({ cert.ready, cert.days_left, cert.names }, { true, 10, { "a.example" } })
	end)

	it("reads lines of logs and merges them by time", function()
		local line = logs.parse("[pod/web-1/web] 2026-11-21T12:00:00.5Z hello", "web")
		eq({ line.service, line.name, line.time, line.text }, { "web", "web-1",
			field.time "2026-11-21T12:00:00.5Z", "hello" })
		line = logs.parse("2026-11-21T12:00:00Z [pod/x/y] z", "web", "web-2")
		eq({ line.name, line.text }, { "web-2", "[pod/x/y] z" })
		eq(logs.parse("no time", "web", "p").text, "no time")
		local a, b, c = { time = 1 }, { time = 3 }, { time = 2 }
		local nil_time = { text = "of a" }
		eq(logs.merge { { a, nil_time, b }, { c } }, { a, nil_time, c, b })
	end)
end)

describe("kubernetes said", function()
	local function kind(...)
		local f = said.failure(table.concat { ... })
		return f and f.kind, f and f.code
	end
	it("knows what kubectl's failures are", function()
		eq({ kind 'Error from server (Forbidden): pods is forbidden: User "x" cannot' },
			{ "auth", "Forbidden" })
		eq({ kind "error: You must be logged in to the server (Unauthorized)" },
			{ "auth", "Unauthorized" })
		eq({ kind 'Error from server (NotFound): deployments.apps "x" not found' },
			{ "server", "NotFound" })
		eq({ kind("The connection to the server 127.0.0.1:1 was refused - did you ",
			"specify the right host or port?") }, { "connect", "ECONNREFUSED" })
		eq({ kind "Unable to connect to the server: dial tcp: lookup x: no such host" },
			{ "connect" })
		eq({ kind("Unable to connect to the server: tls: failed to verify ",
			"certificate: x509: certificate signed by unknown authority") },
			{ "tls", "X509" })
		eq({ kind "error: context deadline exceeded (Client.Timeout)" },
			{ "timeout", "Timeout" })
		eq({ kind "Unable to connect to the server: unexpected EOF" },
			{ "connect", "EOF" })
		eq({ kind 'error: the server doesn\'t have a resource type "x"' },
			{ "usage", "UNSUPPORTED" })
		eq({ kind "Error in configuration: context was not found for x" }, { "config" })
		eq({ kind("E1121 12:18:38 993 memcache.go:265] noise\n",
			"Error from server (Conflict): changed") }, { "server", "Conflict" })
		eq(said.failure('Error from server (Forbidden): error when retrieving of:\n'
			.. 'Resource: "x"\nfrom server for: "STDIN": configmaps "x" is '
			.. 'forbidden').message, 'error when retrieving of: configmaps "x" '
			.. 'is forbidden')
		eq(table.concat(said.doubts, "|"):find("unexpected EOF", 1, true) ~= nil, true)
		eq(said.failure "", nil)
		eq(said.failure("error: nothing.").message, "nothing")
		eq(said.failure("Error from server (Conflict): changed").message, "changed")
	end)

	it("tells a program's status from kubectl's own", function()
		eq({ said.of_program("Defaulted container \"a\" out of: a, b\nno\n"
			.. "command terminated with exit code 7\n", 7) }, { true, "no\n" })
		eq((said.of_program("error: pod not found", 1)), false)
	end)

	it("lets no bad name pass", function()
		eq(said.name("web-1.a", "pod"), "web-1.a")
		for _, bad in ipairs { "", "-n", "Web", "a b", "a/b", "a\n", "a-",
			("a"):rep(254), 7 } do
			raises("usage", said.name, bad, "pod")
		end
		eq(said.resource "pods/web-1", "pods/web-1")
		for _, bad in ipairs { "", "-o", "pods/", "pods/-x", "a b", "x=y" } do
			raises("usage", said.resource, bad)
		end
		eq(said.word("img:1", "image"), "img:1")
		raises("usage", said.word, "--all", "image")
		raises("usage", said.word, "a b", "image")
		raises("usage", said.integer, 1.5, "x", 0)
		raises("usage", said.integer, -1, "x", 0)
		raises("usage", said.options, { tial = 1 }, "logs", "tail since")
		raises("usage", said.usage, "%s", "x")
		eq(said.quoted { "a", "b c", "it's" }, "a 'b c' 'it'\\''s'")
	end)
end)

-- A client whose kubectl is `answers`: words -> a result or a document.
local function client(answers)
	local t = target.new { name = "k", kind = "kubernetes" }
	local c = kubernetes.kind.connect(t, { namespace = "opsh" })
	local calls = {}
	c.call = { namespace = "opsh", target = t,
		run = function(_, words, opts)
			calls[#calls + 1] = { words = table.concat(words, " "), opts = opts or {} }
			return { stdout = "", status = 0, ok = true }
		end,
		json = function(_, words)
			return answers and answers(words) or list(deployment("web"),
				pod("web", { state = RUNNING, ready = true }))
		end,
		need = function() end, may = function() return true end,
		identify = function() end }
	return c, calls
end

describe("kubernetes arguments", function()
	it("are those of the call, each with its class", function()
		local c, calls = client()
		local function last(words, class)
			local one = calls[#calls]
			eq(one.words, words)
			eq(one.opts.class or "read", class)
			return one.opts
		end
		c:restart "web"
		last("rollout restart deployment/web", "write")
		eq(calls[#calls].opts.verb, "restart")
		c:scale("web", 3)
		last("scale deployment/web --replicas=3 --current-replicas=2", "write")
		c:scale("web", 1)
		last("scale deployment/web --replicas=1 --current-replicas=2", "destructive")
		c:stop "web"
		last("patch deployment/web --type=strategic --patch-file=/dev/stdin",
			"destructive")
		eq(json.decode(calls[#calls].opts.stdin).metadata.annotations,
			{ ["opsh/replicas"] = "2" })
		c:set_image("web", "img:2")
		last("set image deployment/web web=img:2", "write")
		local o = (c:set_env("web", { A = "--x y", B = false }) and nil)
			or last("patch deployment/web --type=strategic "
			.. "--patch-file=/dev/stdin", "write")
		eq(o.request, "kubectl -n opsh set env deployment/web A B")
		ok(o.stdin:find('"--x y"', 1, true))
		c:set_limits("web", { cpu = 0.25, memory = "2Gi" })
		last("set resources deployment/web --containers=web "
			.. "--limits=cpu=250m,memory=2Gi", "write")
		c:undo("web", { to = 3 })
		last("rollout undo deployment/web --to-revision=3", "write")
		c:annotate("web", { a = "b", c = false })
		last("annotate --overwrite deployment/web a=b c-", "write")
		c:cordon "node"
		last("cordon node", "write")
		c:uncordon "node"
		last("uncordon node", "write")
		c:drain("node", { force = true, grace = 1 })
		last("drain node --ignore-daemonsets --timeout=120s --force "
			.. "--grace-period=1", "destructive")
		c:delete "certificate/web-tls"
		last("delete certificate/web-tls --wait=false", "destructive")
		c:apply { kind = "X", metadata = { name = "y" } }
		last("apply --filename=-", "write")
		eq(calls[#calls].opts.request, "kubectl -n opsh apply -f x/y")
		c:diff "a.yaml"
		last("diff --filename=a.yaml", "read")
		c:describe "web"
		last("describe deployment/web", "read")
	end)

	it("run a program in the pod that is ready", function()
		local c, calls = client()
		c:exec("web", { "sh", "-c", "--x" }, { stdin = "in", effect = "read" })
		eq(calls[1].words, "exec web-abc12-x1 --stdin -- sh -c --x")
		eq(calls[1].opts.class, "read")
		c:exec("web", { "ls" }, { instance = "web-0", container = "web" })
		eq(calls[2].words, "exec web-0 --container=web -- ls")
		eq(calls[2].opts.class, "destructive")
		raises("usage", c.exec, c, "web", {})
		raises("usage", c.exec, c, "web", { "ls" }, { instance = "-x" })
		local none = client(function() return list(deployment("web")) end)
		raises("server", none.exec, none, "web", { "ls" })
	end)

	it("refuse what is not there and what is no name", function()
		local c = client()
		raises("no service 'wbe'", c.one, c, "wbe")
		raises("usage", c.status, c, { "a b" })
		raises("usage", c.set_image, c, "web", "-x")
		raises("usage", c.set_env, c, "web", { ["a b"] = "1" })
		raises("usage", c.set_env, c, "web", {})
		raises("usage", c.set_limits, c, "web", { cpu = "much" })
		raises("usage", c.scale, c, "web", -1)
		raises("usage", c.delete, c, "pods")
		raises("usage", c.drain, c, "--all")
		raises("usage", c.logs, c, "web", { tail = -1 })
		raises("usage", c.logs, c, "web", { follow = true, previous = true })
		raises("usage", c.secret_apply, c, "x", { ["a b"] = "1" })
		raises("usage", kubernetes.kind.connect, target.new { name = "k",
			kind = "kubernetes" }, { namespace = "-A" })
	end)

	it("are not sent for nothing", function()
		local c, calls = client(function()
			local item = deployment("web")
			item.kind = "DaemonSet"
			return list(item)
		end)
		raises("UNSUPPORTED", function()
			local fine, e = pcall(c.stop, c, "web")
			error(fine and "no error" or e.code, 0)
		end)
		c:start "web"
		eq(#calls, 0)
	end)

	it("of reads give rows", function()
		local c = client()
		eq(c:services(), { "web" })
		eq(c:definition("web").service, "web")
		eq(#c:status "web", 2)
		eq(#c:pods(), 1)
		eq(c:find()[1].ref, "deployment/web")
		eq(c:instances("web", { instance = "web-0" })[1].name, "web-0")
		eq(c:rollout_status("web", { wait = true }).done, true)
		eq(#c:history "web", 0)
		eq(#c:nodes(), 2)
		eq(#c:hpa(), 2)
		eq(#c:ingresses(), 2)
		eq(#c:certificates(), 2)
		eq(#c:events "web", 0)
		eq(#c:top "web", 1)
		eq(c:can { { "get", "pods" } }, { { verb = "get", resource = "pods",
			allowed = true } })
		eq(c:can_i("get", "pods"), true)
		raises("server", c.fail, c, { kind = "server", message = "m" })
		local secret = client(function()
			return { kind = "Secret", metadata = { name = "s" },
				data = { password = "aGlkZGVu" } }
		end)
		eq(secret:get("secret/s").data, { password = "***" })
		eq(type(c:identity()), "table")
	end)
end)
