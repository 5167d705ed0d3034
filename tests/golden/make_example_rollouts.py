"""Writes the rollouts that the card "Trainer against engine" shows before a visitor opens a file.

    python -m tests.golden.make_example_rollouts

The engine is the embedded model in bfloat16, as engines mostly are; the loaded model is the same in float32. Sixteen
answers of different length to one question, at temperature 1 over the whole vocabulary.
"""

from __future__ import annotations

import json

from analysis.comparison.rollout_file import EXAMPLE

QUESTION = "Write one sentence about the sea."
_N, _N_NEW = 16, 48


def write_example() -> None:
    """Draw the example and store it."""
    import torch

    import analysis as an

    torch.set_num_threads(1)
    engine = an.load_model(device="cpu", dtype="bfloat16")
    chat = [{"role": "user", "content": QUESTION}]
    w = an.write_samples(engine, chat, n=_N, n_new=_N_NEW, seed=0).writing
    rows = [
        {
            "prompt": list(w.prompt.ids),
            "tokens": [int(i) for i in branch.ids],
            "logprobs": [round(-float(s), 6) + 0.0 for s in branch.numbers.surprisal],
        }
        for branch in w.branches
    ]
    EXAMPLE.write_text(
        "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    write_example()
