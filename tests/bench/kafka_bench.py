"""The rows of bench.py about Kafka: messages written and read against plain C on
librdkafka and kcat; the lag of a group against Kafka's own tool. Owns a throwaway
broker of examples/stack; what is compared runs in turn.
"""

import os
import re
import subprocess

MESSAGES, SIZE = 1000000, 100
LIST = 100000           # messages of one produce
PARTITIONS = 4


class Broker:
    def __init__(self, bench):
        self.bench = bench
        self.folder = os.path.join(bench.scratch, "kafka")
        # with all of Java's compilers, as a broker is run
        subprocess.run([bench.STACK, "up", self.folder, "kafka"], check=True,
                       env=dict(os.environ, OPSH_KAFKA_COMPILER="4"))
        with open(os.path.join(self.folder, "env")) as file:
            env = dict(re.findall(r"^(\w+)='(.*)'$", file.read(), re.M))
        self.brokers, self.program = (env["OPSH_KAFKA_" + name]
                                      for name in ("BROKERS", "TOOL"))

    def tool(self, name, *words):
        return [self.program, "org.apache.kafka.tools." + name,
                "--bootstrap-server", self.brokers] + list(words)

    def topic(self, name):
        subprocess.run(self.tool(
            "TopicCommand", "--create", "--topic", name, "--partitions",
            str(PARTITIONS)), check=True, stdout=subprocess.DEVNULL)

    def drop(self, name):
        subprocess.run(self.tool("TopicCommand", "--delete", "--topic", name),
                       check=True)

    def opsh(self, *words):
        return [self.bench.opts.opsh, "--target",
                "events=kafka://" + self.brokers] + list(words)

    def script(self, name):
        return self.opsh("run", os.path.join(self.bench.HERE, name + ".lua"))

    def down(self):
        subprocess.run([self.bench.STACK, "down", self.folder], check=False)


def produce(bench, broker):
    row = bench.row("1M x 100 B produced, in lists", "C, a call each", 0.85)
    user = bench.row("  user time, whole process", "", None)
    wall = bench.row("  wall time, whole process", "", None)
    env = dict(bench.env, BENCH_N=str(MESSAGES), BENCH_SIZE=str(SIZE),
               BENCH_BATCH=str(LIST))
    for turn in range(bench.opts.runs + 1):
        # one topic a turn, so that each side writes to the same disk; in the
        # first the broker is compiled
        name = "produce%d" % turn
        broker.topic(name)
        for argv, side in (
                ([bench.tool("kafka_produce"), broker.brokers, name,
                  str(MESSAGES), str(SIZE)], "theirs"),
                (broker.script("kafka_produce"), "ours")):
            run = bench.attempt(argv, dict(env, BENCH_TOPIC=name),
                                (row, user, wall))
            if run and run.result != MESSAGES:
                row.problem = "%d were delivered" % run.result
            elif run and turn:
                getattr(row, side).append(run.inner)
                getattr(user, side).append(run.user)
                getattr(wall, side).append(run.wall)
        broker.drop(name)


def consume(bench, broker):
    row = bench.row("1M x 100 B consumed, one table", "C, in batches", 1.2)
    plain = bench.row("  a table each", "C, in batches", None)
    user = bench.row("  user time, whole process", "", None)
    wall = bench.row("  wall time, whole process", "kcat", 2, at_least=True)
    every = (row, plain, user, wall)
    broker.topic("consume")
    if not bench.attempt([bench.tool("kafka_produce"), broker.brokers,
                          "consume", str(MESSAGES), str(SIZE)], bench.env,
                         every):
        return
    kcat = ["kcat", "-b", broker.brokers, "-C", "-t", "consume", "-e", "-q",
            "-o", "beginning"]
    theirs = [bench.tool("kafka_consume"), broker.brokers, "consume"]
    ours = broker.script("kafka_consume")
    env = dict(bench.env, BENCH_TOPIC="consume")
    sums = set()
    for _ in range(bench.opts.runs):
        for argv, how, pattern, wanted in (
                (theirs, "", Ellipsis, ((row.theirs, "inner"),
                                        (plain.theirs, "inner"),
                                        (user.theirs, "user"))),
                (ours, "reuse", Ellipsis, ((row.ours, "inner"),
                                           (user.ours, "user"),
                                           (wall.ours, "wall"))),
                (ours, "", Ellipsis, ((plain.ours, "inner"),)),
                (kcat, "", None, ((wall.theirs, "wall"),))):
            run = bench.attempt(argv, dict(env, BENCH_HOW=how), every, pattern)
            if not run:
                continue
            if run.result is not None:
                sums.add(run.result)
            for values, what in wanted:
                values.append(getattr(run, what))
    if len(sums) != 1:
        row.problem = "the sums differ"


def lag(bench, broker):
    row = bench.row("lag of a group, whole process",
                    "kafka-consumer-groups", 10, at_least=True)
    # the topic of the offsets is made by the first who asks for a group
    subprocess.run(broker.opsh("-e", """
        for _ = 1, 20 do
          if pcall(events.commit, events, "bench", { { topic = "consume",
            partition = 0, offset = 7 } }, { create = true }) then break end
          task.sleep(0.5)
        end"""), check=True, env=bench.env, stdout=subprocess.DEVNULL)
    tool = broker.tool("consumer.group.ConsumerGroupCommand", "--describe",
                       "--group", "bench")
    for _ in range(bench.opts.runs):
        for argv, values in ((tool, row.theirs),
                             (broker.opsh("-e", "events:lag 'bench'"),
                              row.ours)):
            run = bench.attempt(argv, bench.env, (row,), None)
            if run:
                values.append(run.wall)


def kafka(bench):
    broker = Broker(bench)
    try:
        produce(bench, broker)
        consume(bench, broker)
        lag(bench, broker)
    finally:
        broker.down()
