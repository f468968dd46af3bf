-- kafka: clients of kind kafka: options, who the cluster is, and how each way of not
-- reaching it is told. On the broker of the stack and on a mock cluster of
-- librdkafka's own. Owns nothing on the broker.
local K = dofile "tests/lib/kafka.lua"
local kafka = require "opsh.kafka"
local options = require "opsh.kafka.options"
local ckafka = require "opsh.c.kafka"
local url = require "run.url"
local secret = require "opsh.secret"

local env = os.getenv

describe("kafka options", function()
	local function read(o)
		if o.url then o.url = url.parse(o.url, secret.value) end
		return options.read("t", o)
	end

	it("become librdkafka's properties", function()
		eq(read({ brokers = "a:1,b:2" }).properties, { ["bootstrap.servers"] =
			"a:1,b:2", ["security.protocol"] = "plaintext" })
		eq(read({ url = "kafka://a,b:2" }).properties["bootstrap.servers"],
			"a:9092,b:2")
		eq(read({ url = "mock://3" }).mock, 3)
		local p = read({ brokers = "a", ca = "/ca", user = "u",
			password = secret.value "pw", sasl = "scram-sha-256",
			conf = { ["linger.ms"] = 20 } }).properties
		eq(p["security.protocol"], "sasl_ssl")
		eq(p["sasl.mechanism"], "SCRAM-SHA-256")
		eq(p["ssl.ca.location"], "/ca")
		eq(p["linger.ms"], "20")
		eq(type(p["sasl.password"]), "userdata")
		eq(read({ brokers = "a", tls = true, verify = false }).properties[
			"enable.ssl.certificate.verification"], "false")
	end)

	it("are refused when they make no sense", function()
		raises("needs 'brokers'", read, {})
		raises("mock://N", read, { brokers = "mock://x" })
		raises("sasl is PLAIN", read, { brokers = "a", sasl = "GSSAPI" })
		raises("needs 'user'", read, { brokers = "a", sasl = "PLAIN" })
		raises("tls is off", read, { brokers = "a", tls = false, ca = "/ca" })
		raises("properties: {", read, { brokers = "a", conf = { { } } })
		raises("No such configuration property", K.open, nil, { brokers = "a",
			conf = { ["linger.mss"] = 1 } })
		raises("opsh decides", K.open, nil, { brokers = "a",
			conf = { ["enable.auto.commit"] = true } })
		raises("1 to 16", K.open, nil, { brokers = "mock://17" })
		raises("above 0", K.open, nil, { brokers = "a", timeout = -1 })
	end)
end)

describe("kafka client", function()
	it("says who the cluster is", K.on(function(events, target)
		local id = events:identity()
		eq(id.cluster_id, env "OPSH_KAFKA_CLUSTER")
		eq(#id.brokers, 1)
		eq(id.controller, id.brokers[1].id)
		eq(id.brokers[1].controller, true)
		eq(target:identity(), "cluster_id=" .. id.cluster_id)
		eq(events:ping(), true)
		eq(kafka.kind.state(events), "ok, 1 broker of cluster "
			.. id.cluster_id)
		ok(tostring(events):find "^events %(kafka 127")
		eq(kafka.target(events), target)
		raises("unknown option", events.identity, events, { tmeout = 1 })
		events:close()
		events:close()
		raises("is closed", events.identity, events)
	end))

	it("takes words as at a prompt", K.on(function(events)
		eq((events "identity").cluster_id, env "OPSH_KAFKA_CLUSTER")
		eq((events " identity timeout=5 ").controller, 1)
		raises("unknown option", function() events "identity x='a b'" end)
		raises("unknown word 'nosuch'", function() events "nosuch" end)
		raises("unknown word", function() events "__gc" end)
		raises("unfinished quote", function() events "identity x='a" end)
		raises("one string", function() events(1) end)
	end))

	it("has a mock cluster for demos", K.mock({ orders = 2 }, function(events)
		local id = events:identity()
		eq(#id.brokers, 3)
		ok(ckafka.mock_brokers(events):find "^127.0.0.1:%d+,")
		ckafka.mock_broker(events, 1, false)
		ckafka.mock_broker(events, 1, true)
		ckafka.mock_delay(events, 1, 0)
		ckafka.mock_leader(events, "orders", 0, 2)
		ckafka.mock_fail(events, 0, 1, 6)
	end))

	it("has none beside a real one", K.on(function(events)
		raises("is no mock cluster", ckafka.mock_brokers, events)
	end))
end)

describe("kafka connection", function()
	local CA <const> = env "OPSH_KAFKA_CA"
	local function login(mechanism, password)
		return { ca = CA, sasl = mechanism, user = env "OPSH_KAFKA_USER",
			password = secret.value(password) }
	end

	local function fails(kind, code, brokers, opts)
		opts = opts or {}
		opts.connect_timeout = opts.connect_timeout or 8
		local e
		K.at(brokers, opts, function(events)
			e = raises(kind, events.identity, events)
		end)
		eq(e.code, code)
		eq(e.outcome, "failed")
		eq(e.target, "events")
		return e
	end

	it("speaks TLS and logs in", function()
		K.at(env "OPSH_KAFKA_TLS_BROKERS", { ca = CA }, function(events)
			eq(events:identity().cluster_id, env "OPSH_KAFKA_CLUSTER")
		end)
		for _, mechanism in ipairs { "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" }
		do
			K.at(env "OPSH_KAFKA_SASL_BROKERS", login(mechanism,
				env "OPSH_KAFKA_PASSWORD"), function(events)
				eq(events:identity().cluster_id, env "OPSH_KAFKA_CLUSTER")
			end)
		end
		K.at(env "OPSH_KAFKA_WRONGHOST_BROKERS", { tls = true, verify = false },
			function(events) events:ping() end)
	end, { plain = true })

	it("tells what is wrong apart", function()
		local e = fails("connect", "ECONNREFUSED", "127.0.0.1:1")
		ok(e.message:find("'127.0.0.1:1': connection refused", 1, true))
		eq(e.phase, "connect")
		e = fails("auth", "_AUTHENTICATION", env "OPSH_KAFKA_SASL_BROKERS",
			login("SCRAM-SHA-256", "not the password"))
		eq(e.phase, "auth")
		e = fails("tls", "HOSTNAME", env "OPSH_KAFKA_WRONGHOST_BROKERS",
			{ ca = CA })
		ok(e.message:find("for another host name", 1, true))
		e = fails("tls", "EXPIRED", env "OPSH_KAFKA_EXPIRED_BROKERS",
			{ ca = CA })
		ok(e.message:find("has expired", 1, true))
		e = fails("tls", "CERTIFICATE", env "OPSH_KAFKA_TLS_BROKERS",
			{ tls = true })
		eq(e.phase, "tls")
		e = fails("tls", "NOTLS", env "OPSH_KAFKA_BROKERS", { ca = CA })
		ok(e.hint:find("tls = false", 1, true))
		e = fails("connect", "_TRANSPORT", env "OPSH_KAFKA_TLS_BROKERS")
		ok(e.hint:find("tls = true", 1, true))
	end, { plain = true })
end)
