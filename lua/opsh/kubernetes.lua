-- kubernetes: targets of kind kubernetes, driven by kubectl: the interface of
-- opsh.orchestrator, and what only a cluster has. A service is a Deployment, a
-- StatefulSet or a DaemonSet of the target's namespace, by its name; "deployment/x"
-- where two share one. Reads are here, writes in kubernetes.drive and .objects, logs
-- in kubernetes.logs. Owns the options of the kind. Must not show secrets.
local call = require "opsh.kubernetes.call"
local near = require "opsh.near"
local orchestrator = require "opsh.orchestrator"
local rows = require "opsh.kubernetes.rows"
local said = require "opsh.kubernetes.said"
local task = require "opsh.task"
local workload = require "opsh.kubernetes.workload"

local M = {}

---@class opsh.kubernetes.client: opsh.orchestrator
---@field private call opsh.kubernetes.call
local Client = {}
Client.__index = Client
Client.__call = function(o, ...) return orchestrator.call(o, ...) end

local WORKLOADS = "deployments.apps,statefulsets.apps,daemonsets.apps"

-- --- services ---------------------------------------------------------------------

-- The workloads, and with `pods` their pods too, as one document.
local function read(self, pods)
	return self.call:json { "get", pods and WORKLOADS .. ",pods" or WORKLOADS }
end

-- The services that are meant, of a document; raises kind usage for one that is
-- not there. A name may be "deployment/web".
local function choose(self, doc, services)
	local all, by, names = rows.services(doc), {}, {}
	for n, service in ipairs(all) do
		by[service.name], by[service.ref] = service, service
		names[n] = service.name
	end
	if services == nil then return all end
	local out = {}
	for n, name in ipairs(orchestrator.names(services)) do
		out[n] = by[name] or said.usage("no service '%s' in namespace '%s'%s",
			name, self.call.namespace, near.list(name, names))
	end
	return out
end

---The services of these names with what the cluster says of each.
---@param services? string|string[]
---@return {name: string, ref: string, kind: string, item: table}[]
function Client:find(services) return choose(self, read(self), services) end

---The one service of this name.
---@param service string
---@return {name: string, ref: string, kind: string, item: table}
function Client:one(service)
	if type(service) ~= "string" then
		said.usage("a service's name expected, got a %s", type(service))
	end
	return self:find(service)[1]
end

local function set_of(services)
	local set = {}
	for _, service in ipairs(services) do set[service.name] = true end
	return set
end

---@return string[] names of what runs here, sorted
function Client:services()
	local names = {}
	for n, service in ipairs(self:find()) do names[n] = service.name end
	return names
end

---What a service is meant to be; of its variables the names alone. `config` has
---kind, containers, images, env_from, selector, strategy, paused, revision.
---@param service string
---@return opsh.orchestrator.definition
function Client:definition(service)
	local found = self:one(service)
	local definition = workload.definition(found.item)
	definition.service = found.name
	return definition
end

---One row an instance. `reason` is Kubernetes' own word: CrashLoopBackOff,
---OOMKilled, ErrImagePull, ImagePullBackOff, Unschedulable, NotReady (by its probe),
---CreateContainerConfigError, Evicted, Terminating. `leaving`: it is ending or was
---replaced.
---@param services? string|string[]
---@return opsh.orchestrator.row[]
function Client:status(services)
	local doc = read(self, true)
	local chosen = choose(self, doc, services)
	return rows.status(doc, os.time(), services ~= nil and set_of(chosen) or nil)
end

---Rows of all pods of the namespace, those of jobs and of no service too.
---@return opsh.orchestrator.row[]
function Client:pods()
	return rows.pods(self.call:json { "get", "pods" }, os.time())
end

-- The pods of the services that take a command or have a log: {service, name}.
---@param services? string|string[]
---@param opts {instance?: string}
---@return {service: string, name: string, ready: boolean, leaving?: boolean}[]
function Client:instances(services, opts)
	if opts.instance then
		local name = said.name(opts.instance, "pod")
		local service = type(services) == "string" and services or nil
		return { { service = service or name, name = name, ready = true } }
	end
	return self:status(services)
