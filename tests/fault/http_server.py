#!/usr/bin/python3
"""HTTP origin that does what a path says, right or wrong, over raw sockets.

Owns its listeners and the connections to them. Must not grow into a web
server: it exists to lie, to stall and to count.

    http_server.py [--listen HOST:PORT] [--certs DIR]

The first line on stdout is the port of a plain listener; it ends with SIGTERM
or, when stdin is a pipe, with its end. A line on stdin is a command, its answer
is one line:

    listen KIND [CERT]  another listener; answers its port. KIND:
                            plain
                            tls     with CERT.crt and CERT.key of --certs
                            silent  accepts, reads, says nothing
                            full    does not accept, its backlog is full: SYNs
                                    are dropped
                            close | rst     at once after accept
                            banner  plain text at once, as a TLS client gets it
                                    from a server of something else
                            stall   a TLS record's header, then nothing
    stat                {"connections": N, "requests": N, "effects": {KEY: N}}
    log                 [{"port", "conn", "nth", "method", "target", "headers",
                        "length", "sha256", "start"}], start in latin-1
    reset               forgets both

The path of a request is a mode; its query holds the mode's numbers: see http_modes.py.
"""

import argparse
import json
import os
import signal
import socket
import ssl
import stat
import struct
import sys
import threading

sys.dont_write_bytecode = True
from http_conn import PIECE, Conn, Gone  # noqa: E402  (the tree stays free of __pycache__)
from http_modes import MODES  # noqa: E402


class Server:
    def __init__(self, certs):
        self.certs, self.lock = certs, threading.Lock()
        self.held = []          # sockets that are to stay as they are
        self.forget()

    def forget(self):
        self.connections, self.log = 0, []
        self.effects, self.counts = {}, {}

    def record(self, entry):
        with self.lock:
            self.log.append(entry)

    def effect(self, key):
        with self.lock:
            self.effects[key] = self.effects.get(key, 0) + 1

    def count(self, key):
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key]

    def listen(self, kind="plain", cert=None, address=("127.0.0.1", 0)):
        if kind not in ("plain", "tls", "silent", "full", "close", "rst",
                        "stall", "banner"):
            raise ValueError("unknown kind '%s' of a listener" % kind)
        context = None
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            base = os.path.join(self.certs or ".", cert or "good")
            context.load_cert_chain(base + ".crt", base + ".key")
        listener = socket.create_server(
            address, backlog=0 if kind == "full" else 1024)
        port = listener.getsockname()[1]
        self.held.append(listener)
        if kind == "full":
            self.fill(port)
        else:
            threading.Thread(target=self.accept, daemon=True,
                             args=(listener, port, kind, context)).start()
        return port

    def fill(self, port):
        """Takes all of a backlog, so that the kernel drops the next SYN."""
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            self.held.append(sock)

    def accept(self, listener, port, kind, context):
        while True:
            sock, _ = listener.accept()
            with self.lock:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self.talk, daemon=True, args=(
                sock, number, port, kind, context)).start()

    def talk(self, sock, number, port, kind, context):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Conn(self, sock, number, port)
        try:
            if kind == "rst":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            if kind in ("rst", "close"):
                sock.close()
                return
            if kind == "banner":
                sock.sendall(b"220 mail.example ESMTP\r\n")
            if kind == "stall":
                sock.recv(PIECE)
                sock.sendall(b"\x16\x03\x03\0\x7a")
            if kind in ("stall", "silent", "banner"):
                conn.silence()
            if context:
                conn.sock = context.wrap_socket(sock, server_side=True)
        except (OSError, Gone):
            sock.close()
            return
        conn.run(MODES)

    def command(self, words):
        if words[:1] == ["listen"] and len(words) in (2, 3):
            return str(self.listen(*words[1:]))
        with self.lock:
            if words == ["stat"]:
                return json.dumps({"connections": self.connections,
                                   "requests": len(self.log),
                                   "effects": self.effects})
            if words == ["log"]:
                return json.dumps(self.log)
            if words == ["reset"]:
                self.forget()
                return "ok"
        raise ValueError("unknown command '%s'" % " ".join(words))


def main():
    args = argparse.ArgumentParser(description="scripted HTTP origin")
    args.add_argument("--listen", default="127.0.0.1:0")
    args.add_argument("--certs", metavar="DIR")
    opts = args.parse_args()
    server = Server(opts.certs)
    host, _, port = opts.listen.rpartition(":")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(server.listen(address=(host, int(port))), flush=True)
    try:
        for line in sys.stdin:
            try:
                print(server.command(line.split()), flush=True)
            except (OSError, ValueError) as err:
                print("error: %s" % err, flush=True)
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            threading.Event().wait()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
