"""Writes what the page Write shows before a visitor writes.

    python -m tests.golden.make_example_writing

The first prompt of the form on the embedded model, greedily, and three ways that leave it where it was most uncertain. To
be written again when a branch holds something new, on one thread, so that the same numbers come on every machine of a kind.
"""

from __future__ import annotations

from app.panels.write.request import MESSAGE
from app.panels.write.running import EXAMPLE_WRITING

_N_NEW, _N_WAYS = 48, 3


def write_example() -> None:
    """Write the example and store it with the app."""
    import torch

    import analysis as an
    from analysis.writing.editing import rename
    from analysis.writing.paths import along
    from analysis.writing.writing_file import save_writing

    torch.set_num_threads(1)
    model = an.load_model(device="cpu")
    w = an.write(model, [{"role": "user", "content": MESSAGE}], n_new=_N_NEW)
    n_prompt = len(w.prompt.ids)
    unsure = along(w, 0, "entropy")
    for at in sorted((-unsure).argsort(kind="stable")[:_N_WAYS].tolist()):
        second = int(w.branches[0].numbers.top_ids[at][1])
        w = an.branch(model, w, at=n_prompt + at, token=second, of=0, n_new=_N_NEW // 2)
    save_writing(rename(w, 0, "most likely"), EXAMPLE_WRITING)


if __name__ == "__main__":
    write_example()
