#!/usr/bin/python3
"""TCP fault proxy: forwards connections and breaks them on command.

Owns its listener, the connections through it and a control channel. Must not
interpret what it carries beyond message boundaries, and only with RESP.

    proxy.py --to HOST:PORT [--listen HOST:PORT] [--mode 'MODE ...']
             [--proto resp|raw] [--control SOCKET]
    proxy.py --send SOCKET 'COMMAND'

The first line on stdout is the port. Then commands, one a line: on stdin (its
end stops the proxy), or with --control on that unix socket (`quit` or SIGTERM
stops it). Each is answered by `ok`, `error: why` or a line of JSON. When a
fault strikes, `fired NAME conn=N` is printed on stdout.

    pass                       forward; also undoes freeze and blackhole; what
                               was accepted in silence meanwhile is closed
    cut side=server|client after=N [how=fin|rst]
                               close both ends when N more bytes of a
                               connection came from that side
    drop-reply [match=REGEX] [nth=N] [times=N] [keep=N] [then=fin|rst|freeze|go]
                               the request reaches the server, its reply is
                               read and dropped but for `keep` bytes, then the
                               connection is closed; earlier replies pass
    drop-request [...]         the same, but the request never gets there
    freeze                     half-open: all is held, nothing is closed
    silent                     new connections: accepted, then silence
    refuse                     new connections: accepted, then reset
    blackhole                  new connections: SYN unanswered (full backlog)
    delay seconds=S            each piece is held for S, both ways
    slow bytes=N [side=...]    N bytes a second (default 1, from the server)
    rst | close                now, all connections; the mode stays
    stat                       counters, connections and mode as JSON
    quit

REGEX is searched in the request's words joined by a space ("INCR seats:7");
`nth` counts the requests that match since the command, over all connections;
`times` is how often it strikes (default 1, 0: always). With --proto raw a
request is what one read from the client gave, and its reply the next read
from the server.
"""

import argparse
import json
import os
import re
import select
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
from proxy_conn import (  # noqa: E402  (the tree stays free of __pycache__)
    CHUNK, Conn, Raw, dial, linger_zero)
from proxy_mode import Fault, parse  # noqa: E402
from resp import Resp  # noqa: E402

HOLD = 1 << 20          # bytes kept for a slow receiver before reading stops
FOREVER = 3600.0


