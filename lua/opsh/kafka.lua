-- kafka: targets of kind kafka: `events:topics()`, or as at a prompt
-- `events "lag orders"`. Judging, recording and waiting are the C module's, below
-- all of it. The methods are in files of their own (opsh.kafka.*); this one has the
-- client, its words and the options of the kind.
local c = require "opsh.c.kafka"
local err = require "opsh.c.err"
local line = require "opsh.words"

local M = {}

---@class opsh.kafka.client
local Client = {}
Client.__index = Client

-- Words of `events "WORD ARGUMENT… NAME=VALUE…"`: how a method gets them, when
-- not as (arguments…, options).
local words = {}

-- --- who it is ---------------------------------------------------------------

---Who the cluster is, read from it now. A write is refused (exit 12) when this is
---another cluster than before.
---@param opts? {timeout?: number}
---@return {cluster_id: string, controller: integer, brokers: {id: integer, host: string, port: integer, controller: boolean}[]}
function Client:identity(opts) return c.identity(self, opts) end

---Raises unless the cluster answers.
---@param opts? {timeout?: number}
---@return boolean
function Client:ping(opts) return c.identity(self, opts) ~= nil end

---Closes all connections; the client can't be used after it.
function Client:close() c.close(self) end

---The target of a client: for guards.
---@param client userdata
---@return userdata
function M.target(client) return c.target(client) end

-- --- as at a prompt ------------------------------------------------------------

function Client:__call(text, ...)
	if type(text) ~= "string" or select("#", ...) > 0 then
		error(err.new { kind = "usage", message = "expected one string: "
			.. "\"topics\", \"lag GROUP\", \"consume TOPIC max=10\"" }, 0)
	end
	local args, opts = line.split(text)
	local word = tostring(table.remove(args, 1) or "")
	local method = word:match "^%l[%l_]*$" and Client[word]
	if not method then line.unknown(word, Client) end
	if words[word] then return words[word](self, args, opts) end
	args[#args + 1] = next(opts) and opts or nil
	return method(self, table.unpack(args))
end

for _, part in ipairs { "topics", "groups", "lag", "offsets", "probe",
	"consume", "write" } do
	require("opsh.kafka." .. part).install(Client, words)
end
c.methods(Client)

-- --- the kind ---------------------------------------------------------------------

M.kind = {
	name = "kafka",
	schemes = { "kafka", "mock" },
	connect = function(target, options)
		return c.connect(target,
			require("opsh.kafka.options").read(target:name(), options))
	end,
	ping = function(client) client:identity() end,
	-- how it is connected, for `opsh targets --connect`
	state = function(client)
		local id = client:identity()
		return ("ok, %d broker%s of cluster %s"):format(#id.brokers,
			#id.brokers == 1 and "" or "s", id.cluster_id or "?")
	end,
	options = {
		brokers = { type = "string", help = "HOST:PORT,HOST:PORT of some "
			.. "brokers; mock://N: a mock cluster of N, for demos" },
		tls = { type = "boolean", help = "the listener speaks TLS (default: "
			.. "when ca, cert or key is given)" },
		ca = { type = "string", help = "PEM file of the authorities to trust "
			.. "(default: the system's)" },
		cert = { type = "string", help = "PEM file of our certificate" },
		key = { type = "string", help = "PEM file of its key" },
		key_password = { type = "secret", help = "of the key" },
		verify = { type = "boolean",
			help = "is the broker's certificate checked (default true)" },
		sasl = { type = "string", help = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 "
			.. "(default with a user: SCRAM-SHA-512)" },
		user = { type = "string", help = "to log in as" },
		password = { type = "secret", help = "of the user" },
		timeout = { type = "duration",
			help = "for a call, in seconds (default 30)" },
		connect_timeout = { type = "duration", help = "until a broker has "
			.. "answered, DNS, TLS and login included (default 10)" },
		conf = { type = "table",
			help = "more of librdkafka's properties, by name" },
	},
}

return M
