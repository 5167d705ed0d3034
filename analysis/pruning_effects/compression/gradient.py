"""Gradient times input: keep the tokens whose embeddings the answer's probability hangs on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import OutOfMemoryError
from analysis.models.attention_choice import attends_eagerly
from analysis.models.body import first_tensor, hooks
from analysis.models.loading import LanguageModel
from analysis.models.memory import free_bytes
from analysis.progress import Progress
from analysis.pruning_effects.compression.passage import Passage, Scored

_WIDTHS, _INNER, _MAPS = 12, 3, 3
"""What a layer keeps for the backward pass: vectors as wide as a state, as the inner layer of
its feed-forward part, and maps of attention where they are made whole. Measured, rounded up."""
_USABLE = 0.9


def bytes_for_gradient(model: LanguageModel, n_tokens: int) -> int:
    """Memory that one backward pass takes beside the weights, about.

    Parameters
    ----------
    model : LanguageModel
        Whose pass.
    n_tokens : int
        Tokens read.
    """
    config = model.model.config.get_text_config()
    width = model.info.hidden_size
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    inner *= int(getattr(config, "num_experts_per_tok", None) or 1)
    per_layer = n_tokens * (_WIDTHS * width + _INNER * inner)
    if attends_eagerly(model.model):
        per_layer += _MAPS * int(getattr(config, "num_attention_heads", None) or 1) * n_tokens**2
    return per_layer * model.info.n_layers * model.anatomy.head.weight.element_size()


def gradient_times_input(
    model: LanguageModel, ids: list[int], first_answer: int, report: Progress
) -> np.ndarray:
    """Gradient of the answer's mean NLL times the embedding, summed over channels.

    Parameters
    ----------
    model : LanguageModel
        Held by the caller. Its weights stay frozen.
    ids : list of int
        Everything read, the answer last.
    first_answer : int
        Index of the answer's first token.
    report : callable
        Told after every layer, on the way there and back.

    Returns
    -------
    numpy.ndarray, float32, shape (len(ids),)
        ``sum_d (d NLL / d e_td) e_td`` in nats, where ``e_t`` is what the embedding layer gave for
        token t. Negative: more of this token would make the answer likelier.
    """
    caught: dict[str, Tensor] = {}

    def leaf(_module: Any, _args: Any, output: Any) -> Tensor:
        caught["input"] = first_tensor(output).detach().requires_grad_(True)
        return caught["input"]

    n_layers = len(model.anatomy.layers)

    def watch(layer: int) -> Any:
        def passed(_module: Any, _args: Any, output: Any) -> None:
            report(0.4 * (layer + 1) / n_layers, "forward pass")
            back = 0.4 + 0.6 * (n_layers - layer) / n_layers
            first_tensor(output).register_hook(lambda _slope: report(back, "backward pass"))

        return passed

    with torch.inference_mode(False), torch.enable_grad(), hooks() as handles:
        handles.append(model.model.get_input_embeddings().register_forward_hook(leaf))
        handles += [at.register_forward_hook(watch(i)) for i, at in enumerate(model.anatomy.layers)]
        tensor = torch.tensor([ids], device=model.anatomy.head.weight.device)
        n_answer = len(ids) - first_answer
        logits = model.model(input_ids=tensor, use_cache=False, logits_to_keep=n_answer + 1).logits[0, :-1]
        nll = torch.nn.functional.cross_entropy(logits.float(), tensor[0, first_answer:])
        (slope,) = torch.autograd.grad(nll, caught["input"])
        return (slope.float() * caught["input"].detach().float()).sum(-1)[0].cpu().numpy()


def gradient(passage: Passage) -> Scored:
    """Size of gradient times input of the answer's NLL, after the whole text and the question.

    Parameters
    ----------
    passage : Passage
        The text, a question and its answer.

    Returns
    -------
    Scored
        ``|sum_d (d NLL / d e_td) e_td|`` in nats, from one backward pass with frozen weights.

    Raises
    ------
    OutOfMemoryError
        If the backward pass would not fit.

    Notes
    -----
    It knows the answer: an upper guide of what a scorer could find, not something a person
    without the answer could use. The gradient is a first-order guess of what leaving a token's
    embedding out would do, not what dropping the token does.

    References
    ----------
    Shrikumar et al. 2016, arXiv:1605.01713 (gradient times input).
    """
    reader, tail = passage.reader, passage.tail
    ids = [*reader.lead, *passage.ids, *tail.ids]
    reader.require_room(len(ids))
    model = reader.model
    needed, free = bytes_for_gradient(model, len(ids)), free_bytes(model.anatomy.head.weight.device)
    if needed > _USABLE * free:
        raise OutOfMemoryError(
            f"The gradient over {len(ids):,} tokens needs about {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free.",
            "Shorten the context or leave out the gradient.",
        )
    found = gradient_times_input(model, ids, len(ids) - len(tail.answer_ids), passage.report)
    begin = len(reader.lead)
    return Scored(
        np.abs(found[begin : begin + len(passage.ids)]),
        "|gradient x input|, nats",
        note="It knows the answer.",
    )
