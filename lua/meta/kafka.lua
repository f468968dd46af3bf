---@meta opsh.c.kafka
-- The C module below opsh.kafka, on librdkafka (INTRODUCTION.md, CONFIGURATION.md of
-- librdkafka 2.0.2). What waits parks its task; what goes wrong is raised, with the
-- protocol's own name as its code (UNKNOWN_TOPIC_OR_PART, _MSG_TIMED_OUT).

local kafka = {}

---A client; connects when it is first used.
---@param target userdata
---@param options {properties?: table<string, string|userdata>, mock?: integer, timeout?: number, connect_timeout?: number} librdkafka's properties; mock: brokers of a mock cluster
---@return userdata client
function kafka.connect(target, options) end

---@param client userdata
function kafka.close(client) end

---@param client userdata
---@return userdata target
function kafka.target(client) end

---How many handles of librdkafka have not ended yet: they end beside the program.
---@return integer
function kafka.handles() end

---Where the methods of clients are looked up.
---@param methods table
function kafka.methods(methods) end

---Who the cluster is (rd_kafka_metadata, rd_kafka_clusterid, rd_kafka_controllerid).
---@param client userdata
---@param opts? {timeout?: number}
---@return {cluster_id: string, controller: integer, brokers: {id: integer, host: string, port: integer, controller: boolean}[]}
function kafka.identity(client, opts) end

---The bootstrap list of the client's mock cluster. This and what follows is for
---faults in tests; raises usage on a real one.
---@param client userdata
---@return string
function kafka.mock_brokers(client) end

---@param client userdata
---@param topic string
---@param partitions? integer
---@param replication? integer
function kafka.mock_topic(client, topic, partitions, replication) end

---The next `count` requests of that kind are answered with an error.
---@param client userdata
---@param api integer key of the protocol: 0 Produce, 1 Fetch, 22 InitProducerId …
---@param count integer
---@param code integer of the protocol; -195: the connection is closed
function kafka.mock_fail(client, api, count, code) end

---@param client userdata
---@param id integer
---@param up boolean
function kafka.mock_broker(client, id, up) end

---@param client userdata
---@param id integer
---@param seconds number that each answer takes
function kafka.mock_delay(client, id, seconds) end

---@param client userdata
---@param topic string
---@param partition integer
---@param id integer broker; -1: none
function kafka.mock_leader(client, topic, partition, id) end

return kafka
