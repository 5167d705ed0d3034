"""How often a model is right under each method of pruning, over many questions; and the file that is gone on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.results.file_parts import bytes_of, open_content, read_file, write_file
from analysis.visual_tokens.intervals import Interval, paired_difference

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
KEY = "logitscope-split-sweep"
"""Name of the header in the file."""
BLURRED, BLURRED_LABEL = "blurred", "blurred picture, all tokens"
"""A control that is no pruning: half the picture's detail, as down-sampling by 2 leaves it, at the full number of tokens."""
INSIDE_CONTROL = "random_inside"
"""What a method that prunes inside the language model is held against, too: the layer alone may be what helps."""
CONTROLS = ("random", "downsampling", INSIDE_CONTROL)
"""Methods that others are held against; they are in every sweep."""


@dataclass(frozen=True)
class SplitCell:
    """One method and one number of tokens.

    Parameters
    ----------
    policy, label : str
    asked : int
        Tokens asked for, counted as the sweep counts.
    why : str
        Why it could not be run; empty if it could.
    """

    policy: str
    label: str
    asked: int
    why: str = ""


@dataclass(frozen=True, eq=False)
class SplitSweep:
    """Questions about test scenes under many prunings; cell 0 has all tokens.

    Parameters
    ----------
    settings : dict
        Everything that decides the numbers: model, methods with their constants, numbers of tokens, seeds, questions.
    cells : tuple of SplitCell
        C of them.
    picture : numpy.ndarray
        (Q,) of int64: seed of the scene of each question done so far.
    kind : numpy.ndarray
        (Q,) of str.
    right : numpy.ndarray
        (C, Q) of float64: whether it was answered rightly, mean over the draws of a random method; NaN where a cell
        could not be run.
    answer_logp : numpy.ndarray
        (C, Q) of float64, nats: of the right answer, without its end; mean over draws.
    kl : numpy.ndarray
        (C, Q) of float64, nats: KL(all tokens || pruned), mean over the places that predict the answer and its end, and
        over draws.
    kept, average : numpy.ndarray
        (C, Q) of float64: tokens left after the last pruning, and their mean over all layers.
    flops : numpy.ndarray
        (C, Q) of float64: operations of the language model's layers over image and question.
    seconds : dict
        What took how long.
    blurred : numpy.ndarray
        (Q,) of float64: whether it was answered rightly about the picture with half its detail and all tokens; empty, or
        NaN, where that was not measured.
    """

    settings: dict[str, Any]
    cells: tuple[SplitCell, ...]
    picture: np.ndarray
    kind: np.ndarray
    right: np.ndarray
    answer_logp: np.ndarray
    kl: np.ndarray
    kept: np.ndarray
    average: np.ndarray
    flops: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict)
    blurred: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def is_done(self) -> bool:
        """Whether all questions were asked."""
        return len(self) == int(self.settings["questions"])

    def cell(self, policy: str, tokens: int) -> int | None:
        """Number of a cell that was run."""
        for number, one in enumerate(self.cells):
            if (one.policy, one.asked) == (policy, tokens) and not one.why:
                return number
        return None

    def prunes_inside(self, cell: int) -> bool:
        """Whether some layers see more tokens than are left in the end: by half a token at least, on average over layers."""
        return bool((self.average[cell] > self.kept[cell] + 0.5).any())

    def accuracy_blurred(self, chosen: np.ndarray | None = None) -> Interval:
        """Share of right answers about the blurred picture with all tokens, as :meth:`accuracy`; NaN if not measured."""
        rows = np.isfinite(self.blurred) & (True if chosen is None else chosen)
        if not rows.any():
            return Interval(np.nan, np.nan, np.nan)
        return paired_difference(np.zeros(rows.sum()), self.blurred[rows], self.picture[rows])

    def accuracy(self, cell: int, chosen: np.ndarray | None = None) -> Interval:
        """Share of right answers; its 95 % interval is a bootstrap over pictures.

        Parameters
        ----------
        cell : int
        chosen : numpy.ndarray, optional
            (Q,) of bool: which questions count; all by default.
        """
        return self.difference(None, cell, chosen)

    def difference(self, a: int | None, b: int, chosen: np.ndarray | None = None) -> Interval:
        """How much more often cell b is right than cell a, on the same questions; paired, over pictures.

        NaN throughout where no question counts.
        """
        rows = np.ones(len(self), bool) if chosen is None else chosen
        if not rows.any():
            return Interval(np.nan, np.nan, np.nan)
        before = np.zeros(len(self)) if a is None else self.right[a]
        return paired_difference(before[rows], self.right[b][rows], self.picture[rows])

    def group(self, name: str, tokens: int) -> np.ndarray | None:
        """Questions of a group of VTC-Bench, (Q,) of bool; None where down-sampling leaves no such number of tokens.

        Parameters
        ----------
        name : {"a", "b"}
            Right with all tokens; and after down-sampling to the same number wrong ("a") or right ("b").
        tokens : int
        """
        control = self.cell("downsampling", tokens)
        if control is None:
            return None
        full, small = self.right[0] > 0.5, self.right[control] > 0.5
        return np.asarray(full & (small if name == "b" else ~small))

    def to_frame(self, kind: str | None = None) -> pd.DataFrame:
        """One row per cell, and the blurred picture; what could not be run is empty but for the reason.

        Shares are of 1. ``low`` and ``high`` bound the middle 95 % of a bootstrap over pictures, paired where two
        methods are compared.

        Parameters
        ----------
        kind : str, optional
            Questions of one kind; all by default.
        """
        import pandas as pd

        chosen = np.ones(len(self), bool) if kind is None else self.kind == kind
        rows: list[dict[str, Any]] = []
        for number, one in enumerate(self.cells):
            row: dict[str, Any] = {"policy": one.policy, "label": one.label, "asked": one.asked}
            row |= {"questions": int(chosen.sum()), "why": one.why}
            if not one.why and chosen.any():
                row |= self._numbers(number, chosen)
                for control in CONTROLS:
                    other = self.cell(control, one.asked)
                    if other is not None and other != number and number:
                        row |= _columns(f"against_{control}", self.difference(other, number, chosen))
                for name in ("a", "b"):
                    group = self.group(name, one.asked)
                    if group is not None:
                        row[f"n_group_{name}"] = int((group & chosen).sum())
                        row[f"group_{name}"] = self.accuracy(number, group & chosen).value
            rows.append(row)
        if np.isfinite(self.blurred).any():
            row = {"policy": BLURRED, "label": BLURRED_LABEL, "asked": self.cells[0].asked}
            row |= {"questions": int((chosen & np.isfinite(self.blurred)).sum()), "why": ""}
            row |= {"kept": float(row["asked"]), "average": float(row["asked"]), "flops": 1.0}
            rows.append(row | _columns("right", self.accuracy_blurred(chosen)))
        return pd.DataFrame(rows)

    def _numbers(self, number: int, chosen: np.ndarray) -> dict[str, float]:
        mean = {
            name: float(getattr(self, name)[number][chosen].mean(dtype=np.float64))
            for name in ("kept", "average", "answer_logp", "kl")
        }
        flops = float(self.flops[number][chosen].sum() / self.flops[0][chosen].sum())
        return {**mean, "flops": flops, **_columns("right", self.accuracy(number, chosen))}

    def save(self, path: str | Path) -> Path:
        """Write what was measured so far to one file, completely or not at all."""
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, "blurred")}
        header = {
            "schema": SCHEMA_VERSION,
            "settings": self.settings,
            "cells": [asdict(c) for c in self.cells],
            "kind": self.kind.tolist(),
            "seconds": self.seconds,
        }
        return write_file(bytes_of(arrays, {KEY: json.dumps(header)}), path)


_ARRAYS = ("picture", "right", "answer_logp", "kl", "kept", "average", "flops")


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def load_split_sweep(path: str | Path) -> SplitSweep:
    """Open what :meth:`SplitSweep.save` wrote.

    Raises
    ------
    BrokenFileError
        If the file is missing, damaged, of another kind, or of a newer version.
    """
    data, name = read_file(path)
    return open_content(data, name, KEY, SCHEMA_VERSION, _assemble, what="split sweep")


def _assemble(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> SplitSweep:
    cells = tuple(SplitCell(**c) for c in header["cells"])
    kind = np.array(header["kind"], dtype=str)
    found = SplitSweep(
        settings=header["settings"],
        cells=cells,
        kind=kind,
        seconds=header["seconds"],
        # files of earlier versions have none
        blurred=arrays.get("blurred", np.full(len(kind), np.nan)),
        **{name: arrays[name] for name in _ARRAYS},
    )
    for name in _ARRAYS[1:]:
        if arrays[name].shape != (len(cells), len(kind)):
            raise ValueError(name)
    for name, values in (("picture", found.picture), ("blurred", found.blurred)):
        if values.shape != kind.shape:
            raise ValueError(name)
    return found
