"""By which of its attention functions a model of transformers attends: which it is, and another for a while.

transformers has ``set_attn_implementation`` to set it by name, and nothing to ask by. Models that choose their
attention by an attribute of their config (Falcon) are left as they are by that function. So the attribute is
needed beside it: it is read and written in this file alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ATTRIBUTE = "_attn_implementation"
"""Of a config of transformers."""


def attention_name(part: Any) -> str:
    """Name of the attention function of a model, or of a part of one that has a config of its own."""
    return getattr(part.config, ATTRIBUTE, "")


def attends_eagerly(model: Any) -> bool:
    """Whether a model makes whole maps of attention.

    Parameters
    ----------
    model
        transformers' model.
    """
    return attention_name(model) == "eager"


@contextmanager
def attention_choice(model: Any, name: str) -> Iterator[None]:
    """Let a model attend by another function; its own comes back afterwards, in every part that has a config.

    Parameters
    ----------
    model
        transformers' model.
    name : str
        ``"eager"``, or a name that is registered with transformers' ``AttentionInterface``.
    """
    configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
    before = {key: getattr(config, ATTRIBUTE) for key, config in configs.items()}
    try:
        _set_publicly(model, name)
        for config in configs.values():
            if getattr(config, ATTRIBUTE) != name:
                setattr(config, ATTRIBUTE, name)
        yield
    finally:
        # Back by the attribute: the library would check and load the model's own function once more.
        for key, config in configs.items():
            setattr(config, ATTRIBUTE, before[key])


def _set_publicly(model: Any, name: str) -> None:
    """Set it as the library does, without its warning of every part that it leaves as it was."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model.set_attn_implementation(name)
    finally:
        logging.set_verbosity(verbosity)
