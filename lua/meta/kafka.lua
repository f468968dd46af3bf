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

---Writes messages (rd_kafka_produce_batch, rd_kafka_produceva) and waits for the
---delivery report of each. Raises when one was not written, or may not have been
---(outcome unknown), with done, failed, unknown, partitions in the error.
---@param client userdata
---@param topic string
---@param messages (string|table)[] table: value, key, headers, partition, timestamp
---@param opts? {partition?: integer, timeout?: number, errors?: "keep", expect?: any, single?: boolean}
---@param tx? userdata transaction that it is part of
---@return table result done, failed, unknown, count, topic, partitions {[p] = {count, first, last}}; of a single one partition, offset
function kafka.produce(client, topic, messages, opts, tx) end

---@param client userdata
---@param id string transactional id
---@return userdata tx not begun; closed with its producer when it goes
function kafka.tx_new(client, id) end

---Begins it: rd_kafka_init_transactions when the producer is new, which fences off
---whoever has the id.
---@param client userdata
---@param tx userdata
---@param opts? {timeout?: number}
function kafka.tx_begin(client, tx, opts) end

---@param client userdata
---@param tx userdata
---@param group string
---@param list {topic: string, partition: integer, offset: integer}[]
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.tx_offsets(client, tx, group, list, opts) end

---Raises with outcome unknown when the reply is lost.
---@param client userdata
---@param tx userdata
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.tx_commit(client, tx, opts) end

---Aborts what has not ended; else does nothing.
---@param client userdata
---@param tx userdata
---@param opts? {timeout?: number}
function kafka.tx_abort(client, tx, opts) end

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

-- --- questions and orders ------------------------------------------------------
-- What opsh.kafka.topics, groups and offsets stand on; they look first whether a
-- topic or a group exists.

---All brokers and topics (rd_kafka_metadata). leader -1: nobody leads it.
---@param client userdata
---@param opts? {timeout?: number}
---@return {brokers: {id: integer, host: string, port: integer}[], controller?: integer, cluster_id?: string, topics: {topic: string, error?: string, partitions: {partition: integer, leader: integer, replicas: integer[], isr: integer[], error?: string}[]}[]}
function kafka.metadata(client, opts) end

---Lets a producer of the client know all topics as they are now; by itself it looks
---every five minutes.
---@param client userdata
---@param n integer which of its producers, from 1
---@param opts? {timeout?: number}
---@return boolean there is one
function kafka.refresh(client, n, opts) end

---Offsets of many partitions (rd_kafka_offsets_for_times), one request a broker and
---time. What has no leader must not be in it: there would be no answer.
---@param client userdata
---@param topics string[]
---@param partitions integer[] as many
---@param times integer[] 1 to 4: milliseconds; -2 the first, -1 the next one
---@param opts? {timeout?: number}
---@return integer[][] offsets a list for each time; -1: none that late, or an error
---@return table<integer, string> errors by place in the list
function kafka.offsets(client, topics, partitions, times, opts) end

---Groups, and what the brokers that did not answer said (ListConsumerGroups).
---@param client userdata
---@param opts? {timeout?: number}
---@return {group: string, state: string, simple: boolean}[]
---@return string[] errors
function kafka.groups(client, opts) end

---Groups with their members (DescribeConsumerGroups). One that does not exist has the
---state "Dead".
---@param client userdata
---@param names string[]
---@param opts? {timeout?: number}
---@return {group: string, state: string, assignor?: string, simple: boolean, coordinator?: integer, members: table[], error?: string, why?: string}[]
function kafka.describe_groups(client, names, opts) end

---All that a group has committed (ListConsumerGroupOffsets).
---@param client userdata
---@param group string
---@param opts? {timeout?: number}
---@return {topic: string, partition: integer, offset?: integer, metadata?: string, error?: string}[]
function kafka.committed(client, group, opts) end

---Sets offsets (AlterConsumerGroupOffsets): **makes the group** when there is none.
---@param client userdata
---@param group string
---@param list {topic: string, partition: integer, offset: integer}[]
---@param opts? {timeout?: number, expect?: any}
---@return table result count
function kafka.set_offsets(client, group, list, opts) end

---Takes offsets away (DeleteConsumerGroupOffsets).
---@param client userdata
---@param group string
---@param list {topic: string, partition: integer}[]
---@param opts? {timeout?: number, expect?: any}
---@return table result count
function kafka.forget_offsets(client, group, list, opts) end

---@param client userdata
---@param group string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.delete_group(client, group, opts) end

---@param client userdata
---@param name string
---@param partitions integer
---@param replication integer -1: the broker's default
---@param config table<string, string>
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.create_topic(client, name, partitions, replication, config, opts) end

---@param client userdata
---@param topic string
---@param total integer
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.add_partitions(client, topic, total, opts) end

---@param client userdata
---@param topic string
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.delete_topic(client, topic, opts) end

---Removes the messages before these offsets.
---@param client userdata
---@param topic string
---@param before table<integer, integer> by partition
---@param opts? {timeout?: number, expect?: any}
---@return table result value: the first offsets that are left
function kafka.delete_records(client, topic, before, opts) end

---Settings (DescribeConfigs). source: "topic", "broker", "cluster" (all brokers),
---"file", "default".
---@param client userdata
---@param what "topic"|"broker"
---@param name string
---@param opts? {timeout?: number, broker?: integer} broker: the one that is asked
---@return {name: string, value?: string, source: string, sensitive?: boolean, read_only?: boolean}[]
function kafka.configs(client, what, name, opts) end

---Writes **all** settings of a topic (AlterConfigs): what is not given goes back to
---its default.
---@param client userdata
---@param what "topic"|"broker"
---@param name string
---@param all table<string, string>
---@param text string what the record says of it
---@param opts? {timeout?: number, expect?: any}
---@return table result
function kafka.set_configs(client, what, name, all, text, opts) end

-- --- messages ---------------------------------------------------------------------

---Opens a reader of messages: assigned partitions, no group unless join = true, which
---is a write (rd_kafka_subscribe, rd_kafka_offset_store). What it returns is for
---a generic for; of "list", next() gives all messages, why they end and where.
---Raises kind check when an offset lies outside of the log, protocol for a value that
---should be JSON (rd_kafka_consume_start_queue, rd_kafka_consume_batch_queue).
---@param client userdata
---@param options table as of `consume` of opsh.kafka.consume; group with join alone
---@param how "each"|"list"|"follow"
---@param decode? fun(text: string): any of JSON
---@return fun(): any next, nil, nil, userdata reader
function kafka.read(client, options, how, decode) end

return kafka
