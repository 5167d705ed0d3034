"""A run and what it was run with: :class:`Trace`, its spec and its self-checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.results.attention import AttentionTrace
from analysis.results.layers import LayerTrace
from analysis.results.tokens import NextToken, TokenTrace


@dataclass(frozen=True)
class TraceSpec:
    """Everything that decides the numbers of a run; plain values, JSON-able."""

    model: str
    """Name of the model."""
    source: str
    """Where it came from: "embedded", hub id, folder or file."""
    revision: str
    """Commit of a hub model, fingerprint of a local one."""
    dtype: str
    device: str
    """Name of the device."""
    text_sha256: str
    n_tokens: int
    vocab_size: int
    n_layers: int
    hidden_size: int = 0
    """Width D of the states; 0 in files from before it was kept."""
    bos: str = "auto"
    parse_special: bool = True
    top_k: int = 10
    lens_layers: tuple[int, ...] = ()
    """Layers of the logit lens; empty when it was not asked for."""
    window: int | None = None
    """Tokens per window when the text was read in windows, else None."""
    stride: int | None = None
    """Tokens from one window's start to the next."""
    spectra: tuple[str, ...] = ()
    """Kinds of states whose spectra were taken."""
    visibility: str = ""
    """What was hidden from the model's attention, in words; empty for the model as it is."""
    weights: str = ""
    """How the weights were stored, in words such as "float8"; empty for plain ones."""
    adapter: str = ""
    """Folder, hub id or name of the adapter that was merged into the weights or stood beside them; empty for none."""
    ids_sha256: str = ""
    """Of the tokens where they were given and not the text; the text is what they spell. Empty where the text was."""
    strength: float = 1.0
    """Factor on the adapter's part of every weight."""
    rounded: str = ""
    """Grid that the weights of the layers were rounded to for this run, such as "4-bit"; empty for none."""
    eviction: str = ""
    """What was evicted from the cache before the rest of the text was read, in words; empty for nothing."""
    n_before: int = 0
    """Characters at the beginning of the text that were put in front of the one in question: a prompt, a template."""

    @property
    def subtitle(self) -> str:
        """One line under a figure: what was run on what."""
        precision = f"{self.weights} weights in {self.dtype}" if self.weights else self.dtype
        parts = [self.model, precision, self.device, f"{self.n_tokens} tokens"]
        if self.bos != "auto":
            parts.append(f"beginning-of-text token: {self.bos}")
        if self.window is not None:
            parts.append(f"windows of {self.window}, stride {self.stride}")
        if self.ids_sha256:
            parts.append("ids given")
        if self.n_before:
            parts.append(f"{self.n_before:,} characters in front")
        if self.rounded:
            parts.append(f"round trip through {self.rounded}")
        if self.strength != 1.0:
            parts.append(f"adapter at strength {self.strength:g}")
        parts += [words for words in (self.visibility, self.eviction) if words]
        return " · ".join(parts)


@dataclass(frozen=True)
class Check:
    """A self-check of one run: two ways to the same number."""

    name: str
    """What should be equal, in plain words."""
    error: float
    """Largest difference found."""
    tolerance: float
    unit: str = "nats"

    @property
    def passed(self) -> bool:
        """Whether the difference is within tolerance."""
        return bool(self.error <= self.tolerance)


@dataclass(frozen=True)
class Trace:
    """One measured run: CPU numpy arrays with named axes, units and a spec."""

    spec: TraceSpec
    text: str
    tokens: TokenTrace
    next: NextToken
    layers: LayerTrace
    checks: tuple[Check, ...]
    attention: AttentionTrace | None = None
    """None when it was not measured; ``unavailable`` says why."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why a part is missing, by its name."""
    final_states: np.ndarray | None = None
    """float32, (T, D): state after the final norm, row t after reading token t. None when it
    would take more than the limit; the sampler panel needs it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What took how long."""
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What a person should know about the model and the text, a sentence each."""

    def save(self, path: str | Path) -> Path:
        """Write the run to one file that :func:`analysis.load_trace` opens. Returns the path."""
        from analysis.results.trace_file import save_trace

        return save_trace(self, path)
