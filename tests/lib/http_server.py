#!/usr/bin/env python3
"""http_server: an HTTP origin that behaves and misbehaves as its path says, for
the specs of opsh.http. Prints its port, then serves until its stdin ends or it is
killed. Speaks HTTP/1.1 by hand, so that it can break it. Owns its log of requests
(/log, /count), never a file.

    http_server.py [--unix PATH] [--cert PEM --key PEM [--ca PEM]] [--idle SECONDS]
"""
import argparse
import asyncio
import hashlib
import json
import socket
import ssl
import struct
import sys
import urllib.parse
import zlib

LOG = []
CONNS = [0]
ARGS = None


class Request:
    def __init__(self, method, target, headers, body, conn):
        parts = urllib.parse.urlsplit(target)
        self.method, self.target, self.path = method, target, parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        self.headers, self.body, self.conn = headers, body, conn

    def get(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    def num(self, name, default=0.0):
        return float(self.query.get(name, default))


async def read_body(reader, get, sink):
    if (get("transfer-encoding") or "").lower() == "chunked":
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            left = size
            while left:
                data = await reader.read(min(left, 1 << 16))
                if not data:
                    raise EOFError
                sink(data)
                left -= len(data)
            await reader.readline()
            if not size:
                return
    left = int(get("content-length") or 0)
    while left:
        data = await reader.read(min(left, 1 << 16))
        if not data:
            raise EOFError
        sink(data)
        left -= len(data)


async def read_request(reader, conn):
    line = await reader.read(1)
    if line == b"\x16":         # TLS, and we speak none
        raise ValueError
    line += await reader.readline()
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = []
    while True:
        line = (await reader.readline()).decode("latin-1").rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    request = Request(method, target, headers, b"", conn)
    LOG.append(request)
    if request.path == "/early":
        return request
    kept, total, digest = [], [0], hashlib.sha256()

    def sink(data):
        total[0] += len(data)
        digest.update(data)
        if total[0] <= 1 << 20:
            kept.append(data)
    await read_body(reader, request.get, sink)
    request.body, request.size = b"".join(kept), total[0]
    request.sha256 = digest.hexdigest()
    return request


def head(status, headers=(), length=None):
    lines = ["HTTP/1.1 %d %s" % (status, "OK" if status == 200 else "Status")]
    lines += ["%s: %s" % pair for pair in headers]
    if length is not None:
        lines.append("Content-Length: %d" % length)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply(writer, body, status=200, headers=()):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers = list(headers) + [("Content-Type", "application/json")]
    writer.write(head(status, headers, len(body)) + body)


def reset(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    writer.transport.abort()


async def send_many(writer, data, times, delay=0.0):
    for _ in range(times):
        writer.write(data)
        await writer.drain()
        if delay:
            await asyncio.sleep(delay)


# --- what a path does; True: the connection goes on -------------------------------
async def do_echo(r, w):
    reply(w, {"method": r.method, "target": r.target, "path": r.path,
              "query": r.query, "headers": r.headers, "conn": r.conn,
              "body": r.body.decode("latin-1"), "size": r.size,
              "sha256": r.sha256})
    return True


async def do_mirror(r, w):
    reply(w, r.body, headers=[("Content-Type", r.get("content-type"))])
    return True


async def do_bytes(r, w):
    size = int(r.num("n", 1024))
    w.write(head(200, [("Content-Type", "text/plain")], size))
    if r.method == "HEAD":
        return True
    block = b"x" * min(size, 1 << 20)
    while size:
        w.write(block[:size])
        size -= min(size, len(block))
        await w.drain()
    return True


async def do_status(r, w):
    headers = [("Retry-After", r.query["after"])] if "after" in r.query else []
    code = int(r.path.rsplit("/", 1)[1])
    if code in (204, 304):
        w.write(head(code, headers))
    else:
        reply(w, b"" if r.method == "HEAD" else b"status %d\nof this path" % code,
              code, headers)
    return True


async def do_flaky(r, w):
    """The first `fail` requests of this key fail with `code`, or are lost."""
    seen = sum(1 for x in LOG if x.target == r.target)
    if seen <= r.num("fail", 1):
        if "code" not in r.query:
            return False
        headers = [("Retry-After", r.query["after"])] if "after" in r.query \
            else []
        reply(w, b"not yet", int(r.num("code")), headers)
        return True
    reply(w, {"seen": seen})
    return True


async def do_sleep(r, w):
    await asyncio.sleep(r.num("s", 1))
    reply(w, b"slept")
    return True


async def do_redirect(r, w):
    reply(w, b"moved", int(r.num("code", 302)), [("Location", r.query["to"])])
    return True


async def do_loop(r, w):
    n = int(r.num("n"))
    reply(w, b"again", 302, [("Location", "loop?n=%d" % (n + 1))])
    return True


async def do_gzip(r, w):
    size, packer = int(r.num("n", 1000)), zlib.compressobj(9, zlib.DEFLATED, 31)
    w.write(head(200, [("Content-Encoding", "gzip"),
                       ("Transfer-Encoding", "chunked")]))
    block = b"\0" * (1 << 20)
    while size > 0:
        data = packer.compress(block[:size])
        size -= min(size, len(block))
        if data:
            w.write(b"%x\r\n%s\r\n" % (len(data), data))
            await w.drain()
    data = packer.flush()
    w.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
    return True


async def do_chunks(r, w):
    w.write(head(200, [("Transfer-Encoding", "chunked")]))
    size = int(r.num("size", 10))
    await send_many(w, b"%x\r\n%s\r\n" % (size, b"c" * size),
                    int(r.num("n", 3)), r.num("delay"))
    w.write(b"0\r\n\r\n")
    return True


async def do_lines(r, w):
    w.write(head(200, [("Transfer-Encoding", "chunked")]))
    for i in range(int(r.num("n", 3))):
        data = b"line %d\nhalf of " % i
        w.write(b"%x\r\n%s\r\n" % (len(data), data))
        await w.drain()
        await asyncio.sleep(r.num("delay"))
    w.write(b"0\r\n\r\n")
    return True


async def do_drip(r, w):
    w.write(head(200, [], 1000))
    await send_many(w, b"d", 1000, r.num("s", 0.05))
    return True


async def do_headers(r, w):
    w.write(b"HTTP/1.1 200 OK\r\n")
    n = int(r.num("n", 1 << 30))
    await send_many(w, b"X-Filler: %s\r\n" % (b"f" * int(r.num("size", 50))), n)
    w.write(b"Content-Length: 0\r\n\r\n")
    return True


async def do_flood(_, w):
    await send_many(w, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 1 << 30)


async def do_repeat(_, w):
    reply(w, b"", 200, [("X-One", "a"), ("x-one", "b"), ("Set-Cookie", "c=1"),
                        ("X-Empty", "")])
    return True


async def do_lie(_, w):
    w.write(head(200, [("Transfer-Encoding", "chunked")]))
    w.write(b"zz\r\nnot a chunk\r\n")
    await w.drain()


async def do_half(_, w):
    w.write(head(200, [], 100) + b"only this")
    await w.drain()


async def do_garbage(_, w):
    w.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await w.drain()


async def do_lost(r, w):
    """Takes the request, and never answers it."""


async def do_reset(r, w):
    reset(w)


async def do_silent(r, w):
    await asyncio.sleep(3600)


async def do_early(r, w):
    reply(w, b"too much", 413, [("Connection", "close")])
    await w.drain()


async def do_count(r, w):
    wanted = r.query.get("path", "")
    seen = [x for x in LOG if x.path == wanted]
    reply(w, {"count": len(seen),
              "keys": [x.get("idempotency-key") for x in seen],
              "conns": sorted({x.conn for x in LOG})})
    return True


async def do_close(r, w):
    """Answers, then closes although keep-alive was agreed."""
    reply(w, b"bye")
    await w.drain()


PATHS = {name[3:]: f for name, f in list(globals().items())
         if name.startswith("do_")}


async def serve(reader, writer):
    CONNS[0] += 1
    conn = CONNS[0]
    try:
        while True:
            request = await asyncio.wait_for(read_request(reader, conn),
                                             ARGS.idle)
            if not request:
                break
            action = PATHS.get(request.path.split("/")[1])
            if not action:
                reply(writer, b"no such path", 404)
            elif not await action(request, writer):
                break
            await writer.drain()
    except ValueError:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    except (OSError, EOFError, asyncio.TimeoutError,
            asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def watch_stdin():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    asyncio.get_running_loop().stop()


async def main():
    context = None
    if ARGS.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ARGS.cert, ARGS.key)
        if ARGS.ca:
            context.load_verify_locations(ARGS.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    if ARGS.unix:
        await asyncio.start_unix_server(serve, ARGS.unix)
        print(0, flush=True)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context,
                                            backlog=2048, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--unix")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--idle", type=float)
    ARGS = parser.parse_args()
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
