-- webhook: what Slack, PagerDuty and others would get, against a real HTTP server
-- that stores each body (component nginx). Their rules are held here: escaping, the
-- fields of an event, that a secret is sent and never shown.
require "harness"
local H = dofile "tests/lib/http.lua"
local json = require "opsh.json"
local secret = require "opsh.secret"
local webhook = require "opsh.webhook"

local URL = os.getenv "OPSH_NGINX_URL"
local ROOT = os.getenv "OPSH_NGINX_ROOT"

-- The body that a result says was stored.
local function body_of(result)
	local f = assert(io.open(ROOT .. "/.." .. result.json.file:sub(2)))
	local text = f:read "a"
	f:close()
	return json.decode(text), text
end

local function on(path, f, opts)
	return function()
		H.with(URL .. path, opts, function(client) f(webhook.of(client), client) end)
	end
end

describe("webhook", function()
	it("webhook.escape", function()
		eq(webhook.escape "<!channel> a & b", "&lt;!channel&gt; a &amp; b")
	end)

	it("webhook.of", on("", function(_, client)
		raises("usage", webhook.of, nil)
		raises("usage", webhook.of, client, { url = "x" })
		local hook = webhook.of(client, { path = "/post/elsewhere" })
		eq(body_of(hook:post { a = 1 }), { a = 1 })
	end))

	it("slack: a text is no markup", on("/post/slack", function(hook)
		local r = hook:slack "p95 > 2 s & rising <@U123>"
		eq(body_of(r), { text = "p95 &gt; 2 s &amp; rising &lt;@U123&gt;" })
		eq(r.json.type, "application/json")
		eq(r.json.method, "POST")
	end))

	it("slack: a message of one's own", on("/post/slack", function(hook)
		local message = { text = "<!here> *P1*", blocks = { { type = "divider" } } }
		eq(body_of(hook:slack(message)), message)
		raises("usage", hook.slack, hook, { channel = "#x" })
		raises("usage", hook.slack, hook, 7)
	end))

	it("slack: a long text is cut at a character", on("/post/slack", function(hook)
		local text = body_of(hook:slack(("é"):rep(50000))).text
		eq(utf8.len(text), 40000)
		eq(text:sub(-3), "...")
	end), { plain = true })

	it("post: any JSON, its status", on("", function(hook)
		eq(body_of(hook:post({ list = { 1, 2 } }, { path = "/post/any",
			headers = { ["X-A"] = "b" }, idempotency_key = "k7" })),
			{ list = { 1, 2 } })
		eq(hook:post({}, { path = "/post/any", idempotency_key = "k7" }).json.key,
			"k7")
		eq(raises("server", hook.post, hook, {}, { path = "/status/404" }).code,
			"404")
		raises("usage", hook.post, hook, {}, { method = "PUT" })
	end))

	it("pagerduty: what is missing is said", on("/accepted", function(hook)
		local key = secret.value "R0123456789ABCDEF0123456789ABCDE"
		for said, event in pairs { ["must be a secret"] = { summary = "x",
				routing_key = "R0123456789ABCDEF0123456789ABCDE" },
			["needs a summary"] = { routing_key = key },
			["needs the dedup_key"] = { routing_key = key, action = "resolve" },
			["unknown action 'close'"] = { routing_key = key, action = "close" },
			["unknown severity 'P1'"] = { routing_key = key, summary = "x",
				severity = "P1" },
			["unknown field 'text'"] = { routing_key = key, text = "x" } } do
			local e = raises("usage", hook.pagerduty, hook, event)
			ok(tostring(e):find(said, 1, true), tostring(e))
		end
	end))

	it("a plan sends nothing", on("/post/plan", function(hook)
		local before = io.popen("ls " .. ROOT .. "/bodies | wc -l"):read "n"
		hook:slack "x"
		hook:post { a = 1 }
		eq(io.popen("ls " .. ROOT .. "/bodies | wc -l"):read "n", before)
	end, { mode = "plan" }), { plain = true })
end)
