"""Whether a model's attention can be measured, and in which layers: seen once per model, asked by every road."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import AnalysisError, UnsupportedModelError
from analysis.forward.attention_adapter import AttentionCall, attend_call, attending, own_mask
from analysis.forward.attention_support import AttentionSupport, known_support
from analysis.forward.eager_maps import eager_maps, reduce_map
from analysis.forward.row_check import RowCheck
from analysis.forward.unavailable import different_rows, no_interface
from analysis.models.body import hooks, run_body
from analysis.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel

PROBE_TOKENS = 24
MAP_TOLERANCE = 1e-5
"""How far a row of a map may be from a sum of 1, and a weight on a later key from 0."""
_LONGEST = 1024
"""Windows and chunks up to this length are crossed by the probe; longer ones by the checks of each run."""


def attention_support(model: LanguageModel, ids: Tensor | None = None) -> AttentionSupport:
    """Measure on a few tokens what the library computes on its own, once per model.

    Parameters
    ----------
    model : LanguageModel
        Its lock is held by the caller. The answer is kept on it.
    ids : Tensor, shape (n,), optional
        Tokens of a text; repeated as often as the probe needs.
    """
    known = known_support(model)
    if known is None:
        known = _probe(model, ids if ids is not None else torch.arange(1, 9))
        model.found[AttentionSupport] = known
    return known


def require_attention(
    model: LanguageModel, ids: Tensor | None = None, *, keys: bool = True
) -> AttentionSupport:
    """The same, refused where attention cannot be measured.

    Parameters
    ----------
    model, ids
        As for :func:`attention_support`.
    keys : bool, default True
        Whether queries, keys and values are needed, not the statistics of maps alone.

    Raises
    ------
    UnsupportedModelError
        With the reason.
    """
    support = attention_support(model, ids)
    if support.reason:
        raise UnsupportedModelError(
            f"The attention of {model.info.name} cannot be measured. {support.reason}",
            "Choose another model, or a picture that needs no attention.",
        )
    if keys and support.by_maps:
        raise UnsupportedModelError(
            f"{no_interface(model)} It hands over its maps, but not its queries, keys and values.",
            "Choose another model, or a picture that needs no keys.",
        )
    return support


def why(error: Exception, module: str = "the model") -> str:
    """One line about an exception that came from inside a model.

    Raises
    ------
    Exception
        The same again where the memory was full: that is no property of the model.
    """
    if is_out_of_memory(error):
        raise error
    if isinstance(error, AnalysisError):
        return error.message
    first_line = str(error).strip().partition("\n")[0][:160]
    return f"{type(error).__name__} in {module}: {first_line}"


def probe_length(model: Any) -> int:
    """Tokens that cross every window and chunk that a model's config names, as far as a probe can be."""
    config = model.config.get_text_config()
    named = [
        getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")
    ]
    lengths = [size for size in named if isinstance(size, int) and 0 < size < _LONGEST]
    longest = max([PROBE_TOKENS, *(size + size // 2 + 2 for size in lengths)])
    limit = getattr(config, "max_position_embeddings", None) or longest
    return min(longest, int(limit))


class _Seen:
    """Attends in a probe and notes which layers do, and what their output projections get."""

    def __init__(self, check: RowCheck) -> None:
        self.check = check
        self.layers: list[int] = []
        self.outputs: dict[int, Tensor] = {}
        """By layer, (n, H dv): what attention gave."""
        self.projected: dict[int, tuple[nn.Module, Tensor]] = {}
        """By layer, the last linear part of the attention module and what it got."""
        self.kind = ""
        self.heads: tuple[int, int] | None = None
        self._inside: set[int] = set()

    def __call__(self, call: AttentionCall) -> Tensor:
        """Attend as a run does."""
        self.kind = type(call.module).__name__
        own_mask(call)
        heads = call.query.shape[1], call.key.shape[1]
        if self.heads not in (None, heads):
            raise UnsupportedModelError(
                "The layers of this model have different numbers of attention heads.",
                "Its attention cannot be measured.",
            )
        self.heads = heads
        output = attend_call(call).output
        self.check.compare(call, output)
        self.layers.append(call.layer)
        self._inside = set(map(id, call.module.modules()))
        self.outputs[call.layer] = output.transpose(0, 1).flatten(1)
        return output[None]

    def before_linear(self, module: nn.Module, args: Any) -> None:
        """Hook before every linear part: the last one of an attention module projects its output."""
        if id(module) in self._inside and args and torch.is_tensor(args[0]):
            self.projected[self.layers[-1]] = module, args[0].reshape(-1, args[0].shape[-1])

    def gates(self, model: nn.Module) -> tuple[tuple[int, str], ...]:
        """Layers whose output projection gets something else than attention gave."""
        names = {id(module): name for name, module in model.named_modules()}
        return tuple(
            (layer, names[id(module)])
            for layer, (module, got) in self.projected.items()
            if got.shape == self.outputs[layer].shape and not torch.equal(got, self.outputs[layer])
        )


def _probe(model: LanguageModel, ids: Tensor) -> AttentionSupport:
    n = probe_length(model.model)
    ids = ids.repeat(-(-n // len(ids)))[:n] % model.info.vocab_size
    try:
        modules = _attending_modules(model, ids[:8])
    except UnsupportedModelError as error:
        return AttentionSupport(reason=error.message)
    except Exception as error:  # noqa: BLE001 - whatever a model raises, its other numbers are still right
        why(error)
        modules = []
    if not modules:
        return _probe_maps(model, ids)
    try:
        seen = _Seen(RowCheck(model, ids))
        plain = plain_states(model, ids)
        with hooks() as handles, attending(model.model, model.anatomy, seen):
            for module in model.anatomy.layers.modules():
                if isinstance(module, nn.Linear):
                    handles.append(module.register_forward_pre_hook(seen.before_linear))
            ours = plain_states(model, ids)
    except UnsupportedModelError as error:  # a mask of its own: its maps may still be read
        maps = _probe_maps(model, ids)
        return AttentionSupport(reason=error.message) if maps.reason else maps
    except Exception as error:  # noqa: BLE001
        return AttentionSupport(reason=why(error, modules[0]))
    difference = state_difference(model, ours, plain)
    if not difference <= error_tolerance(model.info.dtype):
        return AttentionSupport(reason=f"It differs from the library's by {difference:.2g} of a state.")
    if not seen.check.passed():
        return AttentionSupport(reason=different_rows(seen.check))
    return AttentionSupport(tuple(seen.layers), seen.gates(model.model), error=difference)


def _probe_maps(model: LanguageModel, ids: Tensor) -> AttentionSupport:
    """The same for a model that attends on its own and hands over its maps."""
    layers: list[int] = []
    errors: list[float] = []

    def take(layer: int, weights: Tensor) -> None:
        layers.append(layer)
        errors.append(reduce_map(weights).row_error)

    try:
        plain = plain_states(model, ids)
        with eager_maps(model, take):
            ours = plain_states(model, ids)
    except Exception as error:  # noqa: BLE001 - whatever a model raises, its other numbers are still right
        return AttentionSupport(reason=f"{no_interface(model)} {why(error)}")
    difference = state_difference(model, ours, plain)
    if not layers or max(errors) > MAP_TOLERANCE:
        return AttentionSupport(reason=no_interface(model))
    if not difference <= error_tolerance(model.info.dtype):
        reason = f"its eager attention, the only kind that hands over maps, differs by {difference:.2g} of a state."
        return AttentionSupport(reason=f"{no_interface(model)[:-1]}, and {reason}")
    return AttentionSupport(tuple(layers), by_maps=True, error=difference)


def _attending_modules(model: LanguageModel, ids: Tensor) -> list[str]:
    """Class names of the modules that ask transformers' interface, one per layer that does."""
    modules: list[str] = []

    def take(call: AttentionCall) -> Tensor:
        modules.append(type(call.module).__name__)
        return call.value.repeat_interleave(call.query.shape[1] // call.value.shape[1], 1)

    with attending(model.model, model.anatomy, take):
        run_body(model.model, ids[None].to(model.anatomy.head.weight.device))
    return modules


def state_difference(model: LanguageModel, ours: Tensor, theirs: Tensor) -> float:
    """Largest difference of states (n, D) as a share of the largest, over tokens.

    Notes
    -----
    Where a router sends tokens to experts, rounding alone can send one token elsewhere. The median over tokens
    is taken there: a wrong mask, scale or position moves most of them.
    """
    largest = theirs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    by_token = (ours - theirs).abs().amax(-1) / largest
    routed = any("experts" in name for name, _ in model.anatomy.layers.named_modules())
    return float(by_token.median() if routed else by_token.max())


def error_tolerance(dtype: str) -> float:
    """How far the final states of the probe may be from the library's, as a share of the largest."""
    return 1e-3 if dtype in ("float32", "float64") else 0.1


def plain_states(model: LanguageModel, ids: Tensor) -> Tensor:
    """States after the final norm, float32, (n, D)."""
    anatomy = model.anatomy
    with hooks() as handles:
        caught = anatomy.watch_final(handles)
        run_body(model.model, ids[None].to(anatomy.head.weight.device))
    return caught["final"][0].float()
