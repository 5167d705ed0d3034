"""Start the app: ``python -m app [streamlit flags]``, such as ``--server.port 9000``.

Streamlit reloads an edited module only when it lies next to the entry script or under
the ``PYTHONPATH`` of the environment. The repository root is put there, so that edits in
``analysis/`` show up in a running app as edits in ``app/`` do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(flags: list[str]) -> None:
    """Replace this process by ``streamlit run app/main.py``."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # Idle compute threads sleep instead of spinning: on a shared or virtual CPU, spinning ones
    # were seen to slow a forward pass tenfold while a browser runs beside it.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    script = str(ROOT / "app" / "main.py")
    os.execve(sys.executable, [sys.executable, "-m", "streamlit", "run", script, *flags], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
