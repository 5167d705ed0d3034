"""``python -m analysis.visual_tokens.table``: which pruning of visual tokens costs the shipped model how many answers.

Writes Markdown: methods against tokens kept, with paired intervals against the controls: random tokens, down-sampling,
and for methods inside the language model random tokens from layer 2 on; which method wins where; and the rest, a row a cell, with ``--long``. ``--file`` keeps the numbers so far,
and a run that was stopped goes on from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.visual_tokens.intervals import Interval
from analysis.visual_tokens.split_results import CONTROLS, INSIDE_CONTROL, SplitSweep

if TYPE_CHECKING:
    import pandas as pd

METHODS = (
    "random",
    "random_inside",
    "downsampling",
    "fastv",
    "sparsevlm",
    "divprune",
    "dart",
    "cdpruner_like",
    "visionzip",
    "entropyprune",
    "mustdrop",
    "flowcut",
    "transprune",
    "zeroth_order",
    "correlation_guided",
    "random_after_horizon",
)
"""Methods of the table that the shipped model can run, the controls first."""
KEPT = (36, 16, 9, 4)
"""Tokens of the table: what down-sampling by 2, 3, 4 and 6 leaves of 144."""


def summary(sweep: SplitSweep) -> str:
    """Markdown: a row a method, a column a number of tokens.

    A cell is the share of right answers in percent and, behind @, the tokens in a layer on average. An arrow says that
    a method is better or worse than down-sampling to as many tokens: its paired 95 % interval is without 0. The best of
    a column is bold.
    """
    amounts = sorted({c.asked for c in sweep.cells[1:]}, reverse=True)
    names = list(dict.fromkeys(c.policy for c in sweep.cells[1:]))
    labels = {c.policy: c.label for c in sweep.cells}
    best = {n: winners(sweep, n)[:1] for n in amounts}
    lines = [
        f"| method | {' | '.join(map(str, amounts))} |",
        "|---|" + "---:|" * len(amounts),
        f"| all tokens | {' | '.join([_percent(sweep.accuracy(0).value)] * len(amounts))} |",
    ]
    for name in names:
        cells = [_cell(sweep, name, n, name in best[n]) for n in amounts]
        lines.append(f"| {labels[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(sweep: SplitSweep, name: str, tokens: int, is_best: bool) -> str:
    number, control = sweep.cell(name, tokens), sweep.cell("downsampling", tokens)
    if number is None:
        return ""
    share = _percent(sweep.accuracy(number).value)
    share = f"**{share}**" if is_best else share
    arrow = ""
    if control is not None and control != number:
        arrow = {1: " ▲", -1: " ▼", 0: ""}[_sign(sweep.difference(control, number))]
    return f"{share}{arrow} @ {sweep.average[number].mean():.0f}"


def winners(sweep: SplitSweep, tokens: int, kind: str | None = None) -> list[str]:
    """Methods by falling share of right answers with so many tokens kept, of equal ones the earlier.

    Parameters
    ----------
    sweep : SplitSweep
    tokens : int
    kind : str, optional
        Questions of one kind; all by default.
    """
    chosen = np.ones(len(sweep), bool) if kind is None else sweep.kind == kind
    found = [(i, c.policy) for i, c in enumerate(sweep.cells) if i and c.asked == tokens and not c.why]
    return [name for i, name in sorted(found, key=lambda one: -float(sweep.right[one[0]][chosen].mean()))]


def sentences(sweep: SplitSweep) -> str:
    """Markdown list: who is right most often with each number of tokens, and whether that is more than the controls.

    Methods that prune before the language model and those that prune inside it are told apart: with as many kept the
    latter have more tokens in a layer on average, and more work.
    """
    labels = {c.policy: c.label for c in sweep.cells}
    lines = []
    for n in sorted({c.asked for c in sweep.cells[1:]}, reverse=True):
        ranked = [name for name in winners(sweep, n) if name not in CONTROLS]
        for inside, where in ((False, "before"), (True, "inside")):
            name = next((one for one in ranked if _prunes_inside(sweep, one, n) is inside), None)
            if name is not None:
                held = [one for one in CONTROLS if one in labels and (inside or one != INSIDE_CONTROL)]
                said = ", ".join(_against(sweep, name, control, n, labels) for control in held)
                lines.append(
                    f"- {n} tokens, methods {where} the language model: {labels[name]}{_mean(sweep, name, n)} is right "
                    f"most often, {said}."
                )
        firsts = {kind: labels[winners(sweep, n, kind)[0]] for kind in np.unique(sweep.kind).tolist()}
        said = "; ".join(f"{kind}: {first}" for kind, first in firsts.items())
        lines.append(f"- {n} tokens, most often right of all by kind of question: {said}.")
    return "\n".join(lines) + "\n"


def _prunes_inside(sweep: SplitSweep, name: str, tokens: int) -> bool:
    number = sweep.cell(name, tokens)
    assert number is not None
    return sweep.prunes_inside(number)


def _mean(sweep: SplitSweep, name: str, tokens: int) -> str:
    """How many tokens a method has in a layer, where that is not what it keeps."""
    number = sweep.cell(name, tokens)
    inside = number is not None and sweep.prunes_inside(number)
    return f" ({sweep.average[number].mean():.0f} on average over layers)" if inside else ""


def _against(sweep: SplitSweep, name: str, control: str, tokens: int, labels: dict[str, str]) -> str:
    """What the paired interval against a control says."""
    number, other = sweep.cell(name, tokens), sweep.cell(control, tokens)
    assert number is not None
    if other is None:
        return f"{labels[control]} leaves no such number"
    found = sweep.difference(other, number)
    word = {1: "better than", -1: "worse than", 0: "no different from"}[_sign(found)]
    return f"{word} {labels[control]}{_mean(sweep, control, tokens)} ({_points(found)})"


def long_table(frame: pd.DataFrame) -> str:
    """Markdown of :meth:`SplitSweep.to_frame`, a row a cell; percent, and points of percent against the controls."""
    lines = [
        "| method | kept | average | FLOPs % | right % | against random | against down-sampling | against random inside "
        "| group A | group B | KL, nats |",
        "|---|" + "---:|" * 10,
    ]
    for line in frame.to_dict("records"):
        row: dict[str, Any] = {str(k): v for k, v in line.items()}
        if row["why"]:
            lines.append(f"| {row['label']} | {row['asked']} |" + " |" * 8 + f" {row['why']} |")
            continue
        values = [
            row["label"],
            f"{row['kept']:.0f}",
            f"{row['average']:.1f}",
            _percent(row["flops"]),
            f"{_percent(row['right'])} ({_percent(row['right_low'])} to {_percent(row['right_high'])})",
            *(_points(_interval(row, f"against_{control}")) for control in CONTROLS),
            *(_percent(row.get(f"group_{name}", np.nan)) for name in ("a", "b")),
            "" if np.isnan(row["kl"]) else f"{row['kl']:.3f}",
        ]
        lines.append(f"| {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def _interval(row: dict[str, Any], name: str) -> Interval:
    return Interval(*(float(row.get(f"{name}{end}", np.nan)) for end in ("", "_low", "_high")))


def _sign(found: Interval) -> int:
    """1 or -1 where the interval is without 0."""
    return 1 if found.low > 0 else -1 if found.high < 0 else 0


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"


def _points(found: Interval) -> str:
    if np.isnan(found.value):
        return ""
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def main() -> None:
    """Read the command line, measure, and write the table to the standard output."""
    from analysis.visual_tokens.model import load_vision_model
    from analysis.visual_tokens.split_sweep import sweep_split

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--kept", nargs="+", type=int, default=KEPT)
    parser.add_argument("--counting", choices=("kept", "average"), default="kept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--model", help="a folder; the shipped model by default")
    parser.add_argument("--long", action="store_true")
    chosen = parser.parse_args()

    def report(share: float, what: str) -> None:
        sys.stderr.write(f"\r{share:4.0%} {what:60.60}")

    sweep = sweep_split(
        load_vision_model(chosen.model),
        chosen.methods,
        chosen.kept,
        questions=chosen.questions,
        counting=chosen.counting,
        seeds=chosen.seeds,
        file=chosen.file,
        on_progress=report,
    )
    sys.stderr.write(f"\n{sweep.seconds.get('cpu', 0):.0f} CPU seconds\n")
    sys.stdout.write(f"{summary(sweep)}\n{sentences(sweep)}")
    if chosen.long:
        sys.stdout.write(f"\n{long_table(sweep.to_frame())}")


if __name__ == "__main__":
    main()
