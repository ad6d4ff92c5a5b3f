"""A TCP cable between a client and a server that a test can pull, stall and plug in again."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

from tests.services.process import HOST, free_port

_CHUNK_BYTES = 64 * 1024


class Cable:
    """Forward connections from ``port`` to a server until told otherwise.

    Parameters
    ----------
    target_port
        Loopback port of the server; may be set later, before the first connection.
    port
        Port that clients connect to; a free one if not given. Known before the cable is opened.
    """

    def __init__(self, target_port: int | None = None, port: int | None = None) -> None:
        self.target_port = target_port
        self.port = port or free_port()
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start to accept connections."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connected, HOST, self.port)

    async def pull(self) -> None:
        """Cut every connection at once, as a reset, and refuse new ones until ``plug``."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in tuple(self._writers):
            # Without lingering, closing sends a reset; otherwise it would be an orderly end.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Let nothing through either way, but keep connections open and accept new ones: a dead switch."""
        self._flowing.clear()

    async def plug(self) -> None:
        """Let everything through again; after a stall, what was held back arrives."""
        self._flowing.set()
        await self.open()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pull()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.target_port is None:
            msg = "the cable has no server at its other end: set target_port"
            raise RuntimeError(msg)
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection(HOST, self.target_port)
            self._writers.add(far)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forward(reader, far))
                directions.create_task(self._forward(far_reader, writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # either end hung up, or the cable was pulled: both ends are cut below
        finally:
            for end in (writer, far):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            if task is not None:
                self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
