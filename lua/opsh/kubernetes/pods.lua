-- kubernetes.pods: the rows of status: what each pod is doing and why not. One row
-- a pod; of its containers the one that is worst off speaks. Pure functions on
-- decoded JSON. Must not guess: reason and message are Kubernetes' own words.
local field = require "opsh.kubernetes.field"
local at, str, int, list = field.at, field.str, field.int, field.list

local M = {}

-- Reasons of a waiting container that go by.
local PASSING = { ContainerCreating = true, PodInitializing = true }
-- Reasons that no waiting heals: somebody has to change something.
local STUCK = { ErrImagePull = true, ImagePullBackOff = true,
	InvalidImageName = true, ErrImageNeverPull = true,
	ImageInspectError = true, RegistryUnavailable = true,
	CreateContainerConfigError = true, CreateContainerError = true,
	RunContainerError = true, StartError = true, ContainerCannotRun = true }

---The name of what a pod belongs to: the Deployment, not its ReplicaSet.
---@param pod table
---@return string? name
---@return string? kind "Deployment", "StatefulSet", "Job"
function M.owner(pod)
	local owner = field.find(list(pod, "metadata", "ownerReferences"),
		"controller", true)
	local name, kind = str(owner, "name"), str(owner, "kind")
	local hash = str(pod, "metadata", "labels", "pod-template-hash")
	if kind == "ReplicaSet" and name and hash
		and name:sub(-#hash - 1) == "-" .. hash then
		return name:sub(1, -#hash - 2), "Deployment"
	end
	return name, kind
end

-- How it ended: of this state, or else of the last.
local function last_end(status)
	local now = at(status, "state", "terminated")
	if type(now) == "table" then return now end
	return field.tab(status, "lastState", "terminated")
end

local function text(...)
	local parts = {}
	for n = 1, select("#", ...) do
		parts[#parts + 1] = (select(n, ...))
	end
	return #parts > 0 and table.concat(parts, ": ") or nil
end

-- What a container that waits is: state, reason, message.
local function of_waiting(status, init)
	local waiting, ended = status.state.waiting, last_end(status)
	local reason = str(waiting, "reason") or "Waiting"
	local message = str(waiting, "message")
	if reason == "CrashLoopBackOff" then
		-- why it crashes is more than that it does
		return "restarting", ended.reason == "OOMKilled" and "OOMKilled"
			or reason, text(init, str(ended, "message") or message)
	elseif STUCK[reason] then
		return "failed", reason, text(init, message)
	end
	return "starting", not PASSING[reason] and reason or nil, text(init, message)
end

-- A container that ended and is to be started again, or not.
local function of_ended(status, pod, init)
	local ended = status.state.terminated
	local code, reason = int(ended, "exitCode"), str(ended, "reason")
	local again = str(pod, "spec", "restartPolicy") or "Always"
	if again == "Always" or again == "OnFailure" and code ~= 0 then
		return "restarting", reason, text(init, str(ended, "message"))
	end
	return code == 0 and "exited" or "failed", reason,
		text(init, str(ended, "message"))
end

-- Has it run for longer than its probe needs to find it ready?
local function overdue(spec, started, now)
	local probe = field.tab(spec, "readinessProbe")
	return started and now - started > (int(probe, "initialDelaySeconds") or 0)
		+ (int(probe, "periodSeconds") or 10)
		* (int(probe, "failureThreshold") or 3) + 1
end

local function of_running(status, spec, pod, now)
	local started = field.time(status, "state", "running", "startedAt")
	if field.yes(status, "ready") then return "running" end
	if status.started == false then
		return "starting", nil, nil, "starting"
	end
	local ready = field.find(list(pod, "status", "conditions"), "type", "Ready")
	local was = field.time(ready, "lastTransitionTime")
	local unhealthy = overdue(spec, started, now)
		or was and started and was > started + 2
	return "running", unhealthy and "NotReady" or nil,
		unhealthy and str(ready, "message") or nil,
		unhealthy and "unhealthy" or "starting"
end

-- Higher is worse: which container speaks for the pod.
local RANK = { running = 0, exited = 1, starting = 2, restarting = 3, failed = 4 }

-- One container into the row, when it is the worst so far.
local function judge(row, status, spec, pod, init, now)
	local state, reason, message, health
	local is = field.tab(status, "state")
	status = { state = is, lastState = status.lastState, ready = status.ready,
		started = status.started, name = status.name }
	if type(is.waiting) == "table" then
		state, reason, message = of_waiting(status, init)
	elseif type(is.terminated) == "table" then
		state, reason, message = of_ended(status, pod, init)
	else
		state, reason, message, health = of_running(status, spec, pod, now)
	end
	local rank = RANK[state] + (reason and 0.5 or 0)
	if row.rank and row.rank >= rank then return end
	row.rank, row.state, row.reason, row.message = rank, state, reason, message
	row.container = str(status, "name")
	row.unready = health
	local ended = last_end(status)
	row.exit_code = int(ended, "exitCode")
	row.signal = int(ended, "signal")
	if row.exit_code and row.exit_code > 128 and row.exit_code < 192 then
		row.signal = row.signal or row.exit_code - 128
	end
	row.last_reason = str(ended, "reason")
end

-- Containers that run before the others, and have not ended well.
local function judge_first(row, pod, now)
	for _, status in ipairs(list(pod, "status", "initContainerStatuses")) do
		local ended = field.tab(status, "state", "terminated")
		local running = at(status, "state", "running")
		if ended.exitCode ~= 0 and not (running and (status.ready
			or status.started)) then
			local name = str(status, "name") or "?"
			judge(row, status, {}, pod, ("init container '%s'"):format(name), now)
			if running then row.state = "starting" end
		end
		row.restarts = row.restarts + (int(status, "restartCount") or 0)
	end
end

local function judge_all(row, pod, now)
	local specs = list(pod, "spec", "containers")
	judge_first(row, pod, now)
	for _, status in ipairs(list(pod, "status", "containerStatuses")) do
		local spec = field.find(specs, "name", status.name)
		-- the others say only that they wait for the first ones
		if not (row.rank and at(status, "state", "waiting", "reason")
			== "PodInitializing") then
			judge(row, status, spec, pod, nil, now)
		end
		row.restarts = row.restarts + (int(status, "restartCount") or 0)
		row.started = field.time(status, "state", "running", "startedAt")
			or row.started
	end
end

-- What the pod says over its containers: not placed, thrown out, on its way out.
local function judge_pod(row, pod)
	local status = field.tab(pod, "status")
	local conditions = list(pod, "status", "conditions")
	local placed = field.find(conditions, "type", "PodScheduled")
	local ready = field.find(conditions, "type", "Ready")
	local phase = status.phase
	if placed.status == "False" then
		row.state, row.reason = "pending", str(placed, "reason") or "Unscheduled"
		row.message = str(placed, "message")
	elseif phase == "Failed" then
		row.state, row.leaving = "failed", row.service ~= row.name or nil
		row.reason = str(status, "reason") or row.reason or "Failed"
		row.message = str(status, "message") or row.message
	elseif phase == "Succeeded" then
		row.state, row.exit_code = "exited", row.exit_code or 0
	elseif not row.state then
		row.state = phase == "Running" and "starting" or "pending"
	end
	row.ready = ready.status == "True" and row.state == "running"
	if row.state == "running" and not row.ready and not row.unready then
		-- its containers are fine: the node is lost, or a gate is shut
		row.reason = str(status, "reason") or str(ready, "reason") or "NotReady"
		row.message = str(status, "message") or str(ready, "message")
	end
	if at(pod, "metadata", "deletionTimestamp") then
		row.ready, row.leaving, row.reason = false, true, "Terminating"
		row.message = nil
	end
end

local function ports(pod)
	local out = {}
	for _, c in ipairs(list(pod, "spec", "containers")) do
		for _, port in ipairs(list(c, "ports")) do
			local n, host = int(port, "containerPort"), int(port, "hostPort")
			if n then
				out[#out + 1] = host and ("%s:%d->%d"):format(
					str(port, "hostIP") or "*", host, n) or tostring(n)
			end
		end
	end
	return out
end

local function has_probe(pod)
	for _, c in ipairs(list(pod, "spec", "containers")) do
		if type(c.readinessProbe) == "table" or type(c.livenessProbe) == "table"
			or type(c.startupProbe) == "table" then
			return true
		end
	end
	return false
end

---The row of one pod. `container` is the one that speaks, of several. `leaving`:
---it is ending, or was replaced; waits for readiness don't count it.
---@param pod table
---@param now number seconds since the epoch
---@return opsh.orchestrator.row
function M.row(pod, now)
	local name = field.name(pod)
	local row = { service = M.owner(pod) or name, name = name, restarts = 0,
		image = str(list(pod, "spec", "containers")[1], "image"),
		node = str(pod, "spec", "nodeName"), ports = ports(pod) }
	row.started = field.time(pod, "status", "startTime")
	judge_all(row, pod, now)
	judge_pod(row, pod)
	if has_probe(pod) and row.state == "running" then
		row.health = row.ready and "healthy" or row.unready or "unhealthy"
	end
	if row.state == "pending" then row.started = nil end
	row.rank, row.unready = nil, nil
	if #list(pod, "spec", "containers") < 2 then row.container = nil end
	return row
end

return M
