"""What one layer's attention sees of a context while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from analysis.forward.attention import last_rows
from analysis.forward.visibility import AttentionSpan
from analysis.kv_cache.rotary import Rotation


@dataclass(eq=False)
class LayerView:
    """What one layer's attention sees of the context; alive only while the layer runs."""

    layer: int
    """Its place among the layers that have attention, from 0."""
    module: nn.Module
    query: Tensor
    """(H, n, d), after positions."""
    key: Tensor
    """(G, n, d), after positions."""
    value: Tensor
    """(G, n, dv)."""
    scale: float
    softcap: float | None
    span: AttentionSpan
    sink_logits: Tensor | None
    columns: dict[str, Tensor]
    """float64, each (H, n): column sums of the attention, by the names of the weightings asked for."""
    rotation: Rotation | None
    """None without rotary positions in this layer, or where their layout is not known."""

    @property
    def per_group(self) -> int:
        """Query heads of one KV head."""
        return self.query.shape[0] // self.key.shape[0]

    @property
    def n_groups(self) -> int:
        """KV heads, G."""
        return len(self.key)

    @property
    def n_tokens(self) -> int:
        """Length of the context, n."""
        return self.key.shape[1]

    def column_sum(self, name: str) -> Tensor:
        """Attention that every token got, by the queries' weights of that name, float64, (H, n).

        Raises
        ------
        KeyError
            If no method of the sweep asks for sums of that name, see ``weightings`` of its methods.
        """
        return self.columns[name]

    def last_rows(self, w: int) -> Tensor:
        """Attention weights of the last w queries, float32, (H, w, n)."""
        if self._rows is None or self._rows.shape[1] < w:
            self._rows = last_rows(
                self.query,
                self.key,
                w,
                scale=self.scale,
                softcap=self.softcap,
                span=self.span,
                sink_logits=self.sink_logits,
            )
        return self._rows[:, -w:]

    _rows: Tensor | None = field(default=None, repr=False)

    @cached_property
    def query_before_positions(self) -> Tensor:
        """(H, n, d), float32: queries with their rotary turn undone."""
        return self.query.float() if self.rotation is None else self.rotation.turn(self.query, back=True)
