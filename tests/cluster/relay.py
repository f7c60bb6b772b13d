"""A network between nodes that can be cut: every node is reached by the others through a relay in this process.

The relay sees from which node a connection comes by its owner in ``/proc``. What is cut off is held back, as a network
that drops packets would, and arrives when the cut is healed, unless the nodes have given up by then.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

look_again_s = 0.01


class Relays:
    """The relays of one cluster.

    Args:
        pids: the processes of each node.
    """

    def __init__(self, pids: Callable[[], dict[str, list[int]]]) -> None:
        self._pids = pids
        self._held: set[tuple[str, str]] = set()
        self._delays: dict[tuple[str, str], float] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(self, node: str, port: int) -> int:
        """A new relay in front of a node that listens on this port; the relay's own port."""

        async def serve() -> asyncio.Server:
            return await asyncio.start_server(
                lambda reader, writer: self._connected(node, port, reader, writer), "127.0.0.1", 0
            )

        server = asyncio.run_coroutine_threadsafe(serve(), self._loop).result()
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def cut(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Let nothing that these send arrive at those."""
        targets = list(targets)
        self._held |= {(source, target) for source in sources for target in targets}

    def part(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Cut both ways."""
        some, others = list(some), list(others)
        self.cut(some, others)
        self.cut(others, some)

    def delay(self, source: str, target: str, seconds: float) -> None:
        """Let what one sends to the other take its time."""
        self._delays[source, target] = seconds

    def heal(self) -> None:
        """A network without faults."""
        self._held = set()
        self._delays = {}

    def close(self) -> None:
        """Cut every connection, and be gone."""
        for server in self._servers:
            self._loop.call_soon_threadsafe(server.close)

        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connected(
        self, node: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        source = self._source(writer.get_extra_info("peername")[1])
        writers = [writer]
        with suppress(OSError, asyncio.CancelledError):  # cancelled by nobody but `close`
            while (source, node) in self._held:
                await asyncio.sleep(look_again_s)
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(to_writer)
            pumps = [
                asyncio.ensure_future(self._pump(source, node, reader, to_writer)),
                asyncio.ensure_future(self._pump(node, source, to_reader, writer)),
            ]
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in left:
                pump.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        for each in writers:
            each.close()

    async def _pump(self, source: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self._delays.get((source, target), 0.0))
                while (source, target) in self._held:
                    await asyncio.sleep(look_again_s)
                writer.write(data)
                await writer.drain()

    def _source(self, port: int) -> str:
        """The node whose connection has this port at its end."""
        inode = _inode(port)
        for node, pids in self._pids().items():
            if any(_has_open(pid, f"socket:[{inode}]") for pid in pids):
                return node
        return ""


def _inode(port: int) -> str:
    """The socket on loopback that has this local port, and a connection."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == f"0100007F:{port:04X}" and words[9] != "0":
            return words[9]
    return ""


def _has_open(pid: int, file: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    with suppress(OSError):
        for each in folder.iterdir():
            with suppress(OSError):
                if os.readlink(each) == file:
                    return True
    return False
