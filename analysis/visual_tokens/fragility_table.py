"""``python -m analysis.visual_tokens.fragility_table``: what small changes of pictures do to the shipped model, pruned.

Writes Markdown: a row for each noise, method and number of tokens, on test scenes.
"""

from __future__ import annotations

import argparse
import sys

from analysis.visual_tokens.fragility import measure_fragility
from analysis.visual_tokens.fragility_results import Fragility
from analysis.visual_tokens.model import load_vision_model
from analysis.visual_tokens.perturbation import AgainstAttention, RandomSigns
from analysis.visual_tokens.scenes.scene import SPLITS, scene

METHODS = ("visionzip", "fastv", "divprune", "random")
KEPT = (0.25, 1 / 9)
_HEAD = (
    "noise",
    "method",
    "tokens",
    "clean %",
    "changed %",
    "all tokens %",
    "CER %",
    "CBR %",
    "kept again %",
)
_NOTE = "Random tokens: one draw (seed 0), the same in all pictures."


def table(found: Fragility) -> list[str]:
    """Lines of the table: shares in percent, CBR with its 95 % interval over pictures and the questions it is about."""
    lines = []
    for row in found.to_frame().to_dict("records"):
        cells = [found.noise.name, row["method"], row["tokens"]]
        if row["why"]:
            lines.append(f"| {' | '.join(map(str, cells))} | {row['why']} |" + " |" * 5)
            continue
        shares = [row["clean"], row["noisy"], found.full_noisy.mean(), row["error"]]
        broken = "{:.1f} ({:.1f} to {:.1f}, {:.0f} questions)".format(
            *(100 * row[name] for name in ("broken", "broken_low", "broken_high")), row["sound"]
        )
        numbers = [*(f"{100 * share:.1f}" for share in shares), broken, f"{100 * row['kept_again']:.1f}"]
        lines.append(f"| {' | '.join(map(str, [*cells, *numbers]))} |")
    return lines


def _tell(share: float, what: str) -> None:
    sys.stderr.write(f"\r{100 * share:3.0f} % {what}   ")


def main() -> None:
    """Measure, with how far it is on the error stream."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--levels", type=int, default=2, help="largest change of a colour value, of 255")
    options = parser.parse_args()
    vlm = load_vision_model()
    scenes = [scene(seed) for seed in SPLITS["test"][: options.pictures]]
    lines = [f"| {' | '.join(_HEAD)} |", "|---|---|" + "---:|" * (len(_HEAD) - 2)]
    for noise in (RandomSigns(options.levels), AgainstAttention(options.levels)):
        found = measure_fragility(
            vlm,
            scenes,
            METHODS,
            KEPT,
            noise,
            progress=_tell,
        )
        lines += table(found)
    sys.stdout.write("\n".join([*lines, "", _NOTE]) + "\n")


if __name__ == "__main__":
    main()
