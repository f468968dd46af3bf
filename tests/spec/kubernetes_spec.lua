-- kubernetes: what kubectl's failures are, the arguments that each method gives to it,
-- names that must not reach it. What is read from its documents is in
-- kubernetes_rows_spec.lua; the cluster itself is asked in tests/live/kubernetes.sh.
require "harness"
local D = dofile "tests/lib/kubernetes.lua"
local json = require "opsh.json"
local kubernetes = require "opsh.kubernetes"
local said = require "opsh.kubernetes.said"
local target = require "opsh.c.target"

local RUNNING = D.RUNNING
local list, deployment, pod = D.list, D.deployment, D.pod

describe("kubernetes said", function()
	local function kind(...)
		local f = said.failure(table.concat { ... })
		return f and f.kind, f and f.code
	end
	it("knows what kubectl's failures are", function()
		eq({ kind 'Error from server (Forbidden): pods is forbidden: User "x" cannot' },
			{ "auth", "Forbidden" })
		eq({ kind "error: You must be logged in to the server (Unauthorized)" },
			{ "auth", "Unauthorized" })
		eq({ kind 'Error from server (NotFound): deployments.apps "x" not found' },
			{ "server", "NotFound" })
		eq({ kind("The connection to the server 127.0.0.1:1 was refused - did you ",
			"specify the right host or port?") }, { "connect", "ECONNREFUSED" })
		eq({ kind "Unable to connect to the server: dial tcp: lookup x: no such host" },
			{ "connect" })
		eq({ kind("Unable to connect to the server: tls: failed to verify ",
			"certificate: x509: certificate signed by unknown authority") },
			{ "tls", "X509" })
		eq({ kind "error: context deadline exceeded (Client.Timeout)" },
			{ "timeout", "Timeout" })
		eq({ kind "Unable to connect to the server: unexpected EOF" },
			{ "connect", "EOF" })
		eq({ kind 'error: the server doesn\'t have a resource type "x"' },
			{ "usage", "UNSUPPORTED" })
		eq({ kind "Error in configuration: context was not found for x" }, { "config" })
		eq({ kind("E1121 12:18:38 993 memcache.go:265] noise\n",
			"Error from server (Conflict): changed") }, { "server", "Conflict" })
		eq(said.failure('Error from server (Forbidden): error when retrieving of:\n'
			.. 'Resource: "x"\nfrom server for: "STDIN": configmaps "x" is '
			.. 'forbidden').message, 'error when retrieving of: configmaps "x" '
			.. 'is forbidden')
		eq(table.concat(said.doubts, "|"):find("unexpected EOF", 1, true) ~= nil, true)
		eq(said.failure "", nil)
		eq(said.failure("error: nothing.").message, "nothing")
		eq(said.failure("Error from server (Conflict): changed").message, "changed")
	end)

	it("tells a program's status from kubectl's own", function()
		eq({ said.of_program("Defaulted container \"a\" out of: a, b\nno\n"
			.. "command terminated with exit code 7\n", 7) }, { true, "no\n" })
		eq((said.of_program("error: pod not found", 1)), false)
	end)

	it("lets no bad name pass", function()
		eq(said.name("web-1.a", "pod"), "web-1.a")
		for _, bad in ipairs { "", "-n", "Web", "a b", "a/b", "a\n", "a-",
			("a"):rep(254), 7 } do
			raises("usage", said.name, bad, "pod")
		end
		eq(said.resource "pods/web-1", "pods/web-1")
		for _, bad in ipairs { "", "-o", "pods/", "pods/-x", "a b", "x=y" } do
			raises("usage", said.resource, bad)
		end
		eq(said.word("img:1", "image"), "img:1")
		raises("usage", said.word, "--all", "image")
		raises("usage", said.word, "a b", "image")
		raises("usage", said.integer, 1.5, "x", 0)
		raises("usage", said.integer, -1, "x", 0)
		raises("usage", said.options, { tial = 1 }, "logs", "tail since")
		raises("usage", said.usage, "%s", "x")
		eq(said.quoted { "a", "b c", "it's" }, "a 'b c' 'it'\\''s'")
	end)
end)

