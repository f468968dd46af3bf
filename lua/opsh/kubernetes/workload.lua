-- kubernetes.workload: what a Deployment, a StatefulSet or a DaemonSet says of
-- itself: how many instances it should have, how far its rollout is, what its
-- containers are. Pure functions on decoded JSON. Must not show the value of a
-- variable: it may be a secret.
local field = require "opsh.kubernetes.field"
local at, str, int, list = field.at, field.str, field.int, field.list

local M = {}

-- Kinds of what runs services, as JSON has them and as kubectl takes them.
M.kinds = { Deployment = "deployment", StatefulSet = "statefulset",
	DaemonSet = "daemonset" }

---How many instances it should have.
---@param item table
---@return integer
function M.desired(item)
	if item.kind == "DaemonSet" then
		return int(item, "status", "desiredNumberScheduled") or 0
	end
	return int(item, "spec", "replicas") or 1
end

---Its strategy: RollingUpdate, Recreate, OnDelete.
---@param item table
---@return string
function M.strategy(item)
	return str(item, "spec", "strategy", "type")
		or str(item, "spec", "updateStrategy", "type") or "RollingUpdate"
end

-- A number of instances, or a share of them, rounded down.
local function share(v, of, default)
	if type(v) == "string" then
		local percent = tonumber(v:match "^(%d+)%%$")
		return percent and of * percent // 100 or default
	end
	return type(v) == "number" and math.tointeger(v) or default
end

---Would a restart leave no instance that takes work?
---@param item table
---@return boolean
function M.goes_down(item)
	local desired, how = M.desired(item), M.strategy(item)
	if desired == 0 or how == "OnDelete" then return false end
	if how == "Recreate" then return true end
	if item.kind == "StatefulSet" then return desired == 1 end
	if item.kind == "DaemonSet" then
		return share(at(item, "spec", "updateStrategy", "rollingUpdate",
			"maxUnavailable"), desired, 1) >= desired
	end
	return share(at(item, "spec", "strategy", "rollingUpdate",
		"maxUnavailable"), desired, desired // 4) >= desired
end

---Its containers, those that are started first left out.
---@param item table
---@return table[]
function M.containers(item)
	return list(item, "spec", "template", "spec", "containers")
end

---The labels of its pods as kubectl's -l takes them; nil when they can't be said.
---@param item table
---@return string?
function M.selector(item)
	local parts = {}
	for k, v in pairs(field.tab(item, "spec", "selector", "matchLabels")) do
		if type(k) ~= "string" or type(v) ~= "string" then return nil end
		parts[#parts + 1] = k .. "=" .. v
	end
	if #list(item, "spec", "selector", "matchExpressions") > 0 then return nil end
	table.sort(parts)
	return #parts > 0 and table.concat(parts, ",") or nil
end

-- --- definition ---------------------------------------------------------------

-- Names of variables; true: it has a value.
local function add_env(env, container)
	for _, entry in ipairs(list(container, "env")) do
		local name = str(entry, "name")
		if name then
			env[name] = str(entry, "value") ~= nil
				or type(entry.valueFrom) == "table"
		end
	end
end

local function add_limits(limits, container)
	local cpu = field.quantity(at(container, "resources", "limits", "cpu"))
	local memory = field.bytes(at(container, "resources", "limits", "memory"))
	if cpu then limits.cpu = (limits.cpu or 0) + cpu end
	if memory then limits.memory = (limits.memory or 0) + memory end
end

-- Where whole sets of variables come from: "secret/x", "configmap/y".
local function sources(containers)
	local out = {}
	for _, c in ipairs(containers) do
		for _, from in ipairs(list(c, "envFrom")) do
			local secret = str(from, "secretRef", "name")
			local map = str(from, "configMapRef", "name")
			if secret then out[#out + 1] = "secret/" .. secret end
			if map then out[#out + 1] = "configmap/" .. map end
		end
	end
	return out
end

---What the service is meant to be.
---@param item table
---@return opsh.orchestrator.definition
function M.definition(item)
	local containers = M.containers(item)
	local env, ports, limits, names, images = {}, {}, {}, {}, {}
	local checked = false
	for _, c in ipairs(containers) do
		add_env(env, c)
		add_limits(limits, c)
		for _, port in ipairs(list(c, "ports")) do
			ports[#ports + 1] = int(port, "containerPort")
		end
		checked = checked or type(c.readinessProbe) == "table"
			or type(c.livenessProbe) == "table"
		names[#names + 1] = str(c, "name")
		images[str(c, "name") or ""] = str(c, "image")
	end
	return {
		service = field.name(item), image = str(containers[1], "image"),
		replicas = M.desired(item), env = env, ports = ports, depends = {},
		health_check = checked, limits = limits,
		config = {
			kind = M.kinds[item.kind], containers = names, images = images,
			env_from = sources(containers), selector = M.selector(item),
			strategy = M.strategy(item),
			paused = field.yes(item, "spec", "paused"),
			revision = tonumber(str(item, "metadata", "annotations",
				"deployment.kubernetes.io/revision")),
			goes_down = M.goes_down(item),
		},
	}
end

-- --- rollout --------------------------------------------------------------------

local function counts(item)
	local s = field.tab(item, "status")
	if item.kind == "DaemonSet" then
		return int(s, "updatedNumberScheduled") or 0,
			int(s, "numberReady") or 0, int(s, "numberAvailable") or 0,
			int(s, "currentNumberScheduled") or 0
	end
	return int(s, "updatedReplicas") or 0, int(s, "readyReplicas") or 0,
		int(s, "availableReplicas") or 0, int(s, "replicas") or 0
end

-- Why it goes on, as `kubectl rollout status` sees it; nil: it is done.
local function pending(item, r, available, total)
	local updated, desired = r.updated, r.desired
	if (int(item, "metadata", "generation") or 0)
		> (int(item, "status", "observedGeneration") or 0) then
		return "the change is not observed yet"
	elseif updated < desired then
		return ("%d of %d instances are updated"):format(updated, desired)
	elseif item.kind == "Deployment" and total > updated then
		return ("%d old instances are still there"):format(total - updated)
	elseif available < desired then
		return ("%d of %d updated instances are available"):format(available,
			desired)
	elseif item.kind == "StatefulSet" and r.ready < desired then
		return ("%d of %d instances are ready"):format(r.ready, desired)
	end
end

---How far its last change is. `failed` says that the cluster gave it up.
---@param item table
---@return {done: boolean, failed: boolean, ready: integer, desired: integer, updated: integer, message: string}
function M.rollout(item)
	local updated, ready, available, total = counts(item)
	local r = { desired = M.desired(item), updated = updated, ready = ready }
	local progress = field.find(list(item, "status", "conditions"), "type",
		"Progressing")
	local why
	r.failed = progress.reason == "ProgressDeadlineExceeded"
	if M.strategy(item) == "OnDelete" then
		r.updated = r.desired	-- changes wait until somebody deletes
		why = r.ready < r.desired and ("%d of %d instances are ready"):format(
			r.ready, r.desired) or nil
	elseif field.yes(item, "spec", "paused") and r.updated < r.desired then
		why = "it is paused"
	else
		why = pending(item, r, available, total)
	end
	if r.failed then why = str(progress, "message") or "its deadline passed" end
	r.done = why == nil
	r.message = why or ("%d of %d instances are ready"):format(r.ready, r.desired)
	return r
end

return M
