-- kubernetes.drive: what changes a cluster: each write asks first whose cluster it
-- is and whether the user may, then is one call of kubectl, classed by what it
-- does to those who are served. Values go by stdin, never by arguments. Must not
-- retry a write. Objects that are no service: kubernetes.objects.
local json = require "opsh.json"
local near = require "opsh.near"
local said = require "opsh.kubernetes.said"
local workload = require "opsh.kubernetes.workload"
local write = require "opsh.kubernetes.write"

local M = {}

local COMMON = "timeout expect"
local MEMORY = "opsh/replicas"	-- annotation: how many there were before a stop

local function refs(services)
	local out = {}
	for n, service in ipairs(services) do out[n] = service.ref end
	return out
end

-- verb(s) on these workloads, each kind once
local function rights(services, verbs, subresource)
	local list, seen = {}, {}
	for _, service in ipairs(services) do
		for verb in verbs:gmatch "%S+" do
			local resource = service.kind .. "s.apps"
			if not seen[verb .. resource] then
				seen[verb .. resource] = true
				list[#list + 1] = { verb, resource, subresource = subresource }
			end
		end
	end
	return list
end

local function join(...)
	local out = {}
	for n = 1, select("#", ...) do
		local part = select(n, ...)
		for _, word in ipairs(type(part) == "table" and part or { part }) do
			out[#out + 1] = word
		end
	end
	return out
end

-- The container that is meant; a service of one needs none named.
local function container_of(service, wanted)
	local names = {}
	for n, c in ipairs(workload.containers(service.item)) do names[n] = c.name end
	if wanted then
		for _, name in ipairs(names) do
			if name == wanted then return name end
		end
		said.usage("'%s' has no container '%s'%s", service.name,
			tostring(wanted), near.list(tostring(wanted), names))
	elseif #names ~= 1 then
		said.usage("'%s' has %d containers: option 'container' must say which "
			.. "(%s)", service.name, #names, table.concat(names, ", "))
	end
	return names[1]
end

-- A strategic merge patch, its text by stdin: what it holds may be secret.
local function patch(self, service, body, opts, more)
	self.call:need(rights({ service }, "patch"), more.verb)
	more.stdin = json.encode(body)
	return write.run(self, { "patch", service.ref, "--type=strategic",
		"--patch-file=/dev/stdin" }, opts, more)
end

-- --- up and down ------------------------------------------------------------------

local drive = {}

---Restarts by a rolling update; a write. Where that leaves no instance (strategy
---Recreate, a StatefulSet of one) it is destructive, verb "restart".
---@param self opsh.kubernetes.client
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table
function drive.restart(self, services, opts)
	opts = said.options(opts, "restart", COMMON)
	local found, down = self:find(services), false
	for _, service in ipairs(found) do
		down = down or workload.goes_down(service.item)
	end
	self.call:need(rights(found, "patch"), "restart")
	return write.run(self, join("rollout", "restart", refs(found)), opts,
		{ verb = "restart", class = down and "destructive" or nil })
end

local function set_replicas(self, service, n, memory, opts, verb, class)
	return patch(self, service, { metadata = { annotations = {
		[MEMORY] = memory or json.null } }, spec = { replicas = n } }, opts,
		{ verb = verb, class = class, request = write.request(self,
			"patch %s replicas=%d", service.ref, n) })
end

-- The one result, or all of them and how many there were.
local function results(list)
	if #list == 1 then return list[1] end
	return { ok = true, count = #list, results = list }
end

local function no_daemonset(service, what)
	if service.kind == "daemonset" then
		require("opsh.orchestrator").unsupported("kubernetes", what,
			("'%s' is a DaemonSet, which runs on every node"):format(service.name))
	end
end

---Stops every instance; destructive, verb "stop". How many there were is kept in
---an annotation for `start`.
---@param self opsh.kubernetes.client
---@param services? string|string[]
---@param opts? {timeout?: number, expect?: any}
---@return table
function drive.stop(self, services, opts)
	opts = said.options(opts, "stop", COMMON)
	local found, out = self:find(services), {}
	for _, service in ipairs(found) do no_daemonset(service, "stop") end
	for _, service in ipairs(found) do
		local n = workload.desired(service.item)
		if n > 0 then
			out[#out + 1] = set_replicas(self, service, 0, tostring(n), opts,
				"stop", "destructive")
		end
	end
	return results(out)
end

---Starts what was stopped with as many instances as before, or `replicas`; what
---runs is left alone.
---@param self opsh.kubernetes.client
---@param services? string|string[]
---@param opts? {replicas?: integer, timeout?: number, expect?: any}
---@return table
function drive.start(self, services, opts)
	opts = said.options(opts, "start", COMMON .. " replicas")
	local out = {}
	local given = opts.replicas
		and said.integer(opts.replicas, "option 'replicas'", 1)
	for _, service in ipairs(self:find(services)) do
		if service.kind ~= "daemonset" and workload.desired(service.item) == 0 then
			local notes = (service.item.metadata or {}).annotations
			local before = type(notes) == "table"
				and math.tointeger(tonumber(notes[MEMORY] or nil))
			out[#out + 1] = set_replicas(self, service, given or before or 1,
				nil, opts, "start")
		end
	end
	return results(out)
end

---To so many instances; to fewer it is destructive, verb "scale". Refused by the
---cluster when the number is not what it was read as.
---@param self opsh.kubernetes.client
---@param service string
---@param replicas integer
---@param opts? {timeout?: number, expect?: any}
---@return table
function drive.scale(self, service, replicas, opts)
	opts = said.options(opts, "scale", COMMON)
	said.integer(replicas, "number of instances", 0, 100000)
	local found = self:one(service)
	no_daemonset(found, "scale")
	local now = workload.desired(found.item)
	self.call:need(rights({ found }, "get update", "scale"), "scale")
	return write.run(self, { "scale", found.ref, "--replicas=" .. replicas,
		"--current-replicas=" .. now }, opts, { verb = "scale",
		class = replicas < now and "destructive" or nil })
end

-- --- what runs --------------------------------------------------------------------

---Another image; rolls out. opts: container, where there are several.
---@param self opsh.kubernetes.client
---@param service string
---@param image string
---@param opts? {container?: string, timeout?: number, expect?: any}
---@return table
function drive.set_image(self, service, image, opts)
	opts = said.options(opts, "set_image", COMMON .. " container")
	said.word(image, "image")
	local found = self:one(service)
	local container = container_of(found, opts.container)
	self.call:need(rights({ found }, "patch"), "set image")
	return write.run(self, { "set", "image", found.ref, container .. "=" .. image },
		opts, { verb = "set image" })
end

---Variables of a service; false takes one away. Rolls out. Values go by stdin and
---are not recorded; a secret belongs into secret_apply.
---@param self opsh.kubernetes.client
---@param service string
---@param env table<string, string|false>
---@param opts? {container?: string, timeout?: number, expect?: any}
---@return table
function drive.set_env(self, service, env, opts)
	opts = said.options(opts, "set_env", COMMON .. " container")
	if type(env) ~= "table" or next(env) == nil then
		said.usage "names and values of variables expected"
	end
	local list, names = {}, {}
	for name, value in pairs(env) do
		if type(name) ~= "string" or not name:find "^[%a_][%w_.-]*$" then
			said.usage("'%s' is no name of a variable", tostring(name))
		elseif type(value) ~= "string" and value ~= false then
			said.usage("variable '%s' must be a string, not a %s%s", name,
				type(value), type(value) == "userdata"
				and ": a secret belongs into secret_apply" or "")
		end
		names[#names + 1] = name
	end
	table.sort(names)
	for n, name in ipairs(names) do
		list[n] = env[name] and { name = name, value = env[name],
			valueFrom = json.null } or { name = name, ["$patch"] = "delete" }
	end
	local found = self:one(service)
	local container = container_of(found, opts.container)
	return patch(self, found, { spec = { template = { spec = { containers = {
		{ name = container, env = list } } } } } }, opts, { verb = "set env",
		request = write.request(self, "set env %s %s", found.ref,
			table.concat(names, " ")) })
end

---Limits of a service's container; rolls out. cpu in cores, memory in bytes, or
---both as Kubernetes writes them ("500m", "2Gi").
---@param self opsh.kubernetes.client
---@param service string
---@param limits {cpu?: number|string, memory?: integer|string}
---@param opts? {container?: string, timeout?: number, expect?: any}
---@return table
function drive.set_limits(self, service, limits, opts)
	opts = said.options(opts, "set_limits", COMMON .. " container")
	said.options(limits, "the limits", "cpu memory")
	local field, parts = require "opsh.kubernetes.field", {}
	for _, name in ipairs { "cpu", "memory" } do
		local v = limits and limits[name]
		if v ~= nil then
			local n = field.quantity(v)
			if not n or n <= 0 then
				said.usage("'%s' is no quantity of %s", tostring(v), name)
			elseif type(v) == "number" then
				v = name == "cpu" and ("%dm"):format(math.ceil(v * 1000))
					or ("%d"):format(math.ceil(v))
			end
			parts[#parts + 1] = name .. "=" .. v
		end
	end
	if #parts == 0 then said.usage "set_limits needs cpu, memory or both" end
	local found = self:one(service)
	local container = container_of(found, opts.container)
	self.call:need(rights({ found }, "patch"), "set resources")
	return write.run(self, { "set", "resources", found.ref, "--containers="
		.. container, "--limits=" .. table.concat(parts, ",") }, opts,
		{ verb = "set resources" })
end

---Back to the revision before the last change, or to `to` (see history).
---@param self opsh.kubernetes.client
---@param service string
---@param opts? {to?: integer, timeout?: number, expect?: any}
---@return table
function drive.undo(self, service, opts)
	opts = said.options(opts, "undo", COMMON .. " to")
	local found = self:one(service)
	local words = { "rollout", "undo", found.ref }
	if opts.to then
		words[4] = "--to-revision=" .. said.integer(opts.to, "option 'to'", 1)
	end
	self.call:need(rights({ found }, "patch"), "undo")
	return write.run(self, words, opts, { verb = "undo" })
end

---Notes on a service; false takes one away.
---@param self opsh.kubernetes.client
---@param service string
---@param notes table<string, string|false>
---@param opts? {timeout?: number, expect?: any}
---@return table
function drive.annotate(self, service, notes, opts)
	opts = said.options(opts, "annotate", COMMON)
	local words, found = {}, self:one(service)
	for key, value in pairs(notes) do
		said.word(key, "annotation")
		if value ~= false and type(value) ~= "string" then
			said.usage("annotation '%s' must be a string", key)
		end
		words[#words + 1] = value and key .. "=" .. value or key .. "-"
	end
	if #words == 0 then said.usage "annotate needs a note" end
	table.sort(words)
	self.call:need(rights({ found }, "patch"), "annotate")
	return write.run(self, join("annotate", "--overwrite", found.ref, words), opts)
end

-- --- commands in pods -------------------------------------------------------------

local RUN = { "stdin", "stdout", "stderr", "timeout", "accept", "expect", "max",
	"live" }

-- The instance that takes the command: the one named, or the first that is ready.
local function instance_of(self, service, opts)
	local rows = self:instances(service, opts)
	for _, row in ipairs(rows) do
		if row.ready then return row.name end
	end
	self:fail { kind = "server", code = "NOT_READY", op = "exec", message =
		("no instance of '%s' is ready%s"):format(service, rows[1]
		and (": %s is %s"):format(rows[1].name, rows[1].reason
		or rows[1].state) or "") }
end

-- The failure of the program itself, without kubectl's word on it.
local function failure_of(self, e, argv, pod)
	local err = require "opsh.c.err"
	if not (err.is(e) and e.kind == "server" and e.status) then
		return e
	end
	local own, stderr = said.of_program(tostring(e.stderr or ""), e.status)
	if not own then
		return require("opsh.kubernetes.call").translate(self.call, e, "exec")
	end
	local first = stderr:match "[^\r\n]+"
	e.stderr, e.op = stderr, "exec"
	e.message = ("'%s' in pod '%s' ended with status %d%s"):format(argv[1], pod,
		e.status, first and ": " .. first:sub(1, 300) or "")
	return e
end

---Runs a program in an instance: options as sh.run, and instance, container.
---Destructive, verb "exec", unless `effect` says less. Its exit status is `status`.
---@param self opsh.kubernetes.client
---@param service string
---@param argv string[]
---@param opts? table
---@return table
function drive.exec(self, service, argv, opts)
	opts = said.options(opts, "exec", "instance container effect verb "
		.. table.concat(RUN, " "))
	if type(argv) ~= "table" or #argv == 0 then
		said.usage "a program and its arguments expected, as a list"
	end
	local class = opts.effect or "destructive"
	local pod = instance_of(self, service, opts)
	if class ~= "read" then
		self.call:need({ { "create", "pods", subresource = "exec" } }, "exec")
	end
	local words = { "exec", pod }
	if opts.stdin ~= nil then words[#words + 1] = "--stdin" end
	if opts.container then
		words[#words + 1] = "--container=" .. said.name(opts.container, "container")
	end
	words[#words + 1] = "--"
	local more = { class = class, verb = opts.verb or "exec", stream = true }
	for _, name in ipairs(RUN) do more[name] = opts[name] end
	if type(more.stdout) == "string" then more.stdout = { file = more.stdout } end
	local fine, result = pcall(self.call.run, self.call, join(words, argv), more)
	if not fine then error(failure_of(self, result, argv, pod), 0) end
	-- an accepted status: kubectl's word on it is not the program's
	local stderr = type(result) == "table" and rawget(result, "stderr")
	if type(stderr) == "string" and rawget(result, "status") ~= 0 then
		local _, own = said.of_program(stderr, rawget(result, "status"))
		rawset(result, "stderr", own)
	end
	return result
end

-- --- nodes ------------------------------------------------------------------------

local function on_node(name)
	return function(self, node, opts)
		opts = said.options(opts, name, COMMON)
		said.name(node, "node")
		self.call:need({ { "patch", "nodes", everywhere = true } }, name)
		return write.run(self, { name, node }, opts)
	end
end

---No new pods on a node.
---@type fun(self: opsh.kubernetes.client, node: string, opts?: table): table
drive.cordon = on_node "cordon"
---New pods on a node again.
---@type fun(self: opsh.kubernetes.client, node: string, opts?: table): table
drive.uncordon = on_node "uncordon"

---Moves all pods away from a node, budgets kept; destructive, verb "drain". opts:
---force (pods of no controller, too), delete_data (of emptyDir volumes), grace
---(seconds for each pod), timeout (120).
---@param self opsh.kubernetes.client
---@param node string
---@param opts? {force?: boolean, delete_data?: boolean, grace?: integer, timeout?: number, expect?: any}
---@return table
function drive.drain(self, node, opts)
	opts = said.options(opts, "drain", COMMON .. " force delete_data grace")
	local limit = opts.timeout or 120
	local words = { "drain", said.name(node, "node"), "--ignore-daemonsets",
		("--timeout=%ds"):format(math.ceil(limit)) }
	if opts.force then words[#words + 1] = "--force" end
	if opts.delete_data then words[#words + 1] = "--delete-emptydir-data" end
	if opts.grace then
		words[#words + 1] = "--grace-period="
			.. said.integer(opts.grace, "option 'grace'", 0)
	end
	self.call:need({ { "patch", "nodes", everywhere = true },
		{ "create", "pods", subresource = "eviction", everywhere = true } },
		"drain")
	return write.run(self, words, { expect = opts.expect, timeout = limit + 5 },
		{ class = "destructive" })
end

---Adds the writes to the client.
---@param Client table
function M.install(Client)
	for name, method in pairs(drive) do Client[name] = method end
end

return M
