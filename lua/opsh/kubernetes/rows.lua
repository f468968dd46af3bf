-- kubernetes.rows: what kubectl's JSON documents say, as rows: status, events,
-- use, nodes, autoscalers, history, ingresses, certificates. Pure functions: any
-- document gives rows or raises kind protocol. Must not ask kubectl.
local err = require "opsh.c.err"
local field = require "opsh.kubernetes.field"
local pods = require "opsh.kubernetes.pods"
local workload = require "opsh.kubernetes.workload"
local at, str, int, list = field.at, field.str, field.int, field.list

local M = {}

---The items of a list document; a single object is a list of one.
---@param doc any
---@return table[]
function M.items(doc)
	if type(doc) ~= "table" or type(doc.kind) ~= "string" then
		error(err.new { kind = "protocol", message =
			"kubectl gave no Kubernetes object" }, 0)
	end
	if type(doc.items) == "table" then return list(doc, "items") end
	return doc.kind:sub(-4) == "List" and {} or { doc }
end

local function by_name(a, b)
	if a.service ~= b.service then return a.service < b.service end
	return a.name < b.name
end

-- --- services -------------------------------------------------------------------

---What runs services, each with the name it has here: "web", or "statefulset/web"
---where two kinds share a name.
---@param doc table
---@return {name: string, ref: string, kind: string, item: table}[] sorted by name
function M.services(doc)
	local out, count = {}, {}
	for _, item in ipairs(M.items(doc)) do
		local kind, name = workload.kinds[item.kind], field.name(item)
		if kind and name ~= "" then
			out[#out + 1] = { name = name, ref = kind .. "/" .. name,
				kind = kind, item = item }
			count[name] = (count[name] or 0) + 1
		end
	end
	for _, service in ipairs(out) do
		if count[service.name] > 1 then service.name = service.ref end
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

-- "deployment/web" of a pod's owner -> the service's name.
local function names_by_ref(services)
	local map = {}
	for _, service in ipairs(services) do map[service.ref] = service.name end
	return map
end

-- The service that a pod belongs to, or its owner's or its own name.
local function service_of(pod, by_ref)
	local owner, kind = pods.owner(pod)
	local ref = owner and (workload.kinds[kind] or "?") .. "/" .. owner
	return ref and by_ref[ref] or nil, owner
end

-- Why there are fewer instances than there should be.
local function lacking(service, have)
	local item = service.item
	local row = { service = service.name, name = service.name, state = "missing",
		ready = false, image = str(workload.containers(item)[1], "image") }
	local failure = field.find(list(item, "status", "conditions"), "type",
		"ReplicaFailure")
	local why = ("%d of %d instances are there"):format(have,
		workload.desired(item))
	row.reason, row.message = str(failure, "reason"), str(failure, "message") or why
	return row
end

