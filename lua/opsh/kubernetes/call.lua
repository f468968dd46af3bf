-- kubernetes.call: runs kubectl for one target: by argv, with the context and the
-- namespace pinned at the first call, its JSON decoded, its failures translated.
-- Finds out whose cluster it is (the uid of namespace kube-system) and, before a
-- write, whether the user may. Owns the pinned place and the cached rights. Must not
-- know what the verbs are for.
local err = require "opsh.c.err"
local exec = require "opsh.c.exec"
local field = require "opsh.kubernetes.field"
local json = require "opsh.json"
local said = require "opsh.kubernetes.said"
local task = require "opsh.task"

local M = {}

---@class opsh.kubernetes.call
---@field target userdata
---@field timeout number
local Call = {}
Call.__index = Call

-- What kubectl and the programs that it gets credentials from look at.
local INHERIT = { "KUBECONFIG", "KUBECACHEDIR", "KUBERNETES_SERVICE_HOST",
	"KUBERNETES_SERVICE_PORT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "AWS_PROFILE", "AWS_REGION",
	"AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "CLOUDSDK_CONFIG",
	"GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CONFIG_DIR" }

local FRESH = 5		-- seconds that an identity is believed before a write

---@param target userdata
---@param options table of the kind
---@return opsh.kubernetes.call
function M.new(target, options)
	return setmetatable({ target = target, kubectl = options.kubectl or "kubectl",
		kubeconfig = options.kubeconfig, context = options.context,
		namespace = options.namespace, timeout = options.timeout or 30,
		max = options.max_output or 64 << 20, rights = {} }, Call)
end

