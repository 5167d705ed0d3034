"""Work of a CPU shared out over threads, each of which computes alone.

torch splits every operation over all threads and lets them wait for each other after it. Where operations are small,
as on a block of attention that fits the caches, waking and waiting costs more than the work. Here a thread does all
operations of its part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")


def n_threads(device: torch.device) -> int:
    """Threads that share the work of a device: torch's on a CPU, one on others, which compute beside Python anyway."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def share_out(work: Callable[[Part, int], None], parts: Iterable[Part], device: torch.device) -> None:
    """Do every part of some work, each in one thread.

    Parameters
    ----------
    work : callable
        Does one part. Its second argument is the number of the thread, below :func:`n_threads`, for memory that a
        thread writes again and again. No two parts may write to the same places.
    parts : iterable
        Taken in order, by whichever thread is free.
    device : torch.device
        Where the work is done; on others than a CPU the parts are done one after the other.

    Raises
    ------
    Exception
        What the work raised in one of the threads; no more parts are begun then.
    """
    listed, count = list(parts), n_threads(device)
    left = iter(listed)
    if count == 1:
        _work(work, left, 0)
        return
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def begin(thread: int) -> None:
        # torch keeps both modes per thread
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            _work(work, left, thread)

    futures = [_pool(count).submit(begin, thread) for thread in range(min(count, len(listed)))]
    wait(futures)
    for future in futures:
        future.result()


def _work(work: Callable[[Part, int], None], left: Iterator[Part], thread: int) -> None:
    try:
        for part in left:
            work(part, thread)
    except BaseException:
        deque(left, maxlen=0)
        raise


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "compute", initializer=_compute_alone)


def _compute_alone() -> None:
    """Let what this thread computes stay in it. The setting is the thread's own, no other thread has it."""
    torch.get_num_threads()  # torch sets up a thread that is new to it; after that it leaves it as it is
    ThreadpoolController().select(user_api="openmp").limit(limits=1)
