"""Start the app: ``python -m app [streamlit flags]``, such as ``--server.port 9000``.

Streamlit reloads an edited module only when it lies next to the entry script or under
the ``PYTHONPATH`` of the environment. The repository root is put there, so that edits in
``analysis/`` show up in a running app as edits in ``app/`` do.

Two settings are read from the environment, for a server that others reach: ``LOGITSCOPE_ADDRESS``, the address to
listen on (without it, this machine only), and ``LOGITSCOPE_ALLOWED_HOSTS``, the names under which browsers may
reach it, with commas between them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (ROOT / "pyproject.toml").is_file()
"""Otherwise this is an installation, whose files nobody edits."""
_HERE_ONLY = ("localhost", "127.0.0.1")


def main(flags: list[str]) -> None:
    """Replace this process by ``streamlit run app/main.py``."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # Idle compute threads sleep instead of spinning: on a shared or virtual CPU, spinning ones
    # were seen to slow a forward pass tenfold while a browser runs beside it.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    script = str(ROOT / "app" / "main.py")
    # -P: a folder called analysis or app where the person stands must not be taken for ours.
    command = [sys.executable, "-P", "-m", "app.serve", "run", script, *server_flags(os.environ), *flags]
    os.execve(sys.executable, command, environment)


def server_flags(environment: Mapping[str, str], is_checkout: bool = IS_CHECKOUT) -> list[str]:
    """Flags of Streamlit for what the environment asks for; those of a person come after them and win."""
    flags = [] if is_checkout else ["--server.fileWatcherType", "none"]
    address = environment.get("LOGITSCOPE_ADDRESS", "").strip()
    hosts = re.split(r"[,\s]+", environment.get("LOGITSCOPE_ALLOWED_HOSTS", "").strip(", \t\n"))
    if address:
        flags += ["--server.address", address]
    if hosts == [""]:
        if address not in {"", "::1", *_HERE_ONLY}:
            sys.stderr.write(
                "Browsers may reach the app as localhost only: LOGITSCOPE_ALLOWED_HOSTS names more hosts.\n"
            )
    else:
        # Beside the two of .streamlit/config.toml, which a flag replaces as a whole.
        for host in dict.fromkeys((*_HERE_ONLY, *hosts)):
            flags += ["--server.allowedHosts", host]
    return flags


if __name__ == "__main__":
    main(sys.argv[1:])