-- A client whose kubectl is `answers`: words -> a result or a document.
local function client(answers)
	local t = target.new { name = "k", kind = "kubernetes" }
	local c = kubernetes.kind.connect(t, { namespace = "opsh" })
	local calls = {}
	c.call = { namespace = "opsh", target = t,
		run = function(_, words, opts)
			calls[#calls + 1] = { words = table.concat(words, " "), opts = opts or {} }
			return { stdout = "", status = 0, ok = true }
		end,
		json = function(_, words)
			return answers and answers(words) or list(deployment("web"),
				pod("web", { state = RUNNING, ready = true }))
		end,
		need = function() end, may = function() return true end,
		identify = function() end }
	return c, calls
end

describe("kubernetes arguments", function()
	it("are those of the call, each with its class", function()
		local c, calls = client()
		local function last(words, class)
			local one = calls[#calls]
			eq(one.words, words)
			eq(one.opts.class or "read", class)
			return one.opts
		end
		c:restart "web"
		last("rollout restart deployment/web", "write")
		eq(calls[#calls].opts.verb, "restart")
		c:scale("web", 3)
		last("scale deployment/web --replicas=3 --current-replicas=2", "write")
		c:scale("web", 1)
		last("scale deployment/web --replicas=1 --current-replicas=2", "destructive")
		c:stop "web"
		last("patch deployment/web --type=strategic --patch-file=/dev/stdin",
			"destructive")
		eq(json.decode(calls[#calls].opts.stdin).metadata.annotations,
			{ ["opsh/replicas"] = "2" })
		c:set_image("web", "img:2")
		last("set image deployment/web web=img:2", "write")
		local o = (c:set_env("web", { A = "--x y", B = false }) and nil)
			or last("patch deployment/web --type=strategic "
			.. "--patch-file=/dev/stdin", "write")
		eq(o.request, "kubectl -n opsh set env deployment/web A B")
		ok(o.stdin:find('"--x y"', 1, true))
		c:set_limits("web", { cpu = 0.25, memory = "2Gi" })
		last("set resources deployment/web --containers=web "
			.. "--limits=cpu=250m,memory=2Gi", "write")
		c:undo("web", { to = 3 })
		last("rollout undo deployment/web --to-revision=3", "write")
		c:annotate("web", { a = "b", c = false })
		last("annotate --overwrite deployment/web a=b c-", "write")
		c:cordon "node"
		last("cordon node", "write")
		c:uncordon "node"
		last("uncordon node", "write")
		c:drain("node", { force = true, grace = 1 })
		last("drain node --ignore-daemonsets --timeout=120s --force "
			.. "--grace-period=1", "destructive")
		c:delete "certificate/web-tls"
		last("delete certificate/web-tls --wait=false", "destructive")
		c:apply { kind = "X", metadata = { name = "y" } }
		last("apply --filename=-", "write")
		eq(calls[#calls].opts.request, "kubectl -n opsh apply -f x/y")
		c:diff "a.yaml"
		last("diff --filename=a.yaml", "read")
		c:describe "web"
		last("describe deployment/web", "read")
	end)

	it("run a program in the pod that is ready", function()
		local c, calls = client()
		c:exec("web", { "sh", "-c", "--x" }, { stdin = "in", effect = "read" })
		eq(calls[1].words, "exec web-abc12-x1 --stdin -- sh -c --x")
		eq(calls[1].opts.class, "read")
		c:exec("web", { "ls" }, { instance = "web-0", container = "web" })
		eq(calls[2].words, "exec web-0 --container=web -- ls")
		eq(calls[2].opts.class, "destructive")
		raises("usage", c.exec, c, "web", {})
		raises("usage", c.exec, c, "web", { "ls" }, { instance = "-x" })
		local none = client(function() return list(deployment("web")) end)
		raises("server", none.exec, none, "web", { "ls" })
	end)

	it("refuse what is not there and what is no name", function()
		local c = client()
		raises("no service 'wbe'", c.one, c, "wbe")
		raises("usage", c.status, c, { "a b" })
		raises("usage", c.set_image, c, "web", "-x")
		raises("usage", c.set_env, c, "web", { ["a b"] = "1" })
		raises("usage", c.set_env, c, "web", {})
		raises("usage", c.set_limits, c, "web", { cpu = "much" })
		raises("usage", c.scale, c, "web", -1)
		raises("usage", c.delete, c, "pods")
		raises("usage", c.drain, c, "--all")
		raises("usage", c.logs, c, "web", { tail = -1 })
		raises("usage", c.logs, c, "web", { follow = true, previous = true })
		raises("usage", c.secret_apply, c, "x", { ["a b"] = "1" })
		raises("usage", kubernetes.kind.connect, target.new { name = "k",
			kind = "kubernetes" }, { namespace = "-A" })
	end)

	it("are not sent for nothing", function()
		local c, calls = client(function()
			local item = deployment("web")
			item.kind = "DaemonSet"
			return list(item)
		end)
		raises("UNSUPPORTED", function()
			local fine, e = pcall(c.stop, c, "web")
			error(fine and "no error" or e.code, 0)
		end)
		c:start "web"
		eq(#calls, 0)
	end)

	it("of reads give rows", function()
		local c = client()
		eq(c:services(), { "web" })
		eq(c:definition("web").service, "web")
		eq(#c:status "web", 2)
		eq(#c:pods(), 1)
		eq(c:find()[1].ref, "deployment/web")
		eq(c:instances("web", { instance = "web-0" })[1].name, "web-0")
		eq(c:rollout_status("web", { wait = true }).done, true)
		eq(#c:history "web", 0)
		eq(#c:nodes(), 2)
		eq(#c:hpa(), 2)
		eq(#c:ingresses(), 2)
		eq(#c:certificates(), 2)
		eq(#c:events "web", 0)
		eq(#c:top "web", 1)
		eq(c:can { { "get", "pods" } }, { { verb = "get", resource = "pods",
			allowed = true } })
		eq(c:can_i("get", "pods"), true)
		raises("server", c.fail, c, { kind = "server", message = "m" })
		local secret = client(function()
			return { kind = "Secret", metadata = { name = "s" },
				data = { password = "aGlkZGVu" } }
		end)
		eq(secret:get("secret/s").data, { password = "***" })
		eq(type(c:identity()), "table")
	end)
end)
