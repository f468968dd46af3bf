-- rabbitmq: the management API of a real broker (component rabbitmq): queues, what is
-- in them, writes and their classes. Each test has a queue of its own, deleted after
-- it. What consumers do is in tests/live/rabbitmq.sh.
require "harness"
local H = dofile "tests/lib/http.lua"
local effect = require "opsh.c.effect"
local rabbitmq = require "opsh.rabbitmq"
local secret = require "opsh.secret"
local task = require "opsh.task"

local count = 0

-- f(broker, name of a fresh queue)
local function on(f, opts)
	return function()
		opts = opts or {}
		opts.user = os.getenv "OPSH_RABBITMQ_USER"
		opts.password = secret.value(os.getenv "OPSH_RABBITMQ_PASSWORD")
		H.with(os.getenv "OPSH_RABBITMQ_URL", opts, function(client, object)
			local mq = rabbitmq.of(client)
			count = count + 1
			local name = ("spec %d/%%é"):format(count)
			local _ <close> = setmetatable({}, { __close = function()
				object:pass("", "spec")
				pcall(mq.delete, mq, name)
			end })
			mq:declare(name)
			f(mq, name)
		end)
	end
end

-- The broker's statistics lag behind by a second.
local function depth(mq, name, wanted)
	for _ = 1, 100 do
		local q = mq:queue(name)
		if q.messages == wanted then return q end
		task.sleep(0.1)
	end
	error("the depth never became " .. wanted, 2)
end