-- kubectl and what is the same in each call. limit: seconds for each of its
-- requests; 0: none, for what streams.
local function program(self, limit)
	local argv = { self.kubectl, "--request-timeout",
		limit == 0 and "0" or ("%ds"):format(math.max(1, math.ceil(limit))) }
	local function add(option, value)
		if value then
			argv[#argv + 1] = option
			argv[#argv + 1] = value
		end
	end
	add("--kubeconfig", self.kubeconfig)
	add("--context", self.context)
	add("--namespace", self.namespace)
	return argv
end

---@param words string[]
---@param limit number
---@return string[]
function Call:argv(words, limit)
	local argv = program(self, limit)
	return table.move(words, 1, #words, #argv + 1, argv)
end

-- As people would type it; the context stands in the identity.
local function request(self, words)
	local list = { "kubectl" }
	if self.namespace then list[2], list[3] = "-n", self.namespace end
	return said.quoted(table.move(words, 1, #words, #list + 1, list))
end

-- The error of ours for one of exec; it stays what it is when kubectl said nothing.
local function translate(self, e, verb)
	if not err.is(e) then return e end
	if e.kind == "timeout" and e.phase == "wait" then
		e.message = ("no answer from %s: %s"):format(self.server
			or "the cluster", e.message)
		return e
	end
	if e.kind ~= "server" or type(e.stderr) ~= "string" or e.signal then
		return e
	end
	local why = said.failure(e.stderr)
	if not why then return e end
	if why.kind == "connect" and self.server
		and not why.message:find(self.server:gsub("^%a+://", ""), 1, true) then
		why.message = ("%s: %s"):format(self.server, why.message)
	end
	return err.new { kind = why.kind, code = why.code or e.code,
		phase = why.phase, message = why.message, target = e.target, op = verb,
		outcome = e.outcome, stdout = e.stdout, stderr = e.stderr,
		status = e.status, hint = why.code == "UNSUPPORTED"
			and "is what it needs installed in this cluster?" or nil }
end
M.translate = translate

-- Options of exec for these words.
local function options(self, words, opts)
	local limit = opts.timeout or self.timeout
	return { class = opts.class or "read", verb = opts.verb or words[1],
		request = opts.request or request(self, words),
		timeout = limit, stdin = opts.stdin, stdout = opts.stdout,
		stderr = opts.stderr, accept = opts.accept, expect = opts.expect,
		max = opts.max or self.max, live = opts.live, inherit = INHERIT,
		env = opts.env, doubt = words[1] ~= "exec" and said.doubts or nil }, limit
end

-- One run as it is, without finding out where first.
local function raw(self, words, opts)
	local o, limit = options(self, words, opts)
	local fine, result = pcall(exec.run, self.target,
		{ self:argv(words, opts.stream and 0 or limit) }, o)
	if not fine then error(translate(self, result, o.verb), 0) end
	return result
end

-- --- where, and whose it is -----------------------------------------------------------

-- Context, namespace and server, as the kubeconfig says now: a file that somebody
-- changes meanwhile must not send the next call to another cluster.
local function pin(self)
	if self.pinned then return end
	local fine, result = pcall(raw, self, { "config", "view", "--minify",
		"--output", "json" }, { verb = "config view" })
	local config
	if fine then
		config = json.decode(result.stdout)
		self.context = self.context or field.str(config, "current-context")
		self.server = field.str(config, "clusters", 1, "cluster", "server")
		self.user = field.str(config, "contexts", 1, "context", "user")
	elseif not (err.is(result) and tostring(result.stderr)
		:find("current-context must exist", 1, true)) then
		error(result, 0)
	end	-- else there is no kubeconfig: kubectl runs inside of a cluster
	self.namespace = self.namespace or field.str(config, "contexts", 1,
		"context", "namespace") or "default"
	self.target:at(self.server or "the cluster around")
	self.pinned = true
end

-- Reads whose cluster it is. One who may not see kube-system has its address.
local function identify(self)
	pin(self)
	local fine, result = pcall(raw, self, { "get", "namespace", "kube-system",
		"--output", "json" }, {})
	local uid
	if fine then
		uid = field.str(json.decode(result.stdout), "metadata", "uid")
	elseif not (err.is(result) and result.code == "Forbidden") then
		error(result, 0)
	end
	self.identity = ("cluster=%s namespace=%s"):format(uid or self.server
		or "?", self.namespace)
	self.known = task.now()
	self.target:seen(self.identity, "")
end

---Asks again whose cluster it is, when that is older than `age` seconds.
---@param age number
function Call:identify(age)
	if not self.known or task.now() - self.known > age then identify(self) end
end

---Runs kubectl. A write asks first whose cluster it is. opts: those of exec.run,
---and `stream`: no limit for its single requests.
---@param words string[] verb and arguments
---@param opts? table
---@return table result of exec.run
function Call:run(words, opts)
	opts = opts or {}
	self:identify(opts.class and opts.class ~= "read" and FRESH or math.huge)
	return raw(self, words, opts)
end

---Runs a program whose output is kubectl's input.
---@param first string[] argv
---@param words string[]
---@param opts table
---@return table result of exec.run
function Call:pipe(first, words, opts)
	self:identify(FRESH)
	local o, limit = options(self, words, opts)
	local fine, result = pcall(exec.run, self.target,
		{ first, self:argv(words, limit) }, o)
	if not fine then error(translate(self, result, o.verb), 0) end
	return result
end

---Starts kubectl for what goes on, such as a log that is followed.
---@param words string[]
---@return userdata process
function Call:start(words)
	self:identify(math.huge)
	return exec.start(self.target, self:argv(words, 0), { class = "read",
		verb = words[1], request = request(self, words), inherit = INHERIT,
		max = 1 << 20 })
end

---What kubectl prints as JSON. Where only a part may be seen, that part.
---@param words string[]
---@param opts? table
---@return table document
function Call:json(words, opts)
	words = table.move(words, 1, #words, 1, {})
	words[#words + 1], words[#words + 2] = "--output", "json"
	local fine, result = pcall(self.run, self, words, opts)
	if not fine then
		local e = result
		-- of several types, those that the user may see are printed
		local partial = err.is(e) and e.code == "Forbidden"
			and type(e.stdout) == "string" and e.stdout:find '"items": %[%s*{'
		if not partial then error(e, 0) end
		result = e
	end
	return json.decode(result.stdout)
end

-- --- rights ---------------------------------------------------------------------------

---May the user do it? A yes is remembered.
---@param verb string such as "patch"
---@param resource string such as "deployments.apps"
---@param opts? {subresource?: string, name?: string, everywhere?: boolean}
---@return boolean
function Call:may(verb, resource, opts)
	opts = opts or {}
	local sub = opts.subresource
	local key = table.concat({ verb, resource, sub or "", opts.name or "",
		opts.everywhere and "*" or "" }, " ")
	if self.rights[key] then return true end
	local words = { "auth", "can-i", verb,
		resource .. (opts.name and "/" .. opts.name or "") }
	if sub then words[#words + 1] = "--subresource=" .. sub end
	if opts.everywhere then words[#words + 1] = "--all-namespaces" end
	local result = self:run(words, { verb = "auth can-i", accept = { 0, 1 } })
	if result.status == 1 and not result.stdout:find "^no" then
		error(translate(self, err.new { kind = "server", code = "1",
			message = "cannot ask for rights", stderr = result.stderr,
			stdout = "" }, "auth can-i"), 0)
	end
	self.rights[key] = result.status == 0
	return result.status == 0
end

-- Who we are for the cluster; the user of the kubeconfig where it won't say.
local function whoami(self)
	local fine, doc = pcall(self.json, self, { "auth", "whoami" },
		{ verb = "auth whoami" })
	return fine and field.str(doc, "status", "userInfo", "username")
		or self.user or "?"
end

---Raises kind auth, before anything is sent, unless the user may do all of it.
---@param list {[1]: string, [2]: string, subresource?: string, name?: string, everywhere?: boolean}[]
---@param op string the verb of ours
function Call:need(list, op)
	for _, right in ipairs(list) do
		if not self:may(right[1], right[2], right) then
			local what = right[2] .. (right.subresource and "/"
				.. right.subresource or "")
			error(err.new { kind = "auth", code = "Forbidden", phase = "auth",
				target = self.target:name(), op = op, outcome = "refused",
				message = ("user '%s' may not %s '%s' %s: nothing was sent")
					:format(whoami(self), right[1], what, right.everywhere
					and "in this cluster" or ("in namespace '%s'"):format(
					self.namespace)),
				hint = ("kubectl auth can-i %s %s"):format(right[1], right[2]) }, 0)
		end
	end
end

return M
