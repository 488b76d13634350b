"""A service that answers at once whatever it is asked: for what is measured about services, not by them.

As a program (`python -m tests.serve.tiny_server --port=N`) it serves until it is told to stop.
"""

import asyncio
import contextlib
import sys
import threading


class Tiny:
    """Answers on a free port of a thread's own loop.

    `answer(number, head, body)` gives the whole answer to the request of that number, None to close the connection.
    """

    def __init__(self, answer=None):
        self.answer, self.asked, self.connections = answer or ok, [], 0
        self.loop = asyncio.new_event_loop()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(EOFError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((line for line in head.split("\r\n") if line.lower().startswith("content-length")), ":0")
                body = await reader.readexactly(int(length.split(":")[1]))
                self.asked.append((head, body))
                said = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\n"
                if not head.startswith("GET /ping"):
                    said = self.answer(len(self.asked), head, body)
                if said is None:
                    break
                writer.write(said)

    async def start(self, port=0):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return self.server.sockets[0].getsockname()[1]

    async def _stop(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __enter__(self):
        self.port = self.loop.run_until_complete(self.start())
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.run_until_complete(self._stop())
        self.loop.run_until_complete(asyncio.sleep(0))  # connections are closed in the turn after
        self.loop.close()


def ok(number, head, body):
    """200 with a few bytes."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


if __name__ == "__main__":
    port = int(next(word for word in sys.argv if word.startswith("--port=")).partition("=")[2])

    async def main():
        await Tiny().start(port)
        await asyncio.Event().wait()

    if "--broken=1" in sys.argv:
        sys.exit("error: --broken: expected nothing of the kind")
    asyncio.run(main())
