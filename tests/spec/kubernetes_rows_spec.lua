-- kubernetes_rows: what is read from documents as kubectl prints them: rows of pods and
-- services, definitions and rollouts, events, nodes, what else it lists. No kubectl is
-- run.
require "harness"
local D = dofile "tests/lib/kubernetes.lua"
local field = require "opsh.kubernetes.field"
local json = require "opsh.json"
local logs = require "opsh.kubernetes.logs"
local pods = require "opsh.kubernetes.pods"
local rows = require "opsh.kubernetes.rows"
local workload = require "opsh.kubernetes.workload"

local NOW = field.time "2026-11-21T12:20:00Z"
local RUNNING = D.RUNNING
local list, deployment, pod = D.list, D.deployment, D.pod

local function row_of(...) return pods.row(pod(...), NOW) end

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
