-- kubernetes.objects: applies, compares and removes objects as Kubernetes has them,
-- files or tables, and makes Secrets. Objects and secrets go by stdin, never by
-- arguments or the record. Must not retry a write.
local json = require "opsh.json"
local said = require "opsh.kubernetes.said"
local write = require "opsh.kubernetes.write"

local M = {}

local COMMON = "timeout expect"

local objects = {}

-- "-f PATH", or "-f -" and the text of a table.
local function source(what)
	if type(what) == "string" then
		if what == "" or what == "-" then said.usage("'%s' is no file", what) end
		return "--filename=" .. what
	elseif type(what) ~= "table" or next(what) == nil then
		said.usage("a file's path or an object expected, got a %s", type(what))
	end
	if what[1] ~= nil then
		what = { apiVersion = "v1", kind = "List", items = what }
	end
	return "--filename=-", json.encode(what)
end

local function name_of(what)
	if type(what) == "string" then return what end
	if what[1] ~= nil then return ("%d objects"):format(#what) end
	local meta = type(what.metadata) == "table" and what.metadata or {}
	return ("%s/%s"):format(tostring(what.kind):lower(), tostring(meta.name))
end

---Applies a file, an object or a list of them. The cluster is asked first, without
---effect, whether it takes it all and the user may.
---@param self opsh.kubernetes.client
---@param what string|table
---@param opts? {timeout?: number, expect?: any}
---@return table
function objects.apply(self, what, opts)
	opts = said.options(opts, "apply", COMMON)
	local from, text = source(what)
	self.call:run({ "apply", from, "--dry-run=server" }, { verb = "apply --dry-run",
		stdin = text, request = write.request(self, "apply --dry-run=server -f %s",
			name_of(what)) })
	return write.run(self, { "apply", from }, opts, { stdin = text,
		request = write.request(self, "apply -f %s", name_of(what)) })
end

---What apply would change, as a text; nil when nothing.
---@param self opsh.kubernetes.client
---@param what string|table
---@return string?
function objects.diff(self, what)
	local from, text = source(what)
	local result = self.call:run({ "diff", from }, { stdin = text,
		accept = { 0, 1 }, request = write.request(self, "diff -f %s", name_of(what)) })
	return result.status == 1 and result.stdout or nil
end

---Removes an object, TYPE/NAME; destructive, verb "delete".
---@param self opsh.kubernetes.client
---@param what string "certificate/web-tls", "pod/web-1"
---@param opts? {timeout?: number, expect?: any}
---@return table
function objects.delete(self, what, opts)
	opts = said.options(opts, "delete", COMMON)
	local kind, name = said.resource(what):match "^(.-)/(.+)$"
	if not kind then said.usage("'%s' says no name: TYPE/NAME expected", what) end
	self.call:need({ { "delete", kind, name = name } }, "delete")
	return write.run(self, { "delete", what, "--wait=false" }, opts,
		{ class = "destructive" })
end

-- Makes the manifest of a secret of its environment: values reach no argument.
local function manifest_script(keys, values)
	local parts = {}
	for n, key in ipairs(keys) do
		local file = type(values[key]) == "table" and values[key].file
		parts[n] = ([[printf '%s"%s":"%%s"' "$(%s | base64 | tr -d '\n')"]])
			:format(n > 1 and "," or "", key, (file and [[cat -- "$OPSH_VALUE_%d"]]
			or [[printf %%s "$OPSH_VALUE_%d"]]):format(n))
	end
	return [[set -e; printf '%s' "$OPSH_HEAD"; ]] .. table.concat(parts, "; ")
		.. [[; printf '}}']]
end

---Makes or changes a Secret; values are texts, secrets, or { file = PATH }. They go
---by the environment of a helper and by stdin, never by arguments or the record.
---opts: type ("kubernetes.io/tls").
---@param self opsh.kubernetes.client
---@param name string
---@param values table<string, any>
---@param opts? {type?: string, timeout?: number, expect?: any}
---@return table
function objects.secret_apply(self, name, values, opts)
	opts = said.options(opts, "secret_apply", COMMON .. " type")
	said.name(name, "secret")
	local keys, env = {}, {}
	for key in pairs(values) do
		if type(key) ~= "string" or not key:find "^[%w._-]+$" then
			said.usage("'%s' is no key of a secret", tostring(key))
		end
		keys[#keys + 1] = key
	end
	if #keys == 0 then said.usage "a secret needs a key and a value" end
	table.sort(keys)
	for n, key in ipairs(keys) do
		local value = values[key]
		if type(value) == "table" and type(value.file) == "string" then
			value = value.file
		end
		env["OPSH_VALUE_" .. n] = require("opsh.secret").resolve(value)
	end
	local head = json.encode({ apiVersion = "v1", kind = "Secret",
		metadata = { name = name, namespace = self.call.namespace },
		type = opts.type or "Opaque" })
	env.OPSH_HEAD = head:sub(1, -2) .. ',"data":{'
	self.call:need({ { "patch", "secrets", name = name }, { "create", "secrets" } },
		"secret apply")
	return self.call:pipe({ "sh", "-c", manifest_script(keys, values) },
		{ "apply", "--server-side", "--force-conflicts",
			"--field-manager=opsh", "--filename=-" },
		{ class = "write", verb = "secret apply", env = env,
			timeout = opts.timeout, expect = opts.expect,
			request = write.request(self, "apply secret/%s (%s)", name,
				table.concat(keys, ", ")) })
end

---Adds them to the client.
---@param Client table
function M.install(Client)
	for name, method in pairs(objects) do Client[name] = method end
end

return M
