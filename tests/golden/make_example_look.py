"""Writes what the page Visual tokens shows before a visitor asks.

    python -m tests.golden.make_example_look

The shipped model's answer to a question about a scene that it was never trained on. To be written again when the model
or the file's format is another, on one thread, so that the same numbers come on every machine of a kind.
"""

from __future__ import annotations

from app.panels.visual_tokens.running import EXAMPLE, EXAMPLE_LOOK


def write_example() -> None:
    """Write the example and store it with the app."""
    import torch

    from analysis.visual_tokens.ask import ask
    from analysis.visual_tokens.model import load_vision_model
    from analysis.visual_tokens.scenes.scene import scene

    assert EXAMPLE.scene is not None
    torch.set_num_threads(1)
    vlm = load_vision_model(device="cpu")
    ask(vlm, scene(EXAMPLE.scene).image, EXAMPLE.question).save(EXAMPLE_LOOK)


if __name__ == "__main__":
    write_example()
