"""Whether a checkpoint has a language model's head: read from what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from analysis.errors import UnsupportedModelError

_PREDICTS_TOKENS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_OTHER_HEAD = re.compile(
    r"(^|\.)(score|v_head|value_head|reward_head|classifier|classification_head|qa_outputs)\."
)
_HINT = "Choose a causal language model; reward models, classifiers and encoders predict no next token."


def require_language_model(config: Any, name: str) -> None:
    """Refuse a model that was saved with another head, before its weights are read.

    With tied embeddings its weights are all there, and it would be measured as if it predicted tokens.

    Parameters
    ----------
    config : PreTrainedConfig
        As the library read it; one that names no architecture is let through.
    name : str
        Of the model, for the message.

    Raises
    ------
    UnsupportedModelError
        Naming the architecture.
    """
    architectures = [str(found) for found in getattr(config, "architectures", None) or ()]
    if architectures and not any(found.endswith(_PREDICTS_TOKENS) for found in architectures):
        raise UnsupportedModelError(
            f"{name} is a {architectures[0][:80]}, not a causal language model.", _HINT
        )


def require_no_other_head(loaded: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose files hold the weights of another head.

    Parameters
    ----------
    loaded : mapping
        What ``from_pretrained(..., output_loading_info=True)`` tells.
    name : str
        Of the model, for the message.

    Raises
    ------
    UnsupportedModelError
        Naming the first such weight.
    """
    other = sorted(key for key in loaded.get("unexpected_keys", ()) if _OTHER_HEAD.search(key))
    if other:
        raise UnsupportedModelError(
            f"The files of {name} hold {other[0]}, the head of a reward model or classifier.", _HINT
        )
