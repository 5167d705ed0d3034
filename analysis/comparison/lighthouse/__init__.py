"""The adapter that the project ships: the embedded model, tuned on an invented lighthouse keeper's log."""

from __future__ import annotations

from pathlib import Path

LIGHTHOUSE = "lighthouse"
"""Name of the shipped adapter wherever an adapter can be named."""
FOLDER = Path(__file__).parent
"""Its folder, as peft saves one."""
CARD = FOLDER / "README.md"
"""What it is, how it was made, and what it does, as measured."""
