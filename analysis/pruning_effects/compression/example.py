"""A ready example for prompt compression, and its stored result on the embedded model.

``python -m analysis.pruning_effects.compression.example`` computes it again (a minute) and writes the file.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from analysis.pruning_effects.compression.results import Compressed, CompressionResult, CompressionSweep

FILE = Path(__file__).parent / "example.safetensors"
CHOSEN = ("self-information", "longllmlingua", "gradient", "random", "first", "stop words")
KEPT = (0.7, 0.5, 0.3, 0.1)
CONTEXT = """\
The old lighthouse at Marrow Point has been empty since the new beacon was built, but the village still keeps it in \
good repair. Every spring a few volunteers climb the ladder, scrape the rust from the railing and paint the door. The \
paint is paid for by the fishing cooperative, which also owns the boat shed below the rocks.

The tower is locked for most of the year. The only key hangs in the kitchen of Agnes Holloway, the retired \
postmistress, who lives in the yellow house next to the chapel. She lends it to anyone who asks politely and writes \
the name of the borrower in a small green notebook. Last year forty-one people signed it, among them a film crew and \
a school class from the city.

In August there is a summer fair on the meadow behind the harbour. Children race crabs along a wooden gutter, the \
choir sings twice, and the baker sells plum cake until nothing is left. When the evening is clear, the lamp in the \
lighthouse is lit for an hour, and the ferry sounds its horn in reply. Nobody remembers who began this custom, and \
nobody wants it to end."""
QUESTION = "Question: Who keeps the key of the lighthouse?\nAnswer:"
ANSWER = "Agnes Holloway"
_ARRAYS = ("keep", "spans", "scores")
"""Of each shorter text; the cells are those of the original, so they are stored once."""


def example_sweep() -> CompressionSweep:
    """The stored sweep of the example."""
    with safe_open(FILE, "numpy") as file:
        told = json.loads(file.metadata()["told"])
        cell, cell_text = file.get_tensor("cell"), tuple(told.pop("cell_text"))
        readings = tuple(
            CompressionResult(
                Compressed(
                    **one,
                    **{name: file.get_tensor(f"{number}/{name}") for name in _ARRAYS},
                    original=CONTEXT,
                    cell=cell,
                    cell_text=cell_text,
                ),
                nll,
            )
            for number, (one, nll) in enumerate(told.pop("readings"))
        )
    return CompressionSweep(text=CONTEXT, question=QUESTION, answer=ANSWER, readings=readings, **told)


def store(sweep: CompressionSweep) -> None:
    """Write a sweep of the example to the file."""
    first = sweep.readings[0].compressed
    skipped = {*_ARRAYS, "original", "cell", "cell_text"}
    names = [f.name for f in fields(Compressed) if f.name not in skipped]
    readings = [({name: getattr(r.compressed, name) for name in names}, r.nll) for r in sweep.readings]
    own = (
        "model",
        "dtype",
        "device",
        "unit",
        "n_original",
        "n_answer",
        "nll_full",
        "nll_without",
        "unavailable",
    )
    told = {name: getattr(sweep, name) for name in own} | {"readings": readings, "cell_text": first.cell_text}
    arrays = {
        f"{number}/{name}": np.ascontiguousarray(getattr(reading.compressed, name))
        for number, reading in enumerate(sweep.readings)
        for name in _ARRAYS
    }
    save_file(arrays | {"cell": first.cell}, FILE, {"told": json.dumps(told)})


def make() -> None:
    """Compute the sweep and write the file."""
    from analysis.models.loading import load_model
    from analysis.pruning_effects.compression.sweep import sweep_compression

    store(sweep_compression(load_model(), CONTEXT, QUESTION, ANSWER, list(CHOSEN), list(KEPT), unit="word"))


if __name__ == "__main__":
    make()
