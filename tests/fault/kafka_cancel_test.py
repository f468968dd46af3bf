#!/usr/bin/python3
"""Ctrl-C and deadlines in calls of Kafka, on a broker that answers, is frozen, is not
there, accepts and says nothing: exit 130 in under a second, `<close>` ran, nothing
more did. Owns what kafka_rig.py and http_rig.py own.
"""

import socket
import sys
import time

sys.dont_write_bytecode = True
import http_rig as rig  # noqa: E402  (the tree stays free of __pycache__)
import kafka_rig as kafka  # noqa: E402
from http_rig import Opsh, in_time, is_, match, test  # noqa: E402

LIMIT = 1.0             # seconds from the signal to the end of the process
FLOOD = 200000


# --- Ctrl-C -----------------------------------------------------------------

def interrupted(name, where, call, ready=None, first=""):
    """first: what is done before; then `call`, which never ends by itself."""
    child = Opsh("-e", """
        local x <close> = setmetatable({}, { __close = function()
          io.write "closed\\n" end })
        %s
        io.write "ready\\n" io.stdout:flush()
        %s
        io.write "next\\n\"""" % (first, call), targets=[where])
    child.until(b"ready\n")
    if ready:
        ready()
    time.sleep(0.3)         # nobody sees that it waits
    child.signal()
    child.end()
    is_(child.code, 130, name, child.err)
    assert child.took < LIMIT * rig.SLOW, (name, child.took)
    match(b"closed\n", child.out, name, child.err)
    assert b"next\n" not in child.out, child.out
    print("    %s: %.0f ms" % (name, child.took * 1e3))


CALLS = (("metadata", "events:topics()"),
         ("identity", "events:identity()"),
         ("consume", "events:consume { topic = 'c' }"),
         ("messages", "for m in events:messages { topic = 'c' } do end"),
         ("follow", "for m in events:follow { topic = 'c' } do end"),
         ("lag", "events:lag()"),
         ("produce", "events:produce { topic = 'c', value = 'x' }"),
         ("produce of a list", "local t = {} for i = 1, 10000 do t[i] = 'x' end "
          "events:produce('c', t)"),
         ("transaction", "events:transaction('t', function(tx) tx:produce { "
          "topic = 'c', value = 'x' } end)"))


@test
def interrupts_of_reading():
    for name, call in (
            ("list, waiting", "events:consume { topic = 'c', from = 'latest', "
             "to = 1000000 }"),
            ("messages, waiting", "for m in events:messages { topic = 'c', "
             "from = 'latest', to = 1000000 } do end"),
            ("follow", "for m in events:follow { topic = 'c' } do end"),
            ("flood", "while true do for m in events:messages { topic = "
             "'flood' } do end end"),
            ("flood in lists", "while true do events:consume { topic = 'flood' "
             "} end"),
            ("100 at once", "local t = {} for i = 1, 100 do t[i] = function() "
             "events:topics() for m in events:follow { topic = 'c' } do end "
             "end end task.all(t)")):
        interrupted(name, kafka.target(), call)


@test
def interrupts_on_a_frozen_broker():
    """It was met before: the calls themselves wait."""
    for name, call in CALLS:
        try:
            interrupted(name, kafka.target(), "while true do %s end" % call,
                        lambda: kafka.node("freeze", "1"),
                        "events:identity()")
        finally:
            kafka.node("thaw", "1")


@test
def interrupts_of_a_member():
    """It leaves its group, beside the end of the process."""
    interrupted("join", kafka.target(), "for m in events:follow { topic = 'c', "
                "join = true, group = 'g' } do end")


@test
def interrupts_on_no_broker():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        for name, call in CALLS:
            interrupted(name + ", silence", "events=kafka://127.0.0.1:%d" %
                        silent.getsockname()[1], call)
        port = silent.getsockname()[1]
    interrupted("nobody", "events=kafka://127.0.0.1:%d" % port,
                "while true do pcall(events.identity, events) end")


# --- deadlines ----------------------------------------------------------------

@test
def deadlines():
    with kafka.frozen():
        done = rig.run("""
            local half = { timeout = 0.5 }
            probe("identity", events.identity, events, half)
            probe("topics", events.topics, events, half)
            probe("consume", events.consume, events,
              { topic = "c", timeout = 0.5 })
            probe("produce", events.produce, events,
              { topic = "c", value = "x", timeout = 0.5 })
            probe("messages", function()
              for m in events:messages { topic = "c", timeout = 0.5 } do end
            end)""", targets=[kafka.target()])
    is_(len(done.said), 5, done.out, done.err)
    for name, r in done.said.items():
        assert r.get("kind") in ("timeout", "connect"), r
        is_(r.get("outcome"), "failed", r)
        in_time(r, 0.5)


@test
def no_broker_at_the_end_of_a_list():
    """A list whose time is over has not all there is when nobody answers."""
    child = Opsh("-e", rig.PRELUDE + """
        probe("all", events.consume, events, { topic = "c" })
        io.write "ready\\n" io.stdout:flush()
        io.read()
        probe("late", events.consume, events, { topic = "c", timeout = 1.5 })
        """, targets=[kafka.target()], stdin=-1)
    try:
        child.until(b"ready\n")
        kafka.node("kill", "1")
        child.process.stdin.write(b"\n")
        child.process.stdin.flush()
        child.end()
    finally:
        kafka.node("start", "1")
    assert child.said["all"].get("ok"), child.said
    assert child.said["late"].get("kind") in ("connect", "timeout"), child.said
    assert child.said["late"]["took"] < 1.5 + rig.LATE, child.said


def prepare():
    for name in ("c", "flood"):
        kafka.topic(name)
    kafka.write("c", "one\ntwo\n")
    kafka.write("flood", ("x" * 100 + "\n") * FLOOD)


if __name__ == "__main__":
    sys.exit(kafka.main(prepare))
