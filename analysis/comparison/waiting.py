"""A model that waits in the host's memory while another one is on its device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from analysis.comparison.sides import free_unused

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel


@contextmanager
def on_host(model: LanguageModel) -> Iterator[None]:
    """Move a model off its device while the context is open; it is held, and comes back whatever happens.

    Parameters
    ----------
    model : LanguageModel
        On one device, with weights that can be moved.
    """
    device = model.anatomy.head.weight.device
    with model.lock:
        model.model.to("cpu")
        try:
            free_unused()
            yield
        finally:
            free_unused()
            model.model.to(device)
