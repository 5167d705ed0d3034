"""Every public number of five fixed runs, to be compared before and after a change of the code.

    python -m benchmarks.fixed_runs before.npz
    python -m benchmarks.fixed_runs after.npz --against before.npz

Runs: tokens, attention and layers of one trace with the lens, a sweep of evictions, a compressed prompt; all on the
embedded model, one thread. Prints what differs, and by how much.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

TEXT = (
    "The old lighthouse keeper counted the ships as they passed. One, two, three; then the fog came, and he counted "
    "the horns instead. In the morning the sea was flat and empty, and the count did not match the log. "
) * 3
AFTER = " He counted again, and wrote the number down."


def numbers(result: Any, name: str) -> dict[str, np.ndarray]:
    """Arrays and numbers of a result, by dotted name."""
    found: dict[str, np.ndarray] = {}
    for field in fields(result):
        value = getattr(result, field.name)
        here = f"{name}.{field.name}"
        if field.name == "seconds":
            continue
        if is_dataclass(value):
            found |= numbers(value, here)
        elif isinstance(value, np.ndarray):
            found[here] = value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[here] = np.array(value)
    return found


def fixed_runs() -> dict[str, np.ndarray]:
    """The numbers of all runs."""
    import torch

    import analysis as an

    torch.set_num_threads(1)
    model = an.load_model(device="cpu")
    trace = an.trace(model, TEXT, lens=[0, 10, 20])
    found: dict[str, np.ndarray] = {}
    for part in ("tokens", "attention", "layers", "next"):
        found |= numbers(getattr(trace, part), part)
    sweep = an.sweep_eviction(
        model, TEXT, AFTER, ["streaming", "knorm", "h2o", "snapkv", "expected"], [0.5, 0.2]
    )
    found |= numbers(sweep, "sweep")
    for column, values in sweep.to_frame().items():
        if values.dtype.kind in "fi":
            found[f"sweep.frame.{column}"] = values.to_numpy()
    compressed = an.compress(model, TEXT, "llmlingua", 0.5)
    found |= numbers(compressed, "compression")
    return found


def main() -> None:
    """Write the numbers, and compare them with earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--against")
    arguments = parser.parse_args()
    found = fixed_runs()
    np.savez_compressed(arguments.out, **found)
    print(f"{len(found)} arrays, {sum(x.size for x in found.values()):,} numbers")
    if arguments.against is None:
        return
    before = np.load(arguments.against)
    different = 0
    for name in sorted(set(before.files) | set(found)):
        if name not in found or name not in before.files:
            print(f"{name}: only {'before' if name in before.files else 'after'}")
            continue
        one, other = before[name], found[name]
        if one.shape != other.shape:
            print(f"{name}: {one.shape} before, {other.shape} after")
        elif not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            different += 1
            print(f"{name}: largest change {np.nanmax(np.abs(one.astype(float) - other)):.2e}")
    print("equal bit by bit" if not different else f"{different} arrays differ")


if __name__ == "__main__":
    main()
