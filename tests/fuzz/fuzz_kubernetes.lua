-- fuzz_kubernetes: what kubectl prints. By the first byte: the input is a JSON
-- document, or it says how a document of each kind that is in use is bent: which of
-- its values are others. Whatever comes, the row makers give a table or raise an
-- error object. Nothing is run.
local shared = require "shared"
local json = require "opsh.c.json"

package.loaded["opsh.task"] = {}
local rows = require "opsh.kubernetes.rows"
local said = require "opsh.kubernetes.said"
local logs = require "opsh.kubernetes.logs"
local workload = require "opsh.kubernetes.workload"

-- --- documents with every field that the rows look at --------------------------------

local time = "2026-11-21T12:00:00Z"

local container = {
	name = "web", image = "img:1",
	env = { { name = "A", value = "b" }, { name = "C", valueFrom = {} } },
	envFrom = { { secretRef = { name = "s" } } },
	ports = { { containerPort = 8080, hostPort = 80, hostIP = "0.0.0.0" } },
	readinessProbe = { initialDelaySeconds = 1, periodSeconds = 2,
		failureThreshold = 3 },
	resources = { limits = { cpu = "250m", memory = "64Mi" } },
}

local function ended()
	return { exitCode = 137, signal = 9, reason = "OOMKilled", message = "m",
		startedAt = time }
end

local function status(state)
	return { name = "web", ready = false, started = true, restartCount = 2,
		state = state, lastState = { terminated = ended() } }
end

local function conditions()
	return {
		{ type = "Ready", status = "False", lastTransitionTime = time,
			reason = "r", message = "m" },
		{ type = "PodScheduled", status = "True" },
		{ type = "Progressing", reason = "ProgressDeadlineExceeded" },
		{ type = "ReplicaFailure", reason = "FailedCreate" },
		{ type = "DiskPressure", status = "True" },
	}
end

local function controller(kind)
	return {
		kind = kind,
		metadata = { name = "web", uid = "u", generation = 2,
			annotations = { ["deployment.kubernetes.io/revision"] = "3" } },
		spec = { replicas = 2, paused = false,
			strategy = { type = "RollingUpdate",
				rollingUpdate = { maxUnavailable = "25%" } },
			updateStrategy = { rollingUpdate = { maxUnavailable = 1 } },
			selector = { matchLabels = { app = "web" } },
			template = { spec = { containers = { container } } } },
		status = { observedGeneration = 2, replicas = 2, updatedReplicas = 2,
			readyReplicas = 1, availableReplicas = 1,
			desiredNumberScheduled = 1, numberReady = 1,
			conditions = conditions() },
	}
end

local function pod(state)
	return {
		kind = "Pod",
		metadata = { name = "web-abc-x", labels = { ["pod-template-hash"] = "abc" },
			ownerReferences = { { kind = "ReplicaSet", name = "web-abc",
				uid = "u", controller = true } } },
		spec = { nodeName = "n", restartPolicy = "Always",
			containers = { container, container } },
		status = { phase = "Running", reason = "r", startTime = time,
			conditions = conditions(),
			initContainerStatuses = {
				status { terminated = { exitCode = 0 } } },
			containerStatuses = { status(state) } },
	}
end

local items = {
	controller "Deployment", controller "StatefulSet", controller "DaemonSet",
	pod { running = { startedAt = time } },
	pod { waiting = { reason = "CrashLoopBackOff", message = "m" } },
	pod { waiting = { reason = "ErrImagePull" } },
	pod { terminated = ended() },
	{ kind = "Event", metadata = { creationTimestamp = time },
		involvedObject = { name = "web-abc-x", kind = "Pod" }, reason = "r",
		type = "Warning", message = "m", count = 2, lastTimestamp = time,
		series = { count = 3, lastObservedTime = time } },
	{ kind = "PodMetrics", metadata = { name = "web-abc-x" },
		containers = { { usage = { cpu = "1500n", memory = "12Ki" } } } },
	{ kind = "Node",
		metadata = { name = "n",
			labels = { ["node-role.kubernetes.io/worker"] = "" } },
		spec = { unschedulable = true },
		status = { conditions = conditions(),
			allocatable = { cpu = "2", memory = "1Gi", pods = "110" },
			nodeInfo = { kubeletVersion = "v1" } } },
	{ kind = "HorizontalPodAutoscaler", metadata = { name = "h" },
		spec = { minReplicas = 1, maxReplicas = 5,
			scaleTargetRef = { name = "web" },
			metrics = { { type = "Resource", resource = { name = "cpu",
				target = { averageUtilization = 70 } } } } },
		status = { currentReplicas = 2, desiredReplicas = 3,
			conditions = conditions(),
			currentMetrics = { { resource = {
				current = { averageValue = "100m" } } } } } },
	{ kind = "ControllerRevision", revision = 4,
		metadata = { name = "r", ownerReferences = { { uid = "u" } } },
		data = { spec = {} } },
	{ kind = "Ingress", metadata = { name = "i" },
		spec = { ingressClassName = "nginx", tls = { { secretName = "t" } },
			rules = { { host = "a", http = { paths = { { path = "/",
				backend = { service = { name = "web",
					port = { number = 80 } } } } } } } } },
		status = { loadBalancer = { ingress = { { ip = "10.0.0.1" } } } } },
	{ kind = "Certificate", metadata = { name = "c" },
		spec = { secretName = "t", dnsNames = { "a" } },
		status = { notAfter = time, renewalTime = time,
			conditions = conditions() } },
}
local places = shared.count(items)

local others = shared.others { "9Ei", "Deployment", "Pod", "True", "Failed",
	"Succeeded", "Pending", "OnDelete", "Recreate", "Never", "OnFailure",
	"CrashLoopBackOff", "ContainerCreating", "List", "a/b", "\0" }

-- Three bytes each: which place, and what stands there instead.
local function bend(text)
	local at, edits = 0, {}
	for i = 1, #text - 2, 3 do
		local hi, lo, what = text:byte(i, i + 2)
		edits[(hi << 8 | lo) % places] = what % (#others + 1)
	end
	local function change()
		local edit = edits[at]
		at = at + 1
		return edit ~= nil, others[edit]
	end
	-- the list and its items stay, or nothing would be looked at
	local out = { kind = "List", items = {} }
	for n, item in ipairs(items) do
		local new = shared.bend(item, change) or {}
		if type(new) == "table" then new.kind = new.kind or item.kind end
		out.items[n] = new
	end
	return out
end

-- --- the ways ----------------------------------------------------------------------

local ways = {
	function(d) return rows.status(d, 1.7e9) end,
	function(d) return rows.pods(d, 1.7e9) end,
	function(d) return rows.events(d, { "web", "deployment/web" }, 0) end,
	function(d) return rows.top(d, d) end,
	rows.nodes, rows.hpa, rows.ingresses,
	function(d) return rows.certificates(d, 1.7e9) end,
	function(d)
		local list = {}
		for n, s in ipairs(rows.services(d)) do
			list[n] = { workload.definition(s.item), workload.rollout(s.item),
				rows.history(d, s.item) }
		end
		return list
	end,
	function(_, text)
		said.of_program(text, 7)
		return said.failure(text) or logs.parse(text, "s")
	end,
	function(_, text) return { said.resource(text) } end,
	function(_, text) return { said.name(text, "pod") } end,
}

return function(data)
	local way, text = data:byte() or 0, data:sub(2)
	shared.judge(function()
		local d = way & 128 == 0 and bend(text) or json.decode(text)
		return (ways[way % #ways + 1](d, text))
	end)
end
