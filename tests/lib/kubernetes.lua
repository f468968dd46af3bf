-- kubernetes: documents as kubectl prints them, for specs: a list, a Deployment, a pod
-- of it; each call makes a new one, which the spec may change. Loaded with dofile. Must
-- not judge them: that is opsh.kubernetes.
local M = {}

-- A container's state.
M.RUNNING = { running = { startedAt = "2026-11-21T12:00:01Z" } }

function M.list(...)
	return { apiVersion = "v1", kind = "List", items = { ... } }
end

function M.deployment(name, more)
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
function M.pod(service, status, more)
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

return M