---The rows of status.
---@param doc table workloads and pods in one list
---@param now number seconds since the epoch
---@param wanted? table<string, boolean> names of services; nil: all
---@return opsh.orchestrator.row[]
function M.status(doc, now, wanted)
	local services, out, have = M.services(doc), {}, {}
	local by_ref = names_by_ref(services)
	for _, item in ipairs(M.items(doc)) do
		local service = item.kind == "Pod" and service_of(item, by_ref)
		if service and (not wanted or wanted[service]) then
			local row = pods.row(item, now)
			row.service = service
			out[#out + 1] = row
			have[service] = (have[service] or 0) + (row.leaving and 0 or 1)
		end
	end
	for _, service in ipairs(services) do
		local name = service.name
		if (not wanted or wanted[name])
			and (have[name] or 0) < workload.desired(service.item) then
			out[#out + 1] = lacking(service, have[name] or 0)
		end
	end
	table.sort(out, by_name)
	return out
end

---Rows of all pods, those of no service too; their service is what owns them.
---@param doc table
---@param now number
---@return opsh.orchestrator.row[]
function M.pods(doc, now)
	local out = {}
	for _, item in ipairs(M.items(doc)) do
		if item.kind == "Pod" then out[#out + 1] = pods.row(item, now) end
	end
	table.sort(out, by_name)
	return out
end

-- --- events and use -----------------------------------------------------------------

---Rows of events, oldest first. An event belongs to the service that its object
---is, or whose name its object's begins with.
---@param doc table
---@param names string[] of services
---@param since? number seconds since the epoch
---@return table[]
function M.events(doc, names, since)
	local out = {}
	local function service_for(name)
		local best
		for _, service in ipairs(names) do
			local plain = service:match "[^/]*$"
			if (name == plain or name:sub(1, #plain + 1) == plain .. "-")
				and #plain > #(best and best:match "[^/]*$" or "") then
				best = service
			end
		end
		return best
	end
	for _, item in ipairs(M.items(doc)) do
		local name = str(item, "involvedObject", "name") or ""
		local time = field.time(item, "series", "lastObservedTime")
			or field.time(item, "lastTimestamp") or field.time(item, "eventTime")
			or field.time(item, "metadata", "creationTimestamp") or 0
		if not since or time >= since then
			out[#out + 1] = { time = time, type = str(item, "type") or "Normal",
				reason = str(item, "reason") or "", service = service_for(name),
				name = name, object = str(item, "involvedObject", "kind"),
				message = str(item, "message") or "",
				count = int(item, "series", "count") or int(item, "count") or 1 }
		end
	end
	table.sort(out, function(a, b)
		if a.time ~= b.time then return a.time < b.time end
		return a.name < b.name
	end)
	return out
end

local function limit_of(pod)
	local memory
	for _, c in ipairs(list(pod, "spec", "containers")) do
		local limit = field.bytes(at(c, "resources", "limits", "memory"))
		if not limit then return nil end
		memory = (memory or 0) + limit
	end
	return memory
end

---Rows of what pods use: cpu in cores, memory in bytes.
---@param metrics table PodMetricsList
---@param doc table pods and workloads
---@param wanted? table<string, boolean>
---@return table[]
function M.top(metrics, doc, wanted)
	local by_ref, pod_of, out = names_by_ref(M.services(doc)), {}, {}
	for _, item in ipairs(M.items(doc)) do
		if item.kind == "Pod" then pod_of[field.name(item)] = item end
	end
	for _, item in ipairs(M.items(metrics)) do
		local name = field.name(item)
		local pod = pod_of[name]
		local service = pod and service_of(pod, by_ref)
		if pod and (not wanted or service and wanted[service]) then
			local row = { service = service or pods.owner(pod) or name,
				name = name, cpu = 0, memory = 0, memory_limit = limit_of(pod) }
			for _, c in ipairs(list(item, "containers")) do
				row.cpu = row.cpu + (field.quantity(at(c, "usage", "cpu")) or 0)
				row.memory = row.memory
					+ (field.bytes(at(c, "usage", "memory")) or 0)
			end
			out[#out + 1] = row
		end
	end
	table.sort(out, by_name)
	return out
end

-- --- the cluster ------------------------------------------------------------------------

local PRESSURE = { MemoryPressure = true, DiskPressure = true,
	PIDPressure = true, NetworkUnavailable = true }

---Rows of nodes.
---@param doc table
---@return table[] name ready schedulable roles version cpu memory pods problems
function M.nodes(doc)
	local out = {}
	for _, item in ipairs(M.items(doc)) do
		local conditions, problems, roles = list(item, "status", "conditions"), {}, {}
		local ready = field.find(conditions, "type", "Ready")
		for _, c in ipairs(conditions) do
			if PRESSURE[c.type] and c.status == "True" then
				problems[#problems + 1] = c.type
			end
		end
		if ready.status ~= "True" then
			problems[#problems + 1] = str(ready, "message") or "NotReady"
		end
		for key in pairs(field.tab(item, "metadata", "labels")) do
			local role = type(key) == "string"
				and key:match "^node%-role%.kubernetes%.io/(.+)$"
			if role then roles[#roles + 1] = role end
		end
		table.sort(roles)
		out[#out + 1] = {
			name = field.name(item), ready = ready.status == "True",
			schedulable = not field.yes(item, "spec", "unschedulable"),
			roles = roles, problems = problems,
			version = str(item, "status", "nodeInfo", "kubeletVersion"),
			cpu = field.quantity(at(item, "status", "allocatable", "cpu")),
			memory = field.bytes(at(item, "status", "allocatable", "memory")),
			pods = field.quantity(at(item, "status", "allocatable", "pods")),
		}
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

-- "cpu" and its current and wanted use of one metric of an autoscaler.
local function metric(spec, current)
	local kind = str(spec, "type") or ""
	local key = kind:sub(1, 1):lower() .. kind:sub(2)
	local want = field.tab(spec, key, "target")
	local have = field.tab(current, key, "current")
	return { name = str(spec, key, "name") or str(spec, key, "metric", "name")
			or kind,
		target = int(want, "averageUtilization")
			or field.quantity(want.averageValue) or field.quantity(want.value),
		current = int(have, "averageUtilization")
			or field.quantity(have.averageValue) or field.quantity(have.value),
		percent = int(want, "averageUtilization") ~= nil }
end

---Rows of horizontal autoscalers (autoscaling/v2).
---@param doc table
---@return table[] name service min max replicas desired metrics limited message
function M.hpa(doc)
	local out = {}
	for _, item in ipairs(M.items(doc)) do
		local metrics, conditions = {}, list(item, "status", "conditions")
		local now = list(item, "status", "currentMetrics")
		for n, spec in ipairs(list(item, "spec", "metrics")) do
			metrics[n] = metric(spec, now[n])
		end
		local active = field.find(conditions, "type", "ScalingActive")
		out[#out + 1] = { name = field.name(item),
			service = str(item, "spec", "scaleTargetRef", "name"),
			min = int(item, "spec", "minReplicas") or 1,
			max = int(item, "spec", "maxReplicas"),
			replicas = int(item, "status", "currentReplicas") or 0,
			desired = int(item, "status", "desiredReplicas") or 0,
			metrics = metrics, limited = field.find(conditions, "type",
				"ScalingLimited").status == "True",
			message = active.status == "False" and str(active, "message") or nil }
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

local function owned_by(item, uid)
	for _, owner in ipairs(list(item, "metadata", "ownerReferences")) do
		if owner.uid == uid then return true end
	end
end

---Rows of the revisions of a service, newest first. In ReplicaSets the revision
---is an annotation, in ControllerRevisions a field.
---@param doc table ReplicaSets or ControllerRevisions
---@param item table the workload
---@return table[] revision image cause created replicas
function M.history(doc, item)
	local out, uid = {}, str(item, "metadata", "uid")
	for _, rev in ipairs(M.items(doc)) do
		local n = int(rev, "revision") or math.tointeger(tonumber(str(rev, "metadata",
			"annotations", "deployment.kubernetes.io/revision")) or nil)
		if n and uid and owned_by(rev, uid) then
			local holder = rev.kind == "ControllerRevision"
				and field.tab(rev, "data") or rev
			out[#out + 1] = { revision = n, name = field.name(rev),
				image = str(workload.containers(holder)[1], "image"),
				cause = str(rev, "metadata", "annotations",
					"kubernetes.io/change-cause"),
				created = field.time(rev, "metadata", "creationTimestamp"),
				replicas = int(rev, "status", "replicas") }
		end
	end
	table.sort(out, function(a, b) return a.revision > b.revision end)
	return out
end

local function rules(item)
	local hosts, paths = {}, {}
	for _, rule in ipairs(list(item, "spec", "rules")) do
		local host = str(rule, "host") or "*"
		hosts[#hosts + 1] = host
		for _, p in ipairs(list(rule, "http", "paths")) do
			local port = at(p, "backend", "service", "port", "number")
				or at(p, "backend", "service", "port", "name")
			paths[#paths + 1] = ("%s%s -> %s:%s"):format(host,
				str(p, "path") or "/", str(p, "backend", "service", "name")
				or "?", tostring(port or "?"))
		end
	end
	return hosts, paths
end

---Rows of ingresses.
---@param doc table
---@return table[] name class hosts paths addresses secrets
function M.ingresses(doc)
	local out = {}
	for _, item in ipairs(M.items(doc)) do
		local addresses, secrets = {}, {}
		for _, a in ipairs(list(item, "status", "loadBalancer", "ingress")) do
			addresses[#addresses + 1] = str(a, "ip") or str(a, "hostname")
		end
		for _, tls in ipairs(list(item, "spec", "tls")) do
			secrets[#secrets + 1] = str(tls, "secretName")
		end
		local hosts, paths = rules(item)
		out[#out + 1] = { name = field.name(item),
			class = str(item, "spec", "ingressClassName"), hosts = hosts,
			paths = paths, addresses = addresses, secrets = secrets }
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

---Rows of cert-manager's certificates.
---@param doc table
---@param now number
---@return table[] name ready secret names expires days_left renews message
function M.certificates(doc, now)
	local out = {}
	for _, item in ipairs(M.items(doc)) do
		local ready = field.find(list(item, "status", "conditions"), "type", "Ready")
		local expires, names = field.time(item, "status", "notAfter"), {}
		for _, name in ipairs(field.tab(item, "spec", "dnsNames")) do
			if type(name) == "string" then names[#names + 1] = name end
		end
		out[#out + 1] = { name = field.name(item), ready = ready.status == "True",
			secret = str(item, "spec", "secretName"), names = names,
			expires = expires, days_left = expires
				and math.floor((expires - now) / 86400),
			renews = field.time(item, "status", "renewalTime"),
			message = str(ready, "message") }
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

return M
