"""What a vision-language model says of a given answer, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_KINDS_OF_TOKENS = ("mm_token_type_ids", "token_type_ids", "attention_mask")


def reads_answer_at_once(model: Any) -> bool:
    """Whether one pass over prompt and answer says what writing says.

    PaliGemma reads whatever stands before its first written token both ways, so its answers are read step by step.
    """
    return bool(model.config.model_type != "paligemma")


@torch.no_grad()
def answer_logp(model: Any, inputs: Mapping[str, Any], answer: Sequence[int]) -> Tensor:
    """Log-probabilities at the places that predict an answer.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model; what hides its visual tokens holds for this too.
    inputs : mapping
        Its input for one image and a question, or :func:`read_image_once` of that.
    answer : sequence of int
        Ids, at least one.

    Returns
    -------
    torch.Tensor
        (A, V), float64, nats: row t predicts token t from the prompt and the tokens before it.
    """
    if reads_answer_at_once(model):
        longer = _with_answer(inputs, answer)
        return model(**longer, use_cache=False, logits_to_keep=len(answer)).logits[0].double().log_softmax(-1)
    out = model(**inputs, use_cache=True, logits_to_keep=1)
    rows, n = [out.logits[0, -1]], int(inputs["input_ids"].shape[1])
    first = 1  # PaliGemma counts its positions from 1
    for i, token in enumerate(answer[:-1]):
        out = model(
            input_ids=inputs["input_ids"].new_tensor([[token]]),
            position_ids=inputs["input_ids"].new_tensor([[n + i + first]]),
            past_key_values=out.past_key_values,
            use_cache=True,
        )
        rows.append(out.logits[0, -1])
    return torch.stack(rows).double().log_softmax(-1)


def _with_answer(inputs: Mapping[str, Any], answer: Sequence[int]) -> dict[str, Any]:
    """The input with all tokens of the answer but its last behind it."""
    more = inputs["input_ids"].new_tensor([list(answer[:-1])])
    if not more.shape[1]:
        return dict(inputs)
    longer = dict(inputs, input_ids=torch.cat([inputs["input_ids"], more], 1))
    for name in _KINDS_OF_TOKENS:
        if name in inputs:
            kind = torch.full_like(more, int(name == "attention_mask"), dtype=inputs[name].dtype)
            longer[name] = torch.cat([inputs[name], kind], 1)
    return longer
