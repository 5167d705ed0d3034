"""Over many pictures: at which layer the matrix entropy of the visual tokens collapses, if at any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from analysis.progress import Progress, part, silent
from analysis.results.collapse import CollapseLayer, collapse_of
from analysis.visual_tokens.results import VisualAnswer, VisualLayers

if TYPE_CHECKING:
    from analysis.visual_tokens.vision_model import VisionModel

Tokens = Literal["visual", "text", "text without first"]


def visual_collapse(
    answers: Mapping[str, VisualAnswer | VisualLayers] | Sequence[VisualAnswer | VisualLayers],
    tokens: Tokens = "visual",
) -> CollapseLayer:
    """Find the layer at which the matrix entropy drops sharply, and the same one for all pictures.

    Parameters
    ----------
    answers : mapping of str, or sequence, of VisualAnswer or VisualLayers
        Of one model, by the names of the pictures; one picture proves nothing.
    tokens : {"visual", "text", "text without first"}
        Whose states.

    Returns
    -------
    CollapseLayer
        With its evidence, also where there is no such layer: "none" is an answer. Pictures without spectra do not count.

    Raises
    ------
    ValueError
        Without pictures, or where no spectra were taken or they are of models with different numbers of layers.

    Notes
    -----
    The rule of the text page: :func:`analysis.results.collapse.collapse_of`.
    """
    named = (
        dict(answers)
        if isinstance(answers, Mapping)
        else {f"picture {i + 1}": answer for i, answer in enumerate(answers)}
    )
    field = f"matrix_entropy_{tokens.replace(' ', '_')}"
    layers = {
        name: answer.layers if isinstance(answer, VisualAnswer) else answer for name, answer in named.items()
    }
    entropies = {name: getattr(found, field) for name, found in layers.items()}
    found = collapse_of(entropies, of="pictures")
    if not found.n_measured:
        raise ValueError(f"no spectra of {tokens} tokens were taken")
    return found


def layers_of_scenes(
    vlm: VisionModel, seeds: Sequence[int], *, on_progress: Progress = silent
) -> dict[str, VisualLayers]:
    """Read generated scenes, each with its first question, and keep what the layers did to them.

    Parameters
    ----------
    vlm : VisionModel
    seeds : sequence of int
        Of the scenes.
    on_progress : callable
        Called with the share that is done and a text.

    Returns
    -------
    dict of str to VisualLayers
        By "scene 7" and so on: what :func:`visual_collapse` takes.
    """
    from analysis.visual_tokens.ask import ask
    from analysis.visual_tokens.scenes.scene import scene

    found = {}
    for i, seed in enumerate(seeds):
        one = scene(seed)
        report = part(on_progress, i, len(seeds), name=f"scene {seed}")
        found[f"scene {seed}"] = ask(
            vlm, one.image, one.questions[0].text, max_new=1, on_progress=report
        ).layers
    return found