end

---The logs of the services, see kubernetes.logs.
---@param services? string|string[]
---@param opts? {tail?: integer, since?: number, follow?: boolean, previous?: boolean, instance?: string, container?: string}
---@return fun(): opsh.orchestrator.line? next closed by `for`
function Client:logs(services, opts)
	return require("opsh.kubernetes.logs").open(self, services, opts)
end

---What pods use, as metrics-server last saw it (some 15 s old): rows service name
---cpu (cores) memory (bytes) memory_limit.
---@param services? string|string[]
---@return table[]
function Client:top(services)
	local doc = read(self, true)
	local chosen = choose(self, doc, services)
	local metrics = self.call:json({ "get", "pods.metrics.k8s.io" },
		{ verb = "top" })
	return rows.top(metrics, doc, services ~= nil and set_of(chosen) or nil)
end

---Events of the namespace, oldest first. opts: since (seconds ago).
---@param services? string|string[]
---@param opts? {since?: number}
---@return table[] rows time type reason service name object message count
function Client:events(services, opts)
	opts = said.options(opts, "events", "since")
	local names, wanted = self:services(), nil
	if services ~= nil then wanted = set_of(self:find(services)) end
	local doc = self.call:json({ "get", "events" }, { verb = "events" })
	local out = {}
	for _, row in ipairs(rows.events(doc, names, opts.since
		and os.time() - opts.since)) do
		if not wanted or wanted[row.service] then out[#out + 1] = row end
	end
	return out
end

-- --- rollouts ---------------------------------------------------------------------

---How far the last change of a service is. With `wait`, waits until it is done, at
---most `timeout` seconds (300); raises kind timeout (code NOT_READY), or server when
---the cluster gave it up (ProgressDeadlineExceeded).
---@param service string
---@param opts? {wait?: boolean, timeout?: number, on_wait?: fun(message: string)}
---@return {done: boolean, failed: boolean, ready: integer, desired: integer, updated: integer, message: string}
function Client:rollout_status(service, opts)
	opts = said.options(opts, "rollout_status", "wait timeout on_wait")
	local began, limit = task.now(), opts.timeout or 300
	while true do
		local r = workload.rollout(self:one(service).item)
		if not opts.wait or r.done then return r end
		local left = limit - (task.now() - began)
		if r.failed then
			self:fail { kind = "server", code = "ProgressDeadlineExceeded",
				op = "rollout status", message = ("rollout of '%s' failed: %s")
				:format(service, r.message) }
		elseif left <= 0 then
			self:fail { kind = "timeout", code = "NOT_READY", phase = "wait",
				op = "rollout status", message = ("rollout of '%s' is not done "
				.. "within %g s: %s"):format(service, limit, r.message) }
		end
		if opts.on_wait then opts.on_wait(r.message) end
		task.sleep(math.min(0.5, left))
	end
end

---Raises an error of this target.
---@param fields table of the error object
function Client:fail(fields)
	fields.target = self.call.target:name()
	error(require("opsh.c.err").new(fields), 0)
end

---The revisions of a service, newest first; the first is what runs.
---@param service string
---@return table[] rows revision image cause created replicas
function Client:history(service)
	local found = self:one(service)
	local doc = self.call:json({ "get", found.kind == "deployment"
		and "replicasets.apps" or "controllerrevisions.apps" },
		{ verb = "rollout history" })
	return rows.history(doc, found.item)
end

-- --- the cluster ------------------------------------------------------------------

---What kubectl says of a service, or of any TYPE/NAME, for people.
---@param what string
---@return string text
function Client:describe(what)
	local ref = what:find "/" and said.resource(what) or self:one(what).ref
	return self.call:run({ "describe", ref }).stdout
end

---An object, or a list of them, as Kubernetes has it. Values of secrets are taken
---out of it. opts: all (every namespace), selector.
---@param what string "ingress", "deployment/web"
---@param opts? {all?: boolean, selector?: string}
---@return table
function Client:get(what, opts)
	opts = said.options(opts, "get", "all selector")
	local words = { "get", said.resource(what) }
	if opts.all then words[#words + 1] = "--all-namespaces" end
	if opts.selector then
		words[#words + 1] = "--selector=" .. said.word(opts.selector, "selector")
	end
	local doc = self.call:json(words)
	for _, item in ipairs(rows.items(doc)) do
		if item.kind == "Secret" then
			for _, key in ipairs { "data", "stringData" } do
				for name in pairs(type(item[key]) == "table" and item[key] or {}) do
					item[key][name] = "***"
				end
			end
			local notes = type(item.metadata) == "table"
				and item.metadata.annotations
			if type(notes) == "table" then
				notes["kubectl.kubernetes.io/last-applied-configuration"] = nil
			end
		end
	end
	return doc
end

---@return table[] rows name ready schedulable roles version cpu memory pods problems
function Client:nodes() return rows.nodes(self.call:json { "get", "nodes" }) end

---Horizontal autoscalers.
---@return table[] rows name service min max replicas desired metrics limited message
function Client:hpa()
	return rows.hpa(self.call:json { "get",
		"horizontalpodautoscalers.v2.autoscaling" })
end

---@return table[] rows name class hosts paths addresses secrets
function Client:ingresses()
	return rows.ingresses(self.call:json { "get", "ingresses.networking.k8s.io" })
end

---cert-manager's certificates; raises kind usage, code UNSUPPORTED, without it.
---@return table[] rows name ready secret names expires days_left renews message
function Client:certificates()
	return rows.certificates(self.call:json { "get",
		"certificates.cert-manager.io" }, os.time())
end

---May the user do it? opts: subresource, name, everywhere.
---@param verb string "patch"
---@param resource string "deployments.apps"
---@param opts? table
---@return boolean
function Client:can_i(verb, resource, opts)
	return self.call:may(said.word(verb, "verb"), said.resource(resource),
		said.options(opts, "can_i", "subresource name everywhere"))
end

---Which of these the user may do: { { "patch", "deployments.apps" }, ... }.
---@param list string[][]
---@return table[] rows verb resource allowed
function Client:can(list)
	return task.map(list, { limit = 4 }, function(right)
		return { verb = right[1], resource = right[2],
			allowed = self:can_i(right[1], right[2]) }
	end)
end

---Who and where: context, namespace, server, user, identity.
---@return table
function Client:identity()
	self.call:identify(0)
	local c = self.call
	return { context = c.context, namespace = c.namespace, server = c.server,
		user = c.user, identity = c.identity }
end

require("opsh.kubernetes.drive").install(Client)
require("opsh.kubernetes.objects").install(Client)

-- --- the kind -------------------------------------------------------------------------

local function connect(target, options)
	local u = options.url or {}
	if next(u.query or {}) then
		error(require("opsh.c.err").new { kind = "config", message =
			("URL of target '%s' has an unknown parameter '%s'"):format(
			target:name(), tostring((next(u.query)))) }, 0)
	end
	local o = setmetatable({ context = options.context or u.context,
		namespace = options.namespace or u.namespace }, { __index = options })
	if o.namespace then said.name(o.namespace, "namespace") end
	if o.context then said.word(o.context, "context") end
	return setmetatable({ call = call.new(target, o) }, Client)
end

M.kind = {
	name = "kubernetes",
	schemes = { "kubernetes" },
	connect = connect,
	ping = function(client) client.call:identify(0) end,
	options = {
		context = { type = "string", help = "of the kubeconfig, over the URL's "
			.. "(default: the current one, pinned at the first call)" },
		namespace = { type = "string", help = "over the URL's (default: the "
			.. "context's)" },
		kubeconfig = { type = "string", help = "path (default: kubectl's own)" },
		kubectl = { type = "string", help = "program (default: by PATH)" },
		timeout = { type = "duration",
			help = "for a call, in seconds (default 30)" },
		max_output = { type = "integer", min = 65536,
			help = "bytes that kubectl may print (default 64 MiB)" },
	},
}

return M
