"""A connection through proxy.py: the client's socket, the server's, and what was read from
one and waits to go to the other. Owns both sockets. Must not judge what passes: what is
held, dropped or cut is proxy.py's to say.
"""

import socket
import struct

CHUNK = 65536


def dial(to):
    if isinstance(to, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(to)
    else:
        sock = socket.create_connection(to, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class Raw:
    """Each read is a message."""

    def feed(self, data):
        if data:
            yield len(data), [data]


class Flow:
    """One direction: what was read from src and waits to go to dst."""

    def __init__(self, side, src, dst, proto):
        self.side, self.src, self.dst = side, src, dst
        self.queue = []         # (due, bytes)
        self.size = 0
        self.ended = False      # src said EOF
        self.shut = False       # and dst has been told
        self.passed = 0         # bytes from src since the mode began
        self.framer = proto()
        self.next_at = 0.0      # slow: when the next byte may go

    def push(self, data, due):
        if data:
            self.queue.append((due, data))
            self.size += len(data)

    def sendable(self, now):
        return self.queue and self.queue[0][0] <= now and self.next_at <= now


class Conn:
    """A client, its server connection, and the two flows between."""

    def __init__(self, number, client, server, proto):
        self.number = number
        self.client, self.server = client, server
        self.frozen = False
        self.gone = False
        self.held = b""         # a request that is not complete yet
        self.waiting = []       # per unanswered request: its fault or None
        self.up = Flow("client", client, server, proto)
        self.down = Flow("server", server, client, proto)

    def socks(self):
        return [s for s in (self.client, self.server) if s is not None]

    def close(self, rst=False):
        self.gone = True
        for sock in self.socks():
            if rst:
                linger_zero(sock)
            else:
                drain(sock)
            sock.close()


def linger_zero(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))


def drain(sock):
    """Unread bytes would make close() send a RST instead of a FIN."""
    try:
        sock.shutdown(socket.SHUT_WR)
        sock.setblocking(False)
        while sock.recv(CHUNK):
            pass
    except OSError:
        pass
