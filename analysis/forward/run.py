"""The arrays of one run while it is being measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.forward.attention_probe import attention_support, error_tolerance, why
from analysis.forward.body_pass import Measured, run_pass
from analysis.forward.layer_spectra import Spectra
from analysis.forward.plan import Plan
from analysis.forward.recorder import Recorder
from analysis.forward.row_check import RowCheck
from analysis.forward.unavailable import NO_KEYS, different_rows, layers_without_attention, maps_do_not_fit
from analysis.forward.visibility import Visibility
from analysis.forward.vocabulary_head import about_tokens, read_lens, read_rows
from analysis.forward.windows import Window
from analysis.models.anatomy import Head
from analysis.models.loading import LanguageModel
from analysis.models.speed import Part, needed_by_part
from analysis.models.tokenization import TokenizedText, token_texts
from analysis.progress import Progress
from analysis.results.attention import AttentionTrace
from analysis.results.layers import SPECTRUM_FIELDS, LayerTrace
from analysis.results.token_quantities import TOKEN_QUANTITIES, stored_quantities
from analysis.results.tokens import NextToken, TokenTrace
from analysis.results.trace import Check

STATE_LIMIT_BYTES = 256 << 20
"""Final states are kept up to this size, for the sampler panel."""
_CHECKED_ROWS = 8


@dataclass(eq=False)
class Run:
    """The arrays of a run while it is being measured; row i predicts token i + 1."""

    model: LanguageModel
    tokens: TokenizedText
    windows: list[Window]
    lens_layers: list[int]
    top_k: int
    plan: Plan
    report: Progress
    attention: bool = True
    """Whether to measure attention."""
    visibility: Visibility | None = None
    """Keys hidden and heads silenced; needs ``attention``."""
    spectra: Spectra | None = None
    """Takes the spectra of the layers' states."""

    def __post_init__(self) -> None:
        n, k = len(self.tokens), min(self.top_k, self.model.info.vocab_size)
        self.rows = {q.name: np.full(n, q.missing, q.stored) for q in stored_quantities()}
        self.context = np.zeros(n, np.int32)
        self.top_ids, self.top_logprobs = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
        self.residual_norm = np.zeros((self.model.info.n_layers + 1, n), np.float32)
        n_lens = len(self.lens_layers)
        self.lens_entropy = np.full((n_lens, n), np.nan, np.float32)
        self.lens_kl = np.full((n_lens, n), np.nan, np.float32)
        self.lens_top = np.full((n_lens, n), -1, np.int64)
        self.lens_rank = np.zeros((n_lens, n), np.int32)
        keep = n * self.model.info.hidden_size * 4 <= STATE_LIMIT_BYTES
        self.final_states = np.zeros((n, self.model.info.hidden_size), np.float32) if keep else None
        self.seconds: dict[str, float] = {"body": 0.0, "head": 0.0, "lens": 0.0}
        self.cpu_seconds = dict(self.seconds)
        self.attention_seconds = 0.0
        self.checks: list[Check] = []
        self.done = 0.0
        self.attention_trace: AttentionTrace | None = None
        self.attention_layers: tuple[int, ...] = ()
        self.row_check: RowCheck | None = None
        self.unavailable: dict[str, str] = {}

    def advance(self, flops: float, what: str) -> None:
        """Report that so much more of the planned work is done."""
        self.done += flops
        self.report(min(1.0, self.done / self.plan.flops), what)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[part] += time.perf_counter() - wall
        self.cpu_seconds[part] += time.process_time() - cpu

    def needed(self) -> dict[Part, float]:
        """Seconds that each kind of work would have taken on an idle machine."""
        beside = self.spectra.cpu_seconds if self.spectra is not None else 0.0
        device = self.model.anatomy.head.weight.device
        return needed_by_part(self.seconds, self.cpu_seconds, self.attention_seconds, beside, device)

    def measure(self) -> None:
        """Run every window and fill the arrays. The caller holds the lock."""
        ids = torch.from_numpy(self.tokens.token_id)
        self._decide_attention(ids)
        self._require_visibility()
        with self.spectra.collecting() if self.spectra else nullcontext():
            for number, window in enumerate(self.windows):
                measured = self._body(ids, window, number)
                self._read(ids, window, measured)
        info = self.model.info
        tolerance = 1e-3 if info.dtype == "float32" else 0.25
        self.checks.append(
            Check("vocabulary head equals the library's logits", info.head_error, tolerance, "")
        )
        if self.lens_layers:
            error = float(np.nanmax(np.abs(self.lens_entropy[-1] - self.rows["entropy"])))
            self.checks.append(Check("last lens entropy equals output entropy", error, 1e-4))

    def _decide_attention(self, ids: Tensor) -> None:
        """Measure attention only where it was seen to give what the library's own gives."""
        if not self.attention:
            self.unavailable["attention"] = "The run was made without it."
            return
        if len(self.windows) > 1:
            self.attention = False
            self.unavailable["attention"] = (
                "The text was read in windows; attention is measured over one whole text."
            )
            return
        support = attention_support(self.model, ids)
        if support.reason:
            self._give_up_attention(support.reason)
            return
        hides = NO_KEYS if self.visibility is not None else ""
        if support.by_maps and (reason := maps_do_not_fit(self.model, len(ids)) or hides):
            self._give_up_attention(reason)
            return
        try:
            self.row_check = None if support.by_maps else RowCheck(self.model, ids)
        except Exception as error:  # noqa: BLE001 - whatever a model raises, its other numbers are still right
            self._give_up_attention(why(error, type(self.model.model).__name__))
            return
        self.attention_layers = support.layers
        if self.spectra is not None:
            self.spectra.n_attention = len(support.layers)
        allowed = error_tolerance(self.model.info.dtype)
        self.checks.append(
            Check("measured attention equals the library's", support.error, allowed, "of a state")
        )

    def _give_up_attention(self, reason: str) -> None:
        self.attention = False
        self.unavailable["attention"] = reason

    def _require_visibility(self) -> None:
        if self.visibility is not None and not self.attention:
            raise AnalysisError(
                f"Nothing can be hidden in this run. {self.unavailable['attention']}",
                "Use a shorter text or another model.",
            )

    def _body(self, ids: Tensor, window: Window, number: int) -> Measured:
        where = f" of window {number + 1}/{len(self.windows)}" if len(self.windows) > 1 else ""
        n_layers = self.model.info.n_layers
        share = self.plan.flops_body / n_layers / len(self.windows)

        def on_layer(layer: int) -> None:
            self.advance(share if layer else 0.0, f"layer {layer}/{n_layers}{where}")

        def run(recorder: Recorder | None) -> Measured:
            return run_pass(
                self.model, ids[window.positions], self.lens_layers, on_layer, recorder, self.spectra
            )

        with self._timed("body"):
            return self._measured_pass(run) if self.attention else run(None)

    def _measured_pass(self, run: Callable[[Recorder | None], Measured]) -> Measured:
        """Run with measured attention; once more without it where the library's own gives other rows."""
        check = self.row_check
        recorder = Recorder(self.attention_layers, self.visibility, self.spectra, check)
        reason = ""
        try:
            measured = run(recorder)
            if check is not None and not check.passed():
                reason = different_rows(check)
        except UnsupportedModelError as error:  # what a short probe did not meet
            reason = error.message
        if reason:
            self._give_up_attention(reason)
            self._require_visibility()
            if self.spectra is not None:
                self.spectra.forget_attention()
            return run(None)
        self.attention_trace, self.attention_seconds = recorder.result(), recorder.seconds
        others = sorted(set(range(self.model.info.n_layers)) - set(self.attention_layers))
        if others:
            self.unavailable["attention of other layers"] = layers_without_attention(others, self.model)
        self.checks.append(Check("attention rows sum to 1", recorder.row_error, 1e-5, ""))
        if check is not None:
            self.checks.append(check.as_check())
        else:
            self.unavailable["keys and values"] = NO_KEYS
        return measured

    def _read(self, ids: Tensor, window: Window, measured: Measured) -> None:
        """Reduce the rows of one window that nobody read before."""
        local, rows = window.local_rows, window.rows
        head = self.model.anatomy.head
        states = measured.final_states[local]
        targets = ids[rows.start + 1 : rows.stop + 1]
        per_row = self.plan.flops_head / len(self.tokens)
        with self._timed("head"):
            read = read_rows(
                head, states, targets, self.top_k, lambda n: self.advance(n * per_row, "vocabulary head")
            )
            for name, values in self.rows.items():
                values[rows] = getattr(read, name)
            self.top_ids[rows], self.top_logprobs[rows] = read.top_ids, read.top_logprobs
            self.context[rows] = np.arange(local.start, local.stop) + 1
            self.residual_norm[:, window.seen] = measured.residual_norm[:, window.local_seen]
            if self.final_states is not None:
                torch.from_numpy(self.final_states[rows]).copy_(states)
        self._check_head(head, states, rows)
        if self.lens_layers:
            with self._timed("lens"):
                self._read_lens(measured, local, rows, targets)

    def _read_lens(self, measured: Measured, local: slice, rows: slice, targets: Tensor) -> None:
        per_row = self.plan.flops_lens / len(self.tokens) / (len(self.lens_layers) + 1)
        lens_states = [s[local] for s in measured.lens_states]
        read = read_lens(
            self.model.anatomy,
            lens_states,
            measured.final_states[local],
            targets,
            lambda n: self.advance(n * per_row, f"logit lens, {len(self.lens_layers)} layers"),
        )
        self.lens_entropy[:, rows], self.lens_kl[:, rows], self.lens_top[:, rows] = read[:3]
        self.lens_rank[:, rows] = read[3]

    def _check_head(self, head: Head, states: Tensor, rows: slice) -> None:
        """Recompute a few rows densely in float64: the streamed numbers must agree."""
        if any(check.name.startswith("entropy") for check in self.checks):
            return
        picked = np.unique(np.linspace(0, len(states) - 1, _CHECKED_ROWS).astype(int))
        dense = torch.log_softmax(head.logits(states[picked]).double(), -1)
        entropy = -(dense.exp() * dense).nan_to_num().sum(-1).cpu().numpy()
        streamed = self.rows["entropy"][rows][picked]
        error = float(np.abs(entropy - streamed).max())
        self.checks.append(Check(f"entropy equals a float64 softmax at {len(picked)} tokens", error, 1e-4))

    @property
    def next_token(self) -> NextToken:
        """The distribution after the last token."""
        said = [f.name for f in fields(NextToken) if f.name in self.rows]
        last = {name: float(self.rows[name][-1]) for name in said}
        return NextToken(**last, top_ids=self.top_ids[-1], top_logprobs=self.top_logprobs[-1])

    def token_trace(self) -> TokenTrace:
        """Everything about the tokens, shifted so that entry t speaks about token t."""
        tokens, tokenizer = self.tokens, self.model.tokenizer
        rows = {name: about_tokens(row, TOKEN_QUANTITIES[name].missing) for name, row in self.rows.items()}
        known = np.unique(np.concatenate([tokens.token_id, self.top_ids.ravel(), self.lens_top.ravel()]))
        names = token_texts(tokenizer, known[known >= 0])
        return TokenTrace(
            token_id=tokens.token_id,
            text=tuple(names[int(i)] for i in tokens.token_id),
            start=tokens.start,
            end=tokens.end,
            n_bytes=tokens.n_bytes,
            is_special=tokens.is_special,
            cell=tokens.cell,
            cell_text=tokens.cell_text,
            context=about_tokens(self.context, 0),
            top_ids=about_tokens(self.top_ids.T, -1).T.copy(),
            top_logprobs=about_tokens(self.top_logprobs.T, np.nan).T.copy(),
            names=names,
            **rows,
        )

    def layer_trace(self) -> LayerTrace:
        """Everything about the layers."""
        layers = LayerTrace(residual_norm=self.residual_norm)
        if self.spectra is not None:
            named = {SPECTRUM_FIELDS[kind]: shares for kind, shares in self.spectra.shares.items()}
            if named:
                layers = replace(layers, curvature=self.spectra.curvature, **named)
        if not self.lens_layers:
            return layers
        return replace(
            layers,
            lens_layers=np.array(self.lens_layers, np.int32),
            lens_entropy=about_tokens(self.lens_entropy, np.nan),
            lens_kl=about_tokens(self.lens_kl, np.nan),
            lens_top_ids=about_tokens(self.lens_top, -1),
            lens_rank=about_tokens(self.lens_rank, 0),
        )
