"""Start a Streamlit app on 127.0.0.1 and drive a Chromium that can reach nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.browser import late
from tests.packaging.serving import free_port
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LATE = float(os.environ.get("LATE", "0"))
"""Mean seconds that a message between browser and app takes, each way; see ``make test-late``."""
_BETWEEN_TRIES = 0.1
"""Seconds between two questions whether an app is there."""
LOCAL = {"127.0.0.1", "localhost"}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing outside resolves
]
STREAMLIT_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
}


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def server(
    script: str | Path | None = None,
    *,
    command: Sequence[str] | None = None,
    options: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[str]:
    """Run an app and yield its address.

    Parameters
    ----------
    script
        Script for ``streamlit run``.
    command
        A whole command instead, such as ``[sys.executable, "-m", "app"]``; the Streamlit
        options are appended to it.
    options
        More Streamlit options, or others than the usual ones.
    env
        More environment variables.
    """
    port = free_port()
    start = list(command) if command else [sys.executable, "-m", "streamlit", "run", str(script)]
    chosen = {**STREAMLIT_OPTIONS, "server.port": str(port), **(options or {})}
    start += [f"--{name}={value}" for name, value in chosen.items()]
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(running(start, f"http://127.0.0.1:{port}", "/_stcore/health", env or {}))
        if LATE:
            base = f"http://127.0.0.1:{stack.enter_context(late.line(port, LATE))}"
        yield base


@contextlib.contextmanager
def running(command: Sequence[str], base: str, health: str, env: dict[str, str]) -> Iterator[str]:
    """Run a server until the ``with`` is left; yields its address once what is at ``health`` answers."""
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            tries = 0
            while not _healthy(f"{base}{health}"):
                tries += 1
                if process.poll() is not None or tries > PATIENCE / _BETWEEN_TRIES:
                    log.seek(0)
                    said = log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"the app does not answer (exit {process.poll()}): {said}")
                time.sleep(_BETWEEN_TRIES)
            yield base
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Launch a headless Chromium that resolves no outside address."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def page(started: Browser, **context: Any) -> Iterator[Page]:
    """Open a page in a fresh profile; ``context`` goes to ``Browser.new_context``."""
    profile = started.new_context(**{"viewport": {"width": 1280, "height": 1000}, **context})
    try:
        opened = profile.new_page()
        opened.set_default_timeout(1000 * PATIENCE)
        yield opened
    finally:
        profile.close()


@dataclass
class Seen:
    """What a page did besides showing itself."""

    outside: list[str] = field(default_factory=list)
    """Addresses requested beyond this machine."""
    errors: list[str] = field(default_factory=list)
    """Console errors and uncaught exceptions."""


def instrument(watched: Page) -> Seen:
    """Collect outside requests and console errors from now on.

    A deep link makes Streamlit's frontend ask for its health below the page's own address
    first; those two 404s are expected and left out. So is what Vega says on a busy machine when Streamlit hands
    new rows to a chart that is being built anew: it draws them then.
    """
    seen = Seen()
    redrawn = "Unrecognized data set"
    expected = ("/_stcore/health", "/_stcore/host-config")

    def on_request(request: Any) -> None:
        url = urlparse(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname not in LOCAL:
            seen.outside.append(request.url)

    def on_console(message: Any) -> None:
        where = urlparse(message.location.get("url", "")).path
        known = ("404" in message.text and where.endswith(expected)) or redrawn in message.text
        if message.type == "error" and not known:
            seen.errors.append(message.text)

    watched.on("request", on_request)
    watched.on("console", on_console)
    watched.on("pageerror", lambda error: None if redrawn in str(error) else seen.errors.append(str(error)))
    return seen


def wait_done(watched: Page) -> None:
    """Wait until Streamlit has no script run in progress, and every part of its page that it fetches on first use."""
    watched.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', state="attached")
    watched.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")


def text_form(watched: Page) -> Locator:
    """The field of the text, in the run bar's form; opens that where it is closed, or about to close."""
    form = watched.get_by_label("Text to read")
    while True:
        wait_done(watched)
        if form.count() == 0:
            watched.get_by_role("button", name="Edit").click()
            form.wait_for()
        watched.wait_for_timeout(300)
        if form.count():
            return form


def press_run(watched: Page) -> None:
    """Press the run bar's button, which closes the form."""
    watched.get_by_role("button", name="Run", exact=True).click()


def upload(watched: Page, label: str, file: Any) -> None:
    """Give a file to the uploader with this label."""
    watched.get_by_role("region", name=label).locator("input[type=file]").set_input_files(file)