describe("rabbitmq", function()
	it("rabbitmq.of wants a client", function()
		raises("usage", rabbitmq.of, nil)
	end)

	it("overview, nodes, connections, consumers, bindings, policies", on(
		function(mq, name)
			ok(mq:overview().rabbitmq_version:find "^%d")
			local node
			for _ = 1, 100 do	-- a broker that began just now has none yet
				node = mq:nodes()[1]
				if node.memory then break end
				task.sleep(0.1)
			end
			eq(node.name, os.getenv "OPSH_RABBITMQ_NODE")
			eq(node.running, true)
			ok(node.memory > 0 and node.memory_limit > node.memory)
			eq(mq:connections(), {})
			eq(mq:consumers(), {})
			eq(mq:consumers { vhost = "/" }, {})
			eq(mq:policies(), {})
			local found
			for _, b in ipairs(mq:bindings { vhost = "/" }) do
				found = found or b.destination == name
			end
			ok(found)
			raises("usage", mq.bindings, mq, { host = "/" })
		end))

	it("queues and queue", on(function(mq, name)
		local found
		for _, q in ipairs(mq:queues { vhost = "/" }) do
			if q.name == name then found = q end
		end
		eq(found.type, "classic")
		eq(found.vhost, "/")
		eq(mq:queue(name).name, name)
		eq(mq:queue "none of this name", nil)
		eq(raises("server", mq.queues, mq, { vhost = "no" }).code, "404")
		raises("usage", mq.queue, mq, 7)
	end))

	it("declare twice the same, not another", on(function(mq, name)
		eq(mq:declare(name).status, 204)
		raises("server", mq.declare, mq, name, { durable = false })
	end))

	it("publish and get, with headers and bytes", on(function(mq, name)
		eq(mq:publish(name, "one", { headers = { n = 1, s = "é" },
			properties = { message_id = "m1", delivery_mode = 2 } }).json.routed,
			true)
		mq:publish(name, "/wA=", { encoding = "base64" })
		eq(mq:publish("no such queue", "x").json.routed, false)
		local list = mq:get(name, { count = 5 })
		eq(#list, 2)
		eq(list[1].payload, "one")
		eq(list[1].encoding, "string")
		eq(list[1].redelivered, false)
		eq(list[1].remaining, 1)
		eq(list[1].routing_key, name)
		eq(list[1].properties.headers, { n = 1, s = "é" })
		eq(list[2].payload, "/wA=")
		eq(list[2].encoding, "base64")
		eq(list[2].bytes, 2)
		-- looked at, put back, marked
		list = mq:get(name, { count = 1 })
		eq(list[1].payload, "one")
		eq(list[1].redelivered, true)
		eq(mq:get(name, { count = 1, requeue = false })[1].payload, "one")
		eq(mq:get(name)[1].payload, "/wA=")
		raises("usage", mq.get, mq, name, { number = 1 })
	end))

	it("purge and delete", on(function(mq, name)
		for n = 1, 3 do mq:publish(name, tostring(n)) end
		eq(mq:purge(name).status, 204)
		eq(mq:get(name), {})
		eq(mq:delete(name, { if_empty = true, if_unused = true }).status, 204)
		eq(mq:queue(name), nil)
		eq(raises("server", mq.get, mq, name).code, "404")
	end))

	it("classes: a look is a write, taking and purging destroy", on(
		function(mq, name)
			mq:publish(name, "x")
			local _, n = H.records()
			mq:queue(name)
			mq:get(name)
			mq:get(name, { requeue = false })
			mq:purge(name)
			local classes = {}
			for _, r in ipairs(H.records(n)) do
				if r.class then classes[#classes + 1] = r.class end
			end
			local seen = table.concat(classes, " ")
			ok(seen:find "write.*destructive.*destructive", seen)
		end), { plain = true })

	it("a plan withholds, and changes nothing", on(function(mq, name)
		mq:publish(name, "x")
		depth(mq, name, 1)
		effect.mode "plan"
		eq(mq:get(name, { expect = {} }), {})
		mq:publish(name, "y")
		mq:purge(name)
		effect.mode "write"
		local list = mq:get(name, { count = 5 })
		eq(#list, 1)
		eq(list[1].redelivered, false)
	end), { plain = true })

	it("without a guard nothing is destroyed", on(function(mq, name)
		mq:publish(name, "x")
		raises("guard", mq.purge, mq, name)
		raises("guard", mq.get, mq, name, { requeue = false })
		eq(#mq:get(name, { count = 5 }), 1)
	end, { guard = true }), { plain = true })

	it("a wrong password is named", function()
		H.with(os.getenv "OPSH_RABBITMQ_URL", { user = "ops",
			password = secret.value "not the password" }, function(client)
			local mq = rabbitmq.of(client)
			eq(raises("auth", mq.overview, mq).code, "401")
		end)
	end)

	it("rabbitmq.time_to_drain", function()
		local function q(t)
			t.ack_rate, t.publish_rate = t.ack_rate or 0, t.publish_rate or 0
			t.growth = t.growth or 0
			return rabbitmq.time_to_drain(t)
		end
		eq(q { messages = 0 }, 0)
		eq(q { messages = 100, ack_rate = 20, publish_rate = 10 }, 10.0)
		eq(q { messages = 100, ack_rate = 10, publish_rate = 20 }, nil)
		eq(q { messages = 100, growth = -4 }, 25.0)
		eq(q { messages = 100 }, nil)
	end)

	it("rabbitmq.fingerprint, rabbitmq.id", function()
		local function m(payload, properties)
			return rabbitmq.fingerprint { exchange = "", routing_key = "q",
				payload = payload, properties = properties }
		end
		eq(m "a", m "a")
		ok(m "a" ~= m "b")
		eq(m("a", { message_id = "1" }), m("b", { message_id = "1" }))
		eq(m("a", { headers = { ["x-delivery-count"] = 1 } }),
			m("a", { headers = { ["x-delivery-count"] = 2 } }))
		ok(m("a", { headers = { n = 1 } }) ~= m("a", { headers = { n = 2 } }))
		local message = { exchange = "", routing_key = "q", payload = "a" }
		ok(rabbitmq.id(message):find "^%x+$")
		eq(#rabbitmq.id(message), 16)
	end)
end)
