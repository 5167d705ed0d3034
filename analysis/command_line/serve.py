"""``serve``: start the app, as ``python -m app`` does, from any folder."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlunsplit

from analysis.errors import AnalysisError

_APP = Path(__file__).resolve().parents[2] / "app" / "__main__.py"
"""Started by its path: a folder called ``app`` where the person stands must not be taken for it."""
_LOOPBACK = "127.0.0.1"


def add_to(commands: Any) -> None:
    """Add the command."""
    serve: argparse.ArgumentParser = commands.add_parser(
        "serve", help="start the app; other flags go to Streamlit", allow_abbrev=False
    )
    serve.set_defaults(run=run, tell=None, extra="app")
    serve.add_argument(
        "--port", "--server.port", dest="port", type=_port, default=8501, help="(default: %(default)s)"
    )
    serve.add_argument(
        "--address",
        "--server.address",
        dest="address",
        help="address to listen on (default: LOGITSCOPE_ADDRESS, else this machine only)",
    )


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become the app's server. With ``--json``, stdout holds one object first and the server's words go to stderr."""
    address = arguments.address or os.environ.get("LOGITSCOPE_ADDRESS") or _LOOPBACK
    if importlib.util.find_spec("streamlit") is None:
        raise ModuleNotFoundError(name="streamlit")
    _require_free(address, arguments.port)
    if arguments.json:
        host = _LOOPBACK if address in {"0.0.0.0", "::"} else address
        url = urlunsplit(("http", f"{f'[{host}]' if ':' in host else host}:{arguments.port}", "", "", ""))
        said = {"url": url, "health": f"{url}/_stcore/health", "address": address, "port": arguments.port}
        print(json.dumps(said, indent=1), flush=True)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ["LOGITSCOPE_ADDRESS"] = address
    flags = ["--server.port", str(arguments.port), *arguments.others]
    os.execv(sys.executable, [sys.executable, "-P", str(_APP), *flags])


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be from 1 to 65535")
    return number


def _require_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise AnalysisError(
                f"The app cannot listen on {address}, port {port} ({error.strerror}).",
                "Name a free port with --port, or another address with --address.",
            ) from None
