"""Where a model keeps its parts: decoder layers, final norm, vocabulary head.

Found by structure, not by class name: the layer list is the ``ModuleList`` as long as
the config says, and what runs between the last layer and the head is seen in a probe
of a few tokens. The same probe proves that the parts found give the library's own
logits; if they do not, the model is refused instead of measured wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UnsupportedModelError
from analysis.models.body import first_tensor, hooks
from analysis.models.library_parts import left_on_disk
from analysis.models.wide_product import wide_product
from analysis.out_of_memory import is_out_of_memory

PROBE_TOKENS = 8
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
_HALF_TOLERANCE = 0.25
"""Logits of 16-bit models are rounded to steps of 1/16 around 20; ours are not."""


@dataclass(frozen=True, eq=False)
class Head:
    """The vocabulary head: ``softcap(scale * (x W^T + b))``, in float32."""

    weight: Tensor
    """Shape (V, D), in the model's own precision."""
    bias: Tensor | None
    """Shape (V,)."""
    scale: float
    """Factor on the logits (Cohere multiplies, Granite divides)."""
    softcap: float | None
    """``c tanh(x / c)`` on the logits (Gemma 2)."""

    @property
    def vocab_size(self) -> int:
        """Rows of the head V, padded ids included."""
        return self.weight.shape[0]

    def logits(self, states: Tensor, out: Tensor | None = None) -> Tensor:
        """Logits of normed states.

        Parameters
        ----------
        states : Tensor, shape (N, D)
            After the final norm.
        out : Tensor, shape (N, V), float32, optional
            Where to write them; a new tensor by default.

        Returns
        -------
        Tensor, shape (N, V), float32
            Computed in float32 even for a 16-bit model: rounding logits to 16 bits
            would move entropies by more than the display shows. Where a device sums
            16-bit products in float32 and hands the sums over, nothing is converted.
        """
        out = wide_product(states, self.weight, out)
        if self.bias is not None:
            out += self.bias.float()
        if self.scale != 1.0:
            out *= self.scale
        if self.softcap is not None:
            out = torch.tanh_(out.div_(self.softcap)).mul_(self.softcap)
        return out


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of a decoder-only language model that a measured pass hooks."""

    layers: nn.ModuleList
    """The L decoder layers, in order."""
    layers_path: str
    """Dotted name of the layer list, e.g. ``model.layers``."""
    after_layers: tuple[nn.Module, ...]
    """Modules between the last layer and the head: the final norm, sometimes a projection."""
    head: Head
    head_error: float
    """Largest difference to the library's own logits in the probe."""
    beyond_body: tuple[nn.Module, ...] = ()
    """The last of ``after_layers`` that belong to the head's side and do not run with the body alone."""

    def watch_final(self, handles: list[Any]) -> dict[str, Tensor]:
        """Keep the states that the head gets, (B, n, D), whenever the body runs.

        Parameters
        ----------
        handles : list
            Of :func:`analysis.models.body.hooks`.

        Returns
        -------
        dict
            With the newest states under "final". A norm that also runs earlier is seen then, too: the last call counts.
        """
        caught: dict[str, Tensor] = {}

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            states = first_tensor(output)
            for module in self.beyond_body:
                states = first_tensor(module(states))
            caught["final"] = states

        within = self.after_layers[: len(self.after_layers) - len(self.beyond_body)]
        last = within[-1] if within else self.layers[-1]
        handles.append(last.register_forward_hook(hook))
        return caught

    def final(self, states: Tensor) -> Tensor:
        """States of any layer as the head wants them: through the final norm."""
        for module in self.after_layers:
            states = first_tensor(module(states))
        return states


