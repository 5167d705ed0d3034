"""Writes the run that the pages show before the first one of a visitor.

    python -m tests.golden.make_example_run

The first example on the embedded model, with the logit lens at every layer. To be written again when a run measures
something new, on one thread, so that the same numbers come on every machine of a kind.
"""

from __future__ import annotations

from app.examples import DEFAULT, EXAMPLES
from app.widgets.run_status import EXAMPLE_RUN


def write_example() -> None:
    """Measure the example and store it with the app."""
    import torch

    import analysis as an

    torch.set_num_threads(1)
    model = an.load_model(device="cpu")
    lens = list(range(model.info.n_layers + 1))
    an.trace(model, EXAMPLES[DEFAULT].text, lens=lens).save(EXAMPLE_RUN)


if __name__ == "__main__":
    write_example()
