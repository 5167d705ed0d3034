"""``python -m analysis.visual_tokens.shipped``: how often the model is right on test scenes, as a table.

``--checkpoint`` measures a checkpoint of a training; ``--into`` writes it as a 16-bit folder first, and measures that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.visual_tokens.scenes.scene import SPLITS
from analysis.visual_tokens.shipped.accuracy import Answers, measure_answers
from analysis.visual_tokens.shipped.build import save_folder
from analysis.visual_tokens.shipped.folder import FOLDER, open_checkpoint, open_folder
from analysis.visual_tokens.shipped.packing import Packer
from analysis.visual_tokens.shipped.words import build_tokenizer

_COLUMNS = ("full", "majority", "blind", "blurred", "pooled")


def table(answers: Answers) -> str:
    """Markdown: percent right of each kind, that of the whole picture with its 95 % interval."""
    lines = [
        f"| kind | questions | {' | '.join(_COLUMNS)} |",
        "|---|" + "---:|" * (1 + len(_COLUMNS)),
    ]
    for row in answers.rows():
        full = f"{row['full']} ({row['full low']} to {row['full high']})"
        others = (str(row[c]) for c in _COLUMNS[1:])
        lines.append(f"| {row['kind']} | {row['questions']} | {' | '.join((full, *others))} |")
    for condition in ("pooled", "blurred"):
        lost = answers.lost(condition)
        lines.append(
            f"\nRight in full and wrong when {condition}: {100 * lost.value:.1f} % of the questions"
            f" ({100 * lost.low:.1f} to {100 * lost.high:.1f})."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, measure, and write the table to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--split", choices=tuple(SPLITS), default="test")
    parser.add_argument("--scenes", type=int, default=1000)
    chosen = parser.parse_args()
    if chosen.checkpoint and chosen.into:
        save_folder(open_checkpoint(chosen.checkpoint), chosen.into)
    folder = chosen.into or chosen.folder
    model = (
        open_checkpoint(chosen.checkpoint) if chosen.checkpoint and not chosen.into else open_folder(folder)
    )
    answers = measure_answers(model, Packer(build_tokenizer()), SPLITS[chosen.split][: chosen.scenes])
    sys.stdout.write(table(answers))


if __name__ == "__main__":
    main()
