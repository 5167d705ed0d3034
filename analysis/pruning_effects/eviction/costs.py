"""What a cache costs: bytes and floating-point operations, full and pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.pruning_effects.eviction.results import Sweep


@dataclass(frozen=True)
class Shape:
    """The sizes that decide a model's bill."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    block_parameters: int
    """Weights of all blocks that one token uses: of a mixture, the experts it is sent to."""
    head_parameters: int
    """Weights of the vocabulary head."""
    element_bytes: int
    weight_bytes: int

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of one token over all layers and KV heads."""
        return 2 * self.element_bytes * self.head_size * self.n_layers * self.n_kv_heads

    @property
    def tokens_as_heavy_as_weights(self) -> float:
        """Tokens whose keys and values, at batch 1, take as much memory as the weights."""
        return self.weight_bytes / self.bytes_per_token

    def flops(self, n_tokens: int, n_keys: float) -> float:
        """Operations of a pass: a multiply-add counts 2.

        Parameters
        ----------
        n_tokens : int
            New tokens.
        n_keys : float
            Keys each of them attends to, mean over layers and KV heads.

        Notes
        -----
        2 n (weights of the blocks) + 4 n keys H d per layer + 2 (weights of the head): the logits of one token. Norms,
        activations and the softmax are left out, as everywhere in the field.
        """
        attention = 4.0 * n_tokens * n_keys * self.n_heads * self.head_size * self.n_layers
        return 2.0 * n_tokens * self.block_parameters + attention + 2.0 * self.head_parameters


def shape_of(model: LanguageModel) -> Shape:
    """Sizes of a loaded model, its cache those of the layers that have attention."""
    from analysis.forward.attention_probe import require_attention

    config = model.model.config.get_text_config()
    heads = int(config.num_attention_heads)
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    matrices = sum(p.numel() for p in model.anatomy.layers.parameters() if p.dim() > 1)
    experts = int(getattr(config, "num_local_experts", 0) or getattr(config, "num_experts", 0) or 0)
    if experts:
        of_experts = sum(
            p.numel()
            for name, p in model.anatomy.layers.named_parameters()
            if ".experts." in name and p.dim() > 1
        )
        matrices -= of_experts - of_experts * int(config.num_experts_per_tok) // experts
    with model.held("while its attention was probed"):
        n_layers = len(require_attention(model).layers)
    return Shape(
        n_layers,
        heads,
        groups,
        size,
        matrices,
        model.anatomy.head.weight.numel(),
        model.anatomy.head.weight.element_size(),
        model.info.bytes_held,
    )


def measured_flops(model: LanguageModel, n_tokens: int) -> float:
    """Operations that torch counts in a plain pass over ``n_tokens``, with the last token's logits.

    The model attends eagerly meanwhile: only so are all of them counted.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from analysis.models.attention_choice import attention_choice

    ids = torch.ones(1, n_tokens, dtype=torch.int64, device=model.anatomy.head.weight.device)
    counter = FlopCounterMode(display=False)
    with model.held("while its operations were counted"), attention_choice(model.model, "eager"), counter:
        model.model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return float(counter.get_total_flops())


def bill(shape: Shape, sweep: Sweep, *, batches: tuple[int, ...] = (1, 16)) -> pd.DataFrame:
    """Bytes and operations of every setting of a sweep, while the next token is generated.

    Parameters
    ----------
    shape : Shape
        From :func:`analysis.shape_of`.
    sweep : Sweep
        From :func:`analysis.sweep_eviction` with the same model.
    batches : tuple of int, default (1, 16)
        Texts at once.

    Returns
    -------
    pandas.DataFrame
        One row per setting and batch: ``policy``, ``label``, ``kept``, ``seed``, ``batch``, ``kv_bytes`` (logical:
        what is kept), ``kv_bytes_physical`` (what a cache of equal length per layer must hold: the longest KV head
        of each layer), ``kv_share``, ``kv_against_weights``, ``decode_flops`` per step.

    Notes
    -----
    The full cache counts as it stands after the context. A cache that is evicted step by step keeps its size, whether its
    entries are of the context or came later.
    """
    rows = []
    one = 2 * shape.element_bytes * shape.head_size
    full = one * sweep.spec.n_context * shape.n_layers * shape.n_kv_heads
    for index, setting in enumerate(sweep.settings):
        lengths = _lengths(sweep, index)
        logical = one * int(lengths.sum())
        physical = one * int(lengths.max(-1).sum()) * shape.n_kv_heads
        for batch in batches:
            rows.append(
                {
                    "policy": setting.policy,
                    "label": setting.label,
                    "kept": setting.kept,
                    "seed": setting.seed,
                    "batch": batch,
                    "kv_bytes": batch * logical,
                    "kv_bytes_physical": batch * physical,
                    "kv_share": logical / full,
                    "kv_against_weights": batch * logical / shape.weight_bytes,
                    "decode_flops": batch * _step(shape, float(np.mean(lengths)), setting.computed),
                }
            )
    return pd.DataFrame(rows)


def _lengths(sweep: Sweep, index: int) -> np.ndarray:
    """Entries in the cache of every layer and KV head, (L, G)."""
    if sweep.spec.mode == "decode":  # the kept sets are those of the context after the last step
        pairs = sweep.spec.n_layers, sweep.spec.n_kv_heads
        return np.full(pairs, sweep.settings[index].budget // (pairs[0] * pairs[1]))
    return np.asarray(sweep.kept(index).sum(-1))


def _step(shape: Shape, n_keys: float, computed: float) -> float:
    """Operations of one step of decoding; of layers that are bypassed, only a share is computed."""
    head = 2.0 * shape.head_parameters
    return (shape.flops(1, n_keys + 1) - head) * computed + head
