"""What http_server.py does when a path says so: replies that are right, late, cut, endless,
packed or false, and what a client has to do about it. A mode is a function of a
connection and a request. Owns nothing: what is counted is the server's.
"""

import base64
import email.utils
import json
import struct
import time
import zlib

from http_conn import PIECE, Gone, Request

ZEROS = bytes(1 << 20)
MODES = {}
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# /lie/NAME: these bytes, then the connection is closed.
LIES = {
    "chunk-size": CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
    "chunk-negative": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk-empty": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk-overlong": CHUNKED + b"5\r\nhello, and more\r\n0\r\n\r\n",
    "chunk-huge": CHUNKED + b"ffffffffffffffffff\r\nhello",
    "chunk-largest": CHUNKED + b"7fffffffffffffff\r\nhello",
    "chunk-no-end": CHUNKED + b"5\r\nhello\r\n",
    "chunk-cut": CHUNKED + b"ff\r\nhello",
    "chunk-extension": CHUNKED + b"5;" + b"x" * 200000 + b"\r\nhello\r\n",
    "length-long": OK + b"Content-Length: 500\r\n\r\nhello",
    "length-negative": OK + b"Content-Length: -1\r\n\r\nhello",
    "length-word": OK + b"Content-Length: many\r\n\r\nhello",
    "length-huge": OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "length-two": OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    "status-word": b"HTTP/1.1 okay\r\nContent-Length: 0\r\n\r\n",
    "status-huge": b"HTTP/1.1 99999 OK\r\nContent-Length: 0\r\n\r\n",
    "version": b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no-http": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "nothing": b"",
    "nul": OK + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "no-colon": OK + b"this is no header\r\nContent-Length: 2\r\n\r\nhi",
    "gzip-bad": OK + b"Content-Encoding: gzip\r\nContent-Length: 26\r\n\r\n"
    b"this is no gzip, not a bit",
    "encoding-unknown": OK + b"Content-Encoding: snappy\r\n"
    b"Content-Length: 5\r\n\r\nhello",
    "transfer-unknown": OK + b"Transfer-Encoding: magic\r\n\r\nhello",
}


def mode(name):
    def put(fn):
        MODES[name] = fn
        return fn
    return put


# --- replies that are right -------------------------------------------------

@mode("ok")
def ok(conn, request):
    conn.reply(b"x" * request.number("size", 2),
               request.args.get("status", "200 OK"), method=request.method,
               headers=["Content-Type: text/plain"])


@mode("echo")
def echo(conn, request):
    conn.reply(json.dumps(request.entry(conn, conn.nth)),
               headers=["Content-Type: application/json"])


@mode("big")
def big(conn, request):
    """size bytes (1 GiB), plain, or chunked=1 in chunks."""
    left = request.number("size", 1 << 30)
    chunked = request.number("chunked", 0)
    conn.send(CHUNKED if chunked else
              OK + b"Content-Length: %d\r\n\r\n" % left)
    while left > 0:
        part = min(left, len(ZEROS))
        conn.send(b"%x\r\n%s\r\n" % (part, ZEROS[:part]) if chunked else
                  memoryview(ZEROS)[:part])
        left -= part
    if chunked:
        conn.send(b"0\r\n\r\n")


@mode("header")
def header(conn, request):
    """The header X-Test with the value of `v`, the reason of `reason`."""
    conn.reply(request.args.get("body", "hi"),
               "200 " + request.args.get("reason", "OK"),
               ["X-Test: " + request.args.get("v", "")])


@mode("unknown")
def unknown(conn, _request):
    conn.reply("no such mode", "404 Not Found")


# --- time -------------------------------------------------------------------

@mode("delay")
def delay(conn, request):
    time.sleep(request.number("s", 1.0))
    conn.reply("late")


@mode("silent")
def silent(conn, _request):
    conn.silence()


@mode("silent-body")
def silent_body(conn, request):
    """Headers, `size` bytes of a body said to be longer, then nothing."""
    conn.send(OK + b"Content-Length: 1000000\r\n\r\n" +
              b"x" * request.number("size", 0))
    conn.silence()


@mode("drip")
def drip(conn, request):
    """One byte each `every` seconds (1) of the body, or with head=1 of all."""
    head = OK + b"Content-Length: 1000\r\n\r\n"
    if not request.number("head", 0):
        conn.send(head)
        head = b""
    conn.drip(head + b"x" * 1000, request.number("every", 1.0))


# --- the connection ---------------------------------------------------------

@mode("reset")
def reset(conn, request):
    """RST after so many bytes of the reply."""
    whole = OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000
    conn.send(whole[:request.number("after", 0)])
    time.sleep(0.02)            # an RST would overtake what is in flight
    raise Gone(rst=True)


@mode("close")
def close(_conn, _request):
    raise Gone


