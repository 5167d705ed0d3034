"""Memory of a device: what is free, and whether weights fit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from analysis.errors import OutOfMemoryError

_LEARNT = (32 << 20) - (64 << 10)
"""A little less than glibc's largest threshold on 64-bit machines (mallopt(3), M_MMAP_THRESHOLD)."""


def free_bytes(device: torch.device) -> int:
    """Memory that a run can still take on a device.

    Notes
    -----
    On the CPU the smaller of what the machine and its control group leave; on CUDA
    what the driver leaves plus what torch holds without using.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return max(0, min(free, int(limit.read_text()) - int(used.read_text())))
    except (OSError, ValueError):
        return free


def keep_freed_memory() -> None:
    """Let the C library keep blocks that were freed for those that come next, up to 32 MiB each.

    Notes
    -----
    glibc asks the system for every large block anew, and gives it back, until one of that size was freed once:
    the first sweep of a process then touches each page of its intermediate states again in every layer, a
    fifteenth of its time. One block of the largest size that it learns from teaches it at once; it is never
    written, so it costs no memory. Elsewhere this does nothing.
    """
    torch.empty(_LEARNT, dtype=torch.uint8)


def give_back_freed_memory() -> None:
    """Hand what is free inside the C library's memory to the system: the opposite of the above, for long texts.

    Notes
    -----
    glibc keeps freed blocks up to 32 MiB between those in use, and a larger one cannot use what lies there: beside the
    intermediate states of a layer a pass over 8,000 tokens would hold half as much again that nobody needs. Pages come
    back when they are touched. Elsewhere this does nothing.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], Any] | None:
    """What glibc calls malloc_trim(3), or None where there is no such thing."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, TypeError, OSError):  # another C library; Windows
        return None


def require_weights_fit(n_bytes: int, device: torch.device, name: str) -> None:
    """Refuse weights that are larger than the free memory.

    Raises
    ------
    OutOfMemoryError
        With both sizes.
    """
    free = free_bytes(device)
    if n_bytes > free:
        raise OutOfMemoryError(
            f"The weights of {name} need {n_bytes / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free on {device}.",
            "Choose a lower precision, another device, or a smaller model.",
        )