def find_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Dotted name and list of the decoder layers.

    Raises
    ------
    UnsupportedModelError
        If no ``ModuleList`` is as long as the config says.
    """
    config = model.config.get_text_config()
    count = getattr(config, "num_hidden_layers", None)
    found = [
        (name, m)
        for name, m in model.named_modules()
        if isinstance(m, nn.ModuleList) and len(m) == count and count
    ]
    if not found:
        raise UnsupportedModelError(
            f"No list of {count} decoder layers was found in {type(model).__name__}.",
            "Only decoder-only language models with a plain list of layers can be measured.",
        )
    return max(found, key=lambda item: sum(p.numel() for p in item[1].parameters()))


def _find_head(model: Any) -> Head:
    module = model.get_output_embeddings()
    weight = getattr(module, "weight", None)
    if weight is None or weight.dim() != 2:
        raise UnsupportedModelError(
            f"No vocabulary head with a weight matrix was found in {type(model).__name__}.",
            "Choose a causal language model; encoders and sequence classifiers predict no next token.",
        )
    config = model.config.get_text_config()
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
    weight, bias = _at_hand(model, module, "weight"), _at_hand(model, module, "bias")
    return Head(weight, bias, scale, float(softcap) if softcap else None)


def _at_hand(model: Any, module: nn.Module, part: str) -> Any:
    """Weight or bias of the head; where accelerate leaves it on the disk between uses, a copy that stays."""
    tensor = getattr(module, part, None)
    if tensor is None or not tensor.is_meta:
        return tensor
    return left_on_disk(model, module, part)


def _probe(model: Any, ids: Tensor) -> Tensor:
    """Logits of a plain forward pass, shape (n, V)."""
    try:
        return model(input_ids=ids, use_cache=False).logits[0]
    except Exception as error:
        if is_out_of_memory(error):
            raise
        first_line = str(error).strip().partition("\n")[0][:200]
        raise UnsupportedModelError(
            f"A plain forward pass of {type(model).__name__} failed ({type(error).__name__}: {first_line}).",
            "The model cannot be measured with this version of transformers.",
        ) from error


def _tolerance(model: Any, logits: Tensor) -> float:
    return _TOLERANCE.get(model.dtype, _HALF_TOLERANCE) * max(1.0, float(logits.abs().max()) / 10)


def _require_causal(model: Any, ids: Tensor) -> None:
    """Refuse a model in which the last token changes what is predicted before it."""
    other = ids.clone()
    other[0, -1] = 0
    with_one, with_other = _probe(model, ids)[:-1].float(), _probe(model, other)[:-1].float()
    error = float((with_one - with_other).abs().max())
    # Rows before the change do the same sums in the same order: only regrouped experts may round anew.
    rounding = _tolerance(model, with_one) / (50 if model.dtype in _TOLERANCE else 1)
    if not error <= rounding:
        raise UnsupportedModelError(
            f"In {type(model).__name__} a token sees what comes after it (logits move by {error:.3g}).",
            "Choose a causal language model; encoders such as BERT fill gaps and predict no next token.",
        )


@torch.inference_mode()
def find_anatomy(model: Any) -> Anatomy:
    """Find the parts and prove on a few tokens that they give the library's logits.

    Raises
    ------
    UnsupportedModelError
        Naming what was looked for and not found, or by how much the logits differ.
    """
    path, layers = find_layers(model)
    head = _find_head(model)
    head_module = model.get_output_embeddings()
    inside = {id(m) for m in layers.modules()}
    called: list[nn.Module] = []
    open_calls: list[nn.Module] = []
    seen: dict[str, Any] = {"after": False}

    def before(module: nn.Module, _args: Any) -> None:
        if seen["after"] and not open_calls:
            called.append(module)
        if seen["after"]:
            open_calls.append(module)

    def behind(module: nn.Module, _args: Any, _output: Any) -> None:
        if open_calls and open_calls[-1] is module:
            open_calls.pop()

    def last_layer(_module: nn.Module, _args: Any, output: Any) -> None:
        seen["after"], seen["state"] = True, first_tensor(output)

    def at_head(_module: nn.Module, args: Any) -> None:
        seen["head_input"] = args[0]

    ids = torch.arange(1, PROBE_TOKENS + 1, device=head.weight.device)[None] % head.vocab_size
    _require_causal(model, ids)
    with hooks() as handles:
        for module in model.modules():
            if id(module) not in inside and module is not model:
                handles.append(module.register_forward_pre_hook(before))
                handles.append(module.register_forward_hook(behind))
        handles.append(layers[-1].register_forward_hook(last_layer))
        handles.append(head_module.register_forward_pre_hook(at_head))
        logits = _probe(model, ids)
    if "head_input" not in seen or "state" not in seen:
        raise UnsupportedModelError(
            f"The layers {path} or the head of {type(model).__name__} were not used in a plain forward pass.",
            "The model cannot be measured with this version of transformers.",
        )
    if seen["state"].shape[:2] != ids.shape or seen["state"].dim() != 3:
        raise UnsupportedModelError(
            f"{type(model).__name__} keeps several states per token (shape {tuple(seen['state'].shape)} "
            f"for {ids.shape[1]} tokens).",
            "Only models with one residual stream can be measured.",
        )
    chain = tuple(m for m in called if m is not head_module)
    body = {id(m) for m in model.base_model.modules()}
    beyond = tuple(m for m in chain if id(m) not in body)
    anatomy = Anatomy(layers, path, chain, head, 0.0, beyond)
    try:
        error = float((head.logits(anatomy.final(seen["state"])[0]) - logits.float()).abs().max())
    except (RuntimeError, TypeError, ValueError) as problem:  # parts that do not fit together
        if is_out_of_memory(problem):
            raise
        error = float("inf")
    if not error <= _tolerance(model, logits):
        names = ", ".join(type(m).__name__ for m in chain) or "nothing"
        raise UnsupportedModelError(
            f"The logits of {type(model).__name__} are not its head applied to its final norm (looked at: {names}; "
            f"they differ by {error:.3g}).",
            "This model changes its logits in a way Logitscope does not know, so nothing is drawn.",
        )
    return Anatomy(layers, path, chain, head, error, beyond)
