"""A connection to http_server.py: what came in, as requests, and the pieces that replies
are made of, right or wrong. Owns its socket. Must not know what a path asks for: that
are the modes that run() is given.
"""

import hashlib
import socket
import struct
import time
import urllib.parse

PIECE = 1 << 16


class Gone(Exception):
    """The connection is to be closed, with a reset when rst."""

    def __init__(self, rst=False):
        super().__init__()
        self.rst = rst


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ", 2)
        pairs = [line.encode("latin-1").decode("utf-8", "surrogateescape")
                 .partition(":")[::2] for line in lines[1:] if line]
        self.headers = [[k, v.strip()] for k, v in pairs]
        url = urllib.parse.urlsplit(self.target)
        self.path = url.path
        self.args = dict(urllib.parse.parse_qsl(url.query))
        self.length, self.sha, self.start = 0, hashlib.sha256(), b""

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name), None)

    def number(self, name, default):
        return type(default)(self.args.get(name, default))

    def took(self, data):
        self.length += len(data)
        self.sha.update(data)
        self.start += data[:4096 - len(self.start)]

    def entry(self, conn, nth):
        return {"port": conn.port, "conn": conn.number, "nth": nth,
                "method": self.method, "target": self.target,
                "headers": self.headers, "length": self.length,
                "sha256": self.sha.hexdigest(),
                "start": self.start.decode("latin-1")}


class Conn:
    """One connection: requests, one after the other."""

    def __init__(self, server, sock, number, port):
        self.server, self.sock, self.number = server, sock, number
        self.port, self.buffer, self.nth = port, b"", 0

    def fill(self):
        data = self.sock.recv(PIECE)
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, size, request):
        while size > 0:
            if not self.buffer:
                self.fill()
            part, self.buffer = self.buffer[:size], self.buffer[size:]
            request.took(part)
            size -= len(part)

    def read_body(self, request):
        if (request.header("expect") or "").lower() == "100-continue" and \
                "no-continue" not in request.args:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            size = int(self.line().split(b";")[0], 16)
            while size:
                self.exactly(size, request)
                self.line()
                size = int(self.line().split(b";")[0], 16)
            self.line()
        else:
            self.exactly(int(request.header("content-length") or 0), request)

    def run(self, modes):
        """modes: functions of (conn, request), by the first word of a path."""
        try:
            while True:
                while b"\r\n\r\n" not in self.buffer:
                    self.fill()
                head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
                request = Request(head)
                self.nth += 1
                name = request.path.strip("/").split("/")[0]
                if "unread" not in request.args:
                    self.read_body(request)
                self.server.record(request.entry(self, self.nth))
                modes.get(name, modes["unknown"])(self, request)
                if (request.header("connection") or "").lower() == "close":
                    return
        except Gone as how:
            if how.rst:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     struct.pack("ii", 1, 0))
        except (OSError, ValueError):
            pass                # the client left, or it talks no HTTP
        finally:
            self.sock.close()

    # --- what modes are made of

    def send(self, data):
        self.sock.sendall(data)

    def reply(self, body=b"", status="200 OK", headers=(), method=""):
        if isinstance(body, str):
            body = body.encode()
        lines = ["HTTP/1.1 " + status, "Content-Length: %d" % len(body)]
        head = "\r\n".join(lines + list(headers)).encode("latin-1")
        self.send(head + b"\r\n\r\n" + (b"" if method == "HEAD" else body))

    def silence(self):
        """Until the client leaves."""
        while self.sock.recv(PIECE):
            pass
        raise Gone

    def endless(self, data, times=1 << 40):
        """Sends data again and again, until the client has enough."""
        for _ in range(times):
            self.send(data)

    def drip(self, data, every=1.0):
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(every)
