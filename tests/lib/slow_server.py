#!/usr/bin/python3
"""slow_server.py SECONDS: an HTTP server on one thread that answers each
request "up" after so long, for thousands of connections at once. Owns its
listener; the first line on stdout is the port, it ends with the end of stdin.
Must not know what asks.
"""

import asyncio
import os
import resource
import sys

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup"


class Peer(asyncio.Protocol):
    def __init__(self, loop, delay):
        self.loop, self.delay, self.buffer = loop, delay, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            self.buffer = self.buffer.partition(b"\r\n\r\n")[2]
            self.loop.call_later(self.delay, self.answer)

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(REPLY)


async def serve(delay):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(loop, delay), "127.0.0.1",
                                      0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, os.read, 0, 1)


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(float(sys.argv[1])))


if __name__ == "__main__":
    main()
