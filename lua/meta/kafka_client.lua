---@meta opsh.c.kafka.client
-- kafka_client: the documentation of targets of kind kafka: topics, groups,
-- offsets. What reads and writes messages is described where it is written
-- (lua/opsh/kafka). Read by `opsh help`, completion and editors; never executed.

---A target of kind kafka: `events` in playbooks and in the REPL. Its methods are
---also words of one string: `events "topics"`, `events "lag processor"`,
---`events "consume orders max=10"`.
---
---Rows are plain tables. Writes return a result; create_topic, add_partitions,
---alter_config, commit and reset_offsets are writes; delete_topic, delete_records
---and delete_group are destructive. Reading joins no group and commits nothing.
---
---Raises: connect, tls, auth, timeout, server (code is Kafka's name of the error),
---unknown (a write that may have been applied), check, usage, refused, guard,
---changed (another cluster than before).
---
---    for _, row in ipairs(events:lag "processor") do print(row.topic, row.lag) end
---
---Source: librdkafka.
---@class opsh.kafka.client
---@operator call(string): any
local Client = {}

---@class opsh.kafka.topic
---@field topic string
---@field partitions integer
---@field replication integer the least of its partitions
---@field under_replicated integer partitions with a replica that is behind
---@field leaderless integer partitions that nobody leads
---@field internal boolean
---@field error? string

---The topics, sorted; Kafka's own with `internal`.
---@param opts? {internal?: boolean, timeout?: number}
---@return opsh.kafka.topic[]
function Client:topics(opts) end

---A topic with its partitions (partition, leader, replicas, isr, offline) and
---settings: `config` all of them, `dynamic` those set for this topic.
---@param topic string
---@param opts? {timeout?: number}
---@return table topic
function Client:describe(topic, opts) end

---@param opts? {timeout?: number}
---@return {id: integer, host: string, port: integer, rack?: string, controller: boolean}[] brokers
function Client:brokers(opts) end

---The first offset of each partition, and the next.
---@param topic string
---@param opts? {partition?: integer, timeout?: number}
---@return {topic: string, partition: integer, low: integer, high: integer}[] rows
function Client:watermarks(topic, opts) end

---Makes a topic. A write.
---@param topic string
---@param opts? {partitions?: integer, replication?: integer, config?: table<string, string|number|boolean>, expect?: any, timeout?: number} partitions: 1
---@return table result
function Client:create_topic(topic, opts) end

---Gives a topic more partitions. Keys go to other partitions from then on. A write.
---@param topic string
---@param total integer how many there are to be
---@param opts? {expect?: any, timeout?: number}
---@return table result
function Client:add_partitions(topic, total, opts) end

---Changes settings of a topic; those that are not named stay. A write.
---@param topic string
---@param change table<string, string|number|boolean> name = value
---@param opts? {remove?: string[], expect?: any, timeout?: number} remove: back to the broker's
---@return table result
function Client:alter_config(topic, change, opts) end

---Removes a topic with all that is in it. Destructive.
---@param topic string
---@param opts? {expect?: any, timeout?: number}
---@return table result
function Client:delete_topic(topic, opts) end

---Removes the messages before an offset. Destructive.
---@param topic string
---@param before table<integer, integer> partition = offset
---@param opts? {expect?: any, timeout?: number}
---@return table result
function Client:delete_records(topic, before, opts) end

---The consumer groups: group, state, members, protocol, assignor, coordinator.
---@param opts? {timeout?: number}
---@return table[] rows
function Client:groups(opts) end

---A group with its members and the partitions that each has.
---@param group string
---@param opts? {timeout?: number}
---@return opsh.kafka.group
function Client:describe_group(group, opts) end

---Removes a group, and with it what it has committed. Destructive; refused while
---somebody is in it.
---@param group string
---@param opts? {expect?: any, timeout?: number}
---@return table result
function Client:delete_group(group, opts) end

---How far a group is behind, a row a partition; all groups without a name.
---@param group? string
---@param opts? {topic?: string, timeout?: number}
---@return opsh.kafka.lag[]
function Client:lag(group, opts) end

---What is produced and consumed a second, and how long until there is no lag, from
---some looks at the offsets.
---@param group? string
---@param opts? {interval?: number, samples?: integer, topic?: string, timeout?: number} interval: seconds between two looks (5)
---@return opsh.kafka.rate[]
function Client:lag_rate(group, opts) end

---Looks at the lag again and again: rows and the sum of the lag.
---
---    for rows, total in events:lag_watch("processor", { count = 3 }) do print(total) end
---@param group? string
---@param opts? {interval?: number, count?: integer, window?: integer, topic?: string, timeout?: number}
---@return fun(): opsh.kafka.rate[]?, integer?
function Client:lag_watch(group, opts) end

---Where reset_offsets would set a group's offsets, partition by partition. A read.
---@param group string
---@param opts {to: "earliest"|"latest"|integer|table, topic?: string, timeout?: number} to: {time = seconds}, or a table by partition too
---@return opsh.kafka.move[]
function Client:offsets_plan(group, opts) end

---Sets a group's offsets: it must exist, and nobody may be in it. A write; `before`
---of the result is what restore_offsets takes.
---@param group string
---@param opts {to: "earliest"|"latest"|integer|table, topic?: string, timeout?: number}
---@return table result before, after, skips, repeats
function Client:reset_offsets(group, opts) end

---Puts back what a group had committed.
---@param group string
---@param before {topic: string, partition: integer, committed?: integer}[]
---@param opts? {timeout?: number}
---@return table result
function Client:restore_offsets(group, before, opts) end

---Commits offsets for a group in which nobody is. A write.
---@param group string
---@param list {topic: string, partition: integer, offset: integer}[]
---@param opts? {create?: boolean, expect?: any, timeout?: number} create: the group need not exist
---@return table result
function Client:commit(group, list, opts) end

---Writes a message and reads it back: does the way through the brokers work? A write.
---@param opts? {topic?: string, partition?: integer, timeout?: number} topic: "opsh-probe", which must exist
---@return opsh.kafka.probe
function Client:round_trip(opts) end

---Who the cluster is, read from it now: cluster_id, controller, brokers. Another one
---than before stops the next write (exit 12).
---@param opts? {timeout?: number}
---@return table identity
function Client:identity(opts) end

---Closes all connections; further calls raise usage.
function Client:close() end

return Client
