"""What all benchmarks share: processes that wait for work, ways that take turns, and what their numbers say.

A way is measured in a process of its own, which loads what it needs, says "ready" and then does one piece of work
for every line it gets. The ways take turns, so that whatever else the machine does slows all of them alike, and
ratios are taken within a turn. Only the standard library is used here: a process may run in an environment that
does not have this project.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

ROOT = Path(__file__).parents[1]
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Of one piece of work."""

    seconds: float
    cpu: float
    """Seconds of processor time, of all threads, in the program and in the system."""
    peak: int
    """Bytes: highest resident memory of the process while it worked."""
    extra: int
    """Bytes: that less what was resident when the process was ready."""
    said: Any = None
    """What the work handed over."""


def serve(run: Callable[[Any], Any]) -> None:
    """Work on every line of the standard input, a JSON value, and print what it cost."""
    before = _resident("VmRSS")
    print("ready", flush=True)
    for line in sys.stdin:
        if _CLEAR.exists():
            _CLEAR.write_text("5")  # forget the highest memory so far
        begin, cpu = time.perf_counter(), _cpu()
        said = run(json.loads(line))
        seconds, cpu, peak = time.perf_counter() - begin, _cpu() - cpu, _resident("VmHWM")
        print(json.dumps([seconds, cpu, peak, max(0, peak - before), said]), flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident(which: str) -> int:
    """Bytes resident now (VmRSS) or at most since they were last forgotten (VmHWM)."""
    if not _STATUS.exists():  # no Linux: the highest ever
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(which))
    return int(line.split()[1]) * 1024


class StoppedError(Exception):
    """A process that ended, or took too long."""


class Worker:
    """A process that serves one way; it loads what it needs while others are started."""

    def __init__(self, module: str, *arguments: str, python: str = sys.executable, threads: int = 2) -> None:
        settings = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(threads)}
        settings |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", *arguments], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, env=os.environ | settings,
        )  # fmt: skip
        self._ready = False

    def wait(self) -> None:
        """Until it is ready to work."""
        if not self._ready:
            self._line(600, "ready")
            self._ready = True

    def ask(self, work: Any, most: float = 600.0) -> Cost:
        """Let it do one piece of work within ``most`` seconds.

        Raises
        ------
        StoppedError
            If it ended or took longer; it is gone then.
        """
        self.wait()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(work)}\n".encode())
        except BrokenPipeError:
            raise StoppedError("ended") from None
        return Cost(*json.loads(self._line(most, "[")))

    def _line(self, most: float, begin: str) -> str:
        """The next line that begins so; others are a library's talk."""
        assert self._process.stdout is not None
        end = time.monotonic() + most
        while select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            line = (
                self._process.stdout.readline().decode()
            )  # unbuffered: no line waits where select cannot see it
            if not line:
                raise StoppedError(f"ended with {self._process.wait()}")
            if line.startswith(begin):
                return line
        self.close()
        raise StoppedError(f"took more than {most:.0f} s")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


Ask = Callable[[Any], Cost]


def take_turns(
    ways: Mapping[str, Ask], work: Any, turns: int, say: Callable[[str], None] = lambda _line: None
) -> dict[str, list[Cost]]:
    """The same work by every way, so many times; a way that stops is left out of later turns."""
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    gone: set[str] = set()
    for turn in range(turns):
        for way in [name for name in ways if name not in gone]:
            try:
                cost = ways[way](work)
            except StoppedError as why:
                gone.add(way)
                say(f"{way}: {why}")
                continue
            found[way].append(cost)
            say(f"{way}, {work}, turn {turn + 1}: {cost.seconds:.2f} s, {cost.cpu:.2f} s of CPU")
    return found


@dataclass(frozen=True)
class Spread:
    """Of several measurements."""

    least: float
    middle: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Smallest, median and largest."""
        return cls(min(values), median(values), max(values))

    def __str__(self) -> str:
        if self.least == self.most:
            return number(self.middle)
        return f"{number(self.middle)} ({number(self.least)} to {number(self.most)})"


def ratios(over: Sequence[Cost], under: Sequence[Cost]) -> tuple[Spread, Spread]:
    """Time and CPU time of one way over those of another, turn by turn."""
    pairs = list(zip(over, under, strict=False))
    return (
        Spread.of([a.seconds / b.seconds for a, b in pairs]),
        Spread.of([a.cpu / b.cpu for a, b in pairs]),
    )


def growth(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """Exponent p of the power law ``amount = c size^p``, by least squares over the logarithms."""
    return linear_regression([math.log(x) for x in sizes], [math.log(y) for y in amounts]).slope


def reach(sizes: Sequence[float], amounts: Sequence[float], limit: float) -> float:
    """Size at which an amount reaches its limit, from the growth over the last two sizes measured."""
    exponent = growth(sizes[-2:], amounts[-2:])
    if exponent < 0.1:  # no growth to speak of
        return math.inf
    return sizes[-1] * (limit / amounts[-1]) ** (1 / exponent)


def number(value: float) -> str:
    """Three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclass
class Report:
    """What a benchmark says: lines of Markdown, and limits that were kept or not."""

    lines: list[str] = field(default_factory=list)
    limits: list[tuple[str, bool]] = field(default_factory=list)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        ruled = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        self.lines += ["", *ruled, ""]

    def limit(self, what: str, kept: bool) -> None:
        """Note a limit."""
        self.limits.append((what, kept))


def machine() -> str:
    """Processor, threads and versions."""
    import torch
    import transformers

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "CPU")
    wide = "with" if any("avx512f" in x for x in lines) else "without"
    return (
        f"{name} ({wide} AVX-512), {os.cpu_count()} cores, torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
