"""A line between browser and app on which everything comes late: what a slow machine does now and then, always."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator

_SPREAD = (0.3, 1.7)
"""Shares of the mean delay, between which each piece is delayed."""


@contextlib.contextmanager
def line(target: int, seconds: float) -> Iterator[int]:
    """Hand on what comes, in its order, between a new port of this machine and another.

    Parameters
    ----------
    target : int
        Port of the app on 127.0.0.1.
    seconds : float
        Mean delay, one way.

    Yields
    ------
    int
        The new port.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="late", daemon=True)
    thread.start()

    async def both_ways(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            back, to_app = await asyncio.open_connection("127.0.0.1", target)
            try:
                await asyncio.gather(_pass_on(reader, to_app, seconds), _pass_on(back, writer, seconds))
            finally:
                to_app.close()
        writer.close()

    async def close() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(both_ways, "127.0.0.1", 0), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Read at once, and write each piece when it is due, none before an earlier one."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()

    async def read() -> None:
        last, piece = 0.0, b"-"
        while piece:
            piece = await reader.read(1 << 16)
            last = max(last, loop.time() + seconds * random.uniform(*_SPREAD))
            waiting.put_nowait((last, piece))

    await asyncio.gather(read(), write())