@mode("once")
def once(conn, request):
    """Keeps the connection, and closes it on the next request that comes: the
    client sends on a connection that looks alive and gets nothing back."""
    conn.reply("once", method=request.method)
    while b"\r\n\r\n" not in conn.buffer:
        conn.fill()
    head, _, conn.buffer = conn.buffer.partition(b"\r\n\r\n")
    second = Request(head)
    conn.read_body(second)
    conn.server.effect(second.header("idempotency-key") or second.path)
    conn.server.record(second.entry(conn, 2))
    raise Gone(rst=request.number("rst", 0) == 1)


@mode("idle")
def idle(conn, request):
    """Keeps the connection, says so, and closes it `after` seconds idle."""
    conn.reply("idle", headers=["Connection: keep-alive"])
    time.sleep(request.number("after", 0.1))
    raise Gone


# --- size and form ----------------------------------------------------------

@mode("lie")
def lie(conn, request):
    conn.send(LIES[request.path.strip("/").split("/")[1]])
    raise Gone


@mode("endless-body")
def endless_body(conn, _request):
    conn.send(OK + b"\r\n")
    conn.endless(b"y" * PIECE)


@mode("endless-chunks")
def endless_chunks(conn, request):
    conn.send(CHUNKED)
    size = request.number("size", PIECE)
    conn.endless((b"%x\r\n%s\r\n" % (size, b"y" * size)) *
                 max(1, PIECE // (size + 8)))


@mode("endless-trailers")
def endless_trailers(conn, _request):
    conn.send(CHUNKED + b"2\r\nhi\r\n0\r\n")
    conn.endless(b"X-T: " + b"t" * 1000 + b"\r\n")


@mode("endless-headers")
def endless_headers(conn, _request):
    conn.send(OK)
    conn.endless(b"".join(b"X-H%d: %s\r\n" % (i, b"h" * 1000)
                          for i in range(64)))


@mode("huge-header")
def huge_header(conn, request):
    conn.send(OK + b"X-Huge: " + b"h" * request.number("size", 10 << 20) +
              b"\r\nContent-Length: 2\r\n\r\nhi")


@mode("interim")
def interim(conn, request):
    """Replies 1xx: `times` of them, then one that is right."""
    conn.endless(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100,
                 request.number("times", 1 << 40))
    conn.reply("at last")


@mode("bomb")
def bomb(conn, request):
    """A gzip of `size` MiB of zeros (1024), a thousandth of that on the wire;
    packed `layers` times."""
    size, layers = request.number("size", 1024), request.number("layers", 1)
    data = pack(size)
    for _ in range(layers - 1):
        data = regzip(data)
    conn.reply(data, headers=["Content-Encoding: " +
                              ", ".join(["gzip"] * layers)])


@mode("gzip")
def gzip(conn, request):
    """A good one of `size` bytes, or with cut=N without its last N bytes."""
    data = regzip(b"z" * request.number("size", 100000))
    cut = request.number("cut", 0)
    conn.reply(data[:len(data) - cut], headers=["Content-Encoding: gzip"])


def regzip(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def pack(size):
    """The gzip of size MiB of zeros, made of one deflated piece repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(size):
        crc = zlib.crc32(ZEROS, crc)
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + piece * size + packer.flush() +
            struct.pack("<II", crc, (size << 20) & 0xffffffff))


# --- what a client must do about it -----------------------------------------

@mode("redirect")
def redirect(conn, request):
    """To `to`, or to itself without end; `status` is 302."""
    to = request.args.get("to", request.target)
    conn.reply("moved", request.args.get("status", "302") + " Found",
               ["Location: " + to])


@mode("retry-after")
def retry_after(conn, request):
    """503 for the first `times` (1) requests, with Retry-After: `after` (1), a
    date when date=1; then 200."""
    if conn.server.count("retry " + request.target) > request.number(
            "times", 1):
        conn.reply("recovered")
        return
    after = request.args.get("after", "1")
    if request.number("date", 0):
        after = email.utils.formatdate(time.time() + int(after), usegmt=True)
    conn.reply("busy", request.args.get("status", "503") + " Busy",
               ["Retry-After: " + after])


@mode("apply")
def apply(conn, request):
    """One effect a key (Idempotency-Key; without one each request has an
    effect); the first `drop` requests get no reply, by `how`: close, rst,
    silent, or half of one."""
    key = request.header("idempotency-key")
    again = key is not None and conn.server.effects.get(key, 0) > 0
    if not again:
        conn.server.effect(key or request.path)
    if conn.server.count("apply " + request.target) <= request.number(
            "drop", 0):
        how = request.args.get("how", "close")
        if how == "silent":
            conn.silence()
        if how == "half":
            conn.send(OK + b"Content-Length: 100\r\n\r\n{")
        raise Gone(rst=how == "rst")
    conn.reply("again" if again else "applied", method=request.method)


@mode("raw")
def raw(conn, request):
    """The bytes of `d` (base64); then closes, or with stay=1 goes on."""
    conn.send(base64.urlsafe_b64decode(request.args["d"]))
    if not request.number("stay", 0):
        raise Gone
