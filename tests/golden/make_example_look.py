"""Writes what the page Visual tokens shows before a visitor asks.

    python -m tests.golden.make_example_look

The shipped model's answers to two questions about a scene that it was never trained on: what is on screen, and what it
is compared with; and the first one's prunings. To be written again when the model
or the file's format is another, on one thread, so that the same numbers come on every machine of a kind.
"""

from __future__ import annotations

from app.panels.visual_tokens.prune import FIRST_METHODS, FIRST_SHARES
from app.panels.visual_tokens.request import right_answer
from app.panels.visual_tokens.running import (
    EXAMPLE,
    EXAMPLE_LOOK,
    EXAMPLE_SECOND,
    EXAMPLE_SECOND_LOOK,
    EXAMPLE_SWEEP_FILE,
)


def write_example() -> None:
    """Write them and store them with the app."""
    import torch

    from analysis.visual_tokens.ask import ask
    from analysis.visual_tokens.model import load_vision_model
    from analysis.visual_tokens.scenes.scene import scene
    from analysis.visual_tokens.sweep import sweep_visual

    torch.set_num_threads(1)
    vlm = load_vision_model(device="cpu")
    for asked, path in ((EXAMPLE, EXAMPLE_LOOK), (EXAMPLE_SECOND, EXAMPLE_SECOND_LOOK)):
        assert asked.scene is not None
        ask(vlm, scene(asked.scene).image, asked.question).save(path)
    picture, answer = scene(EXAMPLE.scene or 0).image, right_answer(EXAMPLE)
    sweep_visual(vlm, picture, EXAMPLE.question, FIRST_METHODS, FIRST_SHARES, answer=answer).save(
        EXAMPLE_SWEEP_FILE
    )


if __name__ == "__main__":
    write_example()