class Proxy:
    def __init__(self, to, listen, proto):
        self.to, self.proto = to, proto
        self.verb, self.opts, self.fault = "pass", {}, None
        self.conns, self.fillers = [], []
        self.accepted = self.requests = self.replies = self.fired = 0
        self.running = True
        self.listener = socket.socket(
            socket.AF_INET6 if ":" in listen[0] else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(listen)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()

    # --- control ---------------------------------------------------------

    def command(self, line):
        try:
            return self.obey(line.strip())
        except (ValueError, re.error) as err:
            return "error: %s" % err

    def obey(self, line):
        if line == "stat":
            return json.dumps({
                "mode": self.verb, "accepted": self.accepted,
                "open": len(self.conns), "requests": self.requests,
                "replies": self.replies, "fired": self.fired})
        if line in ("rst", "close"):
            for conn in self.conns:
                conn.close(rst=line == "rst")
        elif line == "quit":
            self.running = False
        else:
            self.set_mode(*parse(line))
        return "ok"

    def set_mode(self, verb, opts):
        self.verb, self.opts = verb, opts
        self.fault = Fault(verb, opts) if verb.startswith("drop-") else None
        self.drop_fillers()
        self.listener.listen(0 if verb == "blackhole" else 128)
        if verb == "blackhole":
            self.fill_backlog()
        for conn in self.conns:
            conn.frozen = verb == "freeze"
            conn.waiting = [None] * len(conn.waiting)
            if conn.held and verb != "drop-request":
                conn.up.push(conn.held, 0)
                conn.held = b""
            for flow in (conn.up, conn.down):
                flow.passed, flow.next_at = 0, 0.0

    def fill_backlog(self):
        """Connects to ourselves until the kernel leaves a SYN unanswered."""
        for _ in range(16):
            filler = socket.socket(self.listener.family)
            filler.setblocking(False)
            filler.connect_ex(self.address)
            self.fillers.append(filler)
            if not select.select([], [filler], [], 0.1)[1]:
                return

    def drop_fillers(self):
        names = [f.getsockname() for f in self.fillers]
        for filler in self.fillers:
            filler.close()
        self.fillers = []
        while names:
            try:
                client, peer = self.listener.accept()
            except OSError:
                return
            if peer in names:
                client.close()
            else:
                self.adopt(client)

    def strike(self, conn, name, how):
        self.fired += 1
        say("fired %s conn=%d" % (name, conn.number))
        if how == "freeze":
            conn.frozen = True
        elif how != "go":
            self.flush(conn.down)
            conn.close(rst=how == "rst")

    # --- connections -----------------------------------------------------

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        self.adopt(client)

    def adopt(self, client):
        self.accepted += 1
        if self.verb == "refuse":
            linger_zero(client)
            client.close()
            return
        server = None
        if self.verb not in ("silent", "freeze"):
            try:
                server = dial(self.to)
            except OSError as err:
                say("error: cannot connect to '%s': %s" % (self.to, err))
                client.close()
                return
        client.setblocking(False)
        conn = Conn(self.accepted, client, server, self.proto)
        conn.frozen = server is None
        self.conns.append(conn)

    def receive(self, conn, flow):
        try:
            data = flow.src.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            conn.close(rst=True)
            return
        if not data:
            flow.ended = True
            return
        due = 0.0
        if self.verb == "delay":
            due = time.monotonic() + self.opts["seconds"]
        if self.verb == "cut" and self.opts["side"] == flow.side:
            self.cut(conn, flow, data)
        elif flow is conn.up:
            self.request(conn, data, due)
        else:
            self.reply(conn, data, due)

    def cut(self, conn, flow, data):
        room = self.opts["after"] - flow.passed
        flow.passed += len(data)
        flow.push(data[:max(room, 0)], 0.0)
        if flow.passed >= self.opts["after"]:
            self.flush(flow)
            self.strike(conn, "cut", self.opts.get("how", "fin"))

    def request(self, conn, data, due):
        """Cuts what the client sent into requests and looks at each."""
        flow, start, dropping = conn.up, 0, self.verb == "drop-request"
        for end, words in flow.framer.feed(data):
            part, start = conn.held + data[start:end], end
            conn.held = b""
            self.requests += 1
            fault = self.fault
            if fault is None or not fault.hits(words):
                if self.proto is Resp:
                    conn.waiting.append(None)
                flow.push(part, due)
            elif dropping:
                flow.push(part[:fault.keep], due)
                self.flush(flow)
                self.strike(conn, fault.name, fault.then)
                if conn.gone:
                    return
            else:
                fault.kept = 0
                conn.waiting.append(fault)
                flow.push(part, due)
        if dropping:
            conn.held += data[start:]
        else:
            flow.push(data[start:], due)

    def reply(self, conn, data, due):
        """Gives each piece to the request at the head of the line."""
        flow, start = conn.down, 0
        for end, _ in flow.framer.feed(data):
            self.replies += 1
            self.part(conn, data[start:end], due)
            start = end
            fault = conn.waiting.pop(0) if conn.waiting else None
            if fault:
                self.strike(conn, fault.name, fault.then)
                if conn.gone:
                    return
        self.part(conn, data[start:], due)

    def part(self, conn, data, due):
        fault = conn.waiting[0] if conn.waiting else None
        if fault:
            data = data[:max(fault.keep - fault.kept, 0)]
            fault.kept += len(data)
        conn.down.push(data, due)

    def flush(self, flow):
        """Sends what is due; a slow flow sends its few bytes a second."""
        now = time.monotonic()
        while flow.dst is not None and flow.sendable(now):
            due, data = flow.queue[0]
            slow = self.verb == "slow" and \
                self.opts.get("side", "server") == flow.side
            piece = data[:1] if slow else data
            try:
                sent = flow.dst.send(piece)
            except BlockingIOError:
                return
            except OSError:
                flow.queue, flow.size = [], 0
                return
            flow.size -= sent
            if slow:
                flow.next_at = now + 1.0 / self.opts.get("bytes", 1)
            if sent == len(data):
                flow.queue.pop(0)
            else:
                flow.queue[0] = (due, data[sent:])

    def settle(self, conn):
        """Passes an end on once all before it went out."""
        for flow in (conn.up, conn.down):
            if flow.ended and not flow.queue and not flow.shut:
                flow.shut = True
                try:
                    flow.dst.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        if conn.up.shut and conn.down.shut:
            conn.close()

    # --- loop ------------------------------------------------------------

    def interest(self):
        now, wait = time.monotonic(), FOREVER
        reads, writes = [], []
        if self.verb != "blackhole":
            reads.append(self.listener)
        for conn in self.conns:
            if conn.frozen:
                continue
            for flow in (conn.up, conn.down):
                if not flow.ended and flow.size < HOLD:
                    reads.append(flow.src)
                if flow.sendable(now):
                    writes.append(flow.dst)
                elif flow.queue:
                    due = max(flow.queue[0][0], flow.next_at)
                    wait = min(wait, max(due - now, 0.0))
        return reads, writes, wait

    def turn(self, control):
        """One round of the loop; control is (sockets, handler)."""
        reads, writes, wait = self.interest()
        ready, able, _ = select.select(reads + control[0], writes, [], wait)
        ready, able = set(ready), set(able)
        for source in control[0]:
            if source in ready:
                control[1](source)
        if self.listener in ready and self.verb != "blackhole":
            self.accept()
        for conn in self.conns:
            for flow in (conn.down, conn.up):
                if not conn.gone and not conn.frozen and flow.src in ready:
                    self.receive(conn, flow)
                if not conn.gone and not conn.frozen and flow.dst in able:
                    self.flush(flow)
            if not conn.gone and not conn.frozen:
                self.settle(conn)
        for conn in self.conns:
            # thawed without a server: it was accepted in silence
            if not conn.gone and not conn.frozen and conn.server is None:
                conn.close()
        self.conns = [c for c in self.conns if not c.gone]


class Control:
    """Lines from stdin or from clients of a unix socket, to the proxy."""

    def __init__(self, proxy, path):
        self.proxy, self.listener, self.buffers = proxy, None, {}
        if path is None:
            self.sources = [sys.stdin.buffer.raw]
            return
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.sources = [self.listener]

    def handle(self, source):
        if source is self.listener:
            self.sources.append(self.listener.accept()[0])
            return
        stdin = self.listener is None
        try:
            data = source.read(CHUNK) if stdin else source.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self.sources.remove(source)
            self.proxy.running = self.proxy.running and not stdin
            if not stdin:
                source.close()
            return
        lines = (self.buffers.get(source, b"") + data).split(b"\n")
        self.buffers[source] = lines.pop()
        for line in lines:
            answer = self.proxy.command(line.decode("utf-8", "replace"))
            if stdin:
                say(answer)
            else:
                source.sendall(answer.encode() + b"\n")


def say(text):
    try:
        print(text, flush=True)
    except OSError:
        pass            # nobody reads; the control socket still answers


def address(text):
    if text.startswith("unix:"):
        return text[5:]
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(
            "bad address '%s': expected HOST:PORT or unix:PATH" % text)
    return (host.strip("[]"), int(port))


def send(path, line):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    sock.sendall(line.encode() + b"\n")
    answer = sock.makefile().readline().strip()
    print(answer)
    return 1 if answer.startswith("error") or not answer else 0


def main():
    args = argparse.ArgumentParser(description="TCP fault proxy")
    args.add_argument("--to", type=address)
    args.add_argument("--listen", type=address, default=("127.0.0.1", 0))
    args.add_argument("--mode", default="pass")
    args.add_argument("--proto", choices=("resp", "raw"), default="resp")
    args.add_argument("--control", metavar="SOCKET")
    args.add_argument("--send", nargs=2, metavar=("SOCKET", "COMMAND"))
    opts = args.parse_args()
    if opts.send:
        return send(*opts.send)
    if opts.to is None:
        args.error("--to HOST:PORT is needed")
    proxy = Proxy(opts.to, opts.listen, Resp if opts.proto == "resp" else Raw)
    answer = proxy.command(opts.mode)
    if answer != "ok":
        args.error(answer)
    control = Control(proxy, opts.control)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say(proxy.address[1])
    try:
        while proxy.running:
            proxy.turn((control.sources, control.handle))
    except KeyboardInterrupt:
        return 130
    finally:
        if opts.control:
            os.unlink(opts.control)
    return 0


if __name__ == "__main__":
    sys.exit(main())
