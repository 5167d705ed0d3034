"""Why attention, or a part of it, is not available: one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.forward.plan import bytes_of_maps
from analysis.models.memory import free_bytes

if TYPE_CHECKING:
    from analysis.forward.row_check import RowCheck
    from analysis.models.loading import LanguageModel

NO_KEYS = "The model hands over its attention maps, but not its queries, keys and values."


def different_rows(check: RowCheck) -> str:
    """What a failed check of rows says."""
    return (
        f"In layer {check.worst_layer} its last rows differ from the library's by {check.error:.2g} "
        "of the layer's output."
    )


def no_interface(model: LanguageModel) -> str:
    """Why no layer was seen to attend: none does, or in a way that cannot be looked into."""
    names = {type(m).__name__ for m in model.anatomy.layers.modules()}
    own = sorted(name for name in names if "attention" in name.lower())
    if not own:
        return "None of its layers has softmax attention."
    return f"Its attention ({own[0]}) does not go through transformers' interface."


def layers_without_attention(layers: list[int], model: LanguageModel) -> str:
    """Which layers have no attention, and what the config calls them."""
    kinds = getattr(model.model.config.get_text_config(), "layer_types", None) or []
    names = sorted({str(kinds[i]).replace("_", " ") for i in layers if i < len(kinds)})
    which = f"Layer {layers[0]} does" if len(layers) == 1 else f"Layers {', '.join(map(str, layers))} do"
    what = f" ({', '.join(names)})" if names else ""
    return (
        f"{which} not attend through transformers' interface{what}: there is no softmax attention to measure."
    )


def maps_do_not_fit(model: LanguageModel, n_tokens: int) -> str:
    """Why the maps of one layer of such a text would not fit; empty if they do."""
    heads = int(model.model.config.get_text_config().num_attention_heads)
    needed, free = bytes_of_maps(heads, n_tokens), free_bytes(model.anatomy.head.weight.device) // 2
    if needed <= free:
        return ""
    most = int((free / bytes_of_maps(heads, 1)) ** 0.5)
    return (
        f"Its maps exist whole, one layer at a time: {needed / 2**30:.1f} GiB at {n_tokens:,} tokens. Up to {most:,} "
        "tokens can be measured here."
    )
