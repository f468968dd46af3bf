"""kafka_rig: what the tests of the Kafka binding under faults share: a broker of
examples/stack (main() starts it when there is none) that can be frozen and killed,
topics, kcat as the one who writes. Owns nothing of its own; http_rig.py owns the
rest. Must not know what is tested.
"""

import contextlib
import os
import subprocess
import sys

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)


def env(name):
    return os.environ["OPSH_KAFKA_" + name]


def target():
    return "events=kafka://" + env("BROKERS")


def node(*words):
    subprocess.run([env("NODE")] + list(words), check=True, timeout=90,
                   stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def frozen():
    """The broker answers nobody, and closes nothing."""
    node("freeze", "1")
    try:
        yield
    finally:
        node("thaw", "1")


def topic(name, partitions=1):
    subprocess.run([env("TOOL"), "org.apache.kafka.tools.TopicCommand",
                    "--bootstrap-server", env("BROKERS"), "--create",
                    "--topic", name, "--partitions", str(partitions)],
                   check=True, timeout=60, stdout=subprocess.DEVNULL)


def write(name, lines):
    subprocess.run(["kcat", "-P", "-b", env("BROKERS"), "-t", name, "-p", "0"],
                   input=lines.encode(), check=True, timeout=60)


def main(prepare=None):
    return rig.main("kafka", "OPSH_KAFKA_NODE", prepare)
