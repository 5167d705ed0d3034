"""Run every benchmark, one process each; the exit code tells whether all kept their limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ALL = ("head_memory", "first_picture", "attention_pass", "collapse_layers")

if __name__ == "__main__":
    codes = []
    for name in ALL:
        print(f"--- {name}", flush=True)
        codes.append(
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=Path(__file__).parents[1])
        )
    sys.exit(any(done.returncode for done in codes))
