"""A server of installed files, while a test looks at it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STARTS_WITHIN = 120.0
"""Seconds; a server that is slower is taken for one that hangs."""


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(installed: Path, folder: Path, *flags: str, **environment: str) -> Iterator[dict[str, Any]]:
    """Run ``logitscope serve`` in a folder; gives what it said as JSON once it is healthy."""
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "logitscope", "serve", *flags],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(installed)} | environment,
            stdout=out,
            stderr=err,
        )
        try:
            yield _wait(server, folder)
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(server: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    until = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < until:
        assert server.poll() is None, (folder / "stderr").read_text()[-2000:]
        try:
            said = json.loads((folder / "stdout").read_text())
            with urllib.request.urlopen(said["health"], timeout=5) as answer:
                assert answer.status == 200
                return said
        except (ValueError, urllib.error.URLError):
            time.sleep(0.2)
    raise AssertionError("the server did not start")
