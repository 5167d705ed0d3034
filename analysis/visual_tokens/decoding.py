"""Greedy answers by the library's own loop, with what every distribution said; the table of logits is never kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.forward.vocabulary_head import distribution, said_by, said_of
from analysis.results.token_quantities import stored_quantities
from analysis.results.tokens import NextToken


@dataclass(frozen=True, eq=False)
class Written:
    """An answer: its A tokens, and the distributions that predicted them."""

    ids: tuple[int, ...]
    rows: dict[str, np.ndarray]
    """By the names of :class:`analysis.results.tokens.TokenTrace`, (A,) or (A, k); row t predicted token t."""
    next: NextToken
    first_logits: Tensor
    """(V,), float32: those that predicted token 0, as the model gave them."""


def write_greedily(
    model: Any,
    inputs: Mapping[str, Any],
    stops: Collection[int],
    max_new: int,
    *,
    top_k: int = 10,
    on_token: Callable[[int], None] = lambda _n: None,
) -> Written:
    """Let a model answer: the likeliest token each time, its own generation settings left out.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    inputs : mapping
        What its processor made of one image and a question, or :func:`read_image_once` of that.
    stops : collection of int
        Ids after which nothing more is written; the one that came is part of the answer.
    max_new : int
        Most tokens of the answer, at least 1.
    top_k : int
        Alternatives kept of each token.
    on_token : callable
        Called with the number of tokens that are written.

    Notes
    -----
    The last token is read as well, so that its states and the distribution after it are measured: one step more
    than the answer has tokens.
    """
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    n_prompt = int(inputs["input_ids"].shape[1])
    said: list[dict[str, np.ndarray]] = []
    first: list[Tensor] = []

    def n_written(ids: Tensor) -> int | None:
        """Tokens of the answer once it has ended, else None."""
        new = ids[0, n_prompt:].tolist()
        ends = [i + 1 for i, token in enumerate(new[:max_new]) if token in stops]
        return ends[0] if ends else max_new if len(new) >= max_new else None

    def see(_ids: Tensor, scores: Tensor) -> Tensor:
        if not first:
            first.append(scores[0].float().clone())
        log_probs, probs = distribution(scores.float().clone())
        k = min(top_k, scores.shape[-1])
        values = said_by(log_probs, probs, k) | said_of(log_probs, scores.argmax(-1))
        said.append({name: value[0].cpu().numpy() for name, value in values.items()})
        return scores

    def ended(ids: Tensor, _scores: Any, **_more: Any) -> Tensor:
        count = n_written(ids)
        new = ids.shape[1] - n_prompt
        on_token(min(new, count or new))
        return torch.tensor([count is not None and new > count], device=ids.device)

    settings = GenerationConfig(
        do_sample=False, max_new_tokens=max_new + 1, pad_token_id=min(stops, default=0)
    )
    with _no_settings_of_its_own(model):
        ids: Any = model.generate(
            **inputs,
            generation_config=settings,
            logits_processor=LogitsProcessorList([see]),
            stopping_criteria=StoppingCriteriaList([ended]),
        )
    count = n_written(ids)
    assert count is not None
    names = (*(quantity.name for quantity in stored_quantities()), "top_ids", "top_logprobs")
    after = said[count]
    return Written(
        tuple(int(i) for i in ids[0, n_prompt : n_prompt + count]),
        {name: np.stack([row[name] for row in said[:count]]) for name in names},
        NextToken(
            **{f.name: float(after[f.name]) for f in fields(NextToken) if f.type == "float"},
            top_ids=after["top_ids"],
            top_logprobs=after["top_logprobs"],
        ),
        first[0],
    )


@contextmanager
def _no_settings_of_its_own(model: Any) -> Iterator[None]:
    """Without a model's own generation settings, such as a penalty on repetition, which fill what is not set."""
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = before
