"""Every method by name."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.policies.a2sf import A2SF
from analysis.pruning_effects.eviction.policies.adakv import AdaKV
from analysis.pruning_effects.eviction.policies.base import Policy
from analysis.pruning_effects.eviction.policies.bypass import Bypass
from analysis.pruning_effects.eviction.policies.chunks import Chunks
from analysis.pruning_effects.eviction.policies.controls import Control
from analysis.pruning_effects.eviction.policies.criticalkv import CriticalKV
from analysis.pruning_effects.eviction.policies.ems_like import EMSLike
from analysis.pruning_effects.eviction.policies.expected import Expected
from analysis.pruning_effects.eviction.policies.full import Full
from analysis.pruning_effects.eviction.policies.h2o import H2O
from analysis.pruning_effects.eviction.policies.keydiff import KeyDiff
from analysis.pruning_effects.eviction.policies.keyformer import Keyformer
from analysis.pruning_effects.eviction.policies.knorm import KNorm
from analysis.pruning_effects.eviction.policies.observed import Observed
from analysis.pruning_effects.eviction.policies.pyramidkv import PyramidKV
from analysis.pruning_effects.eviction.policies.random import Random
from analysis.pruning_effects.eviction.policies.sirllm import SirLLM
from analysis.pruning_effects.eviction.policies.sirllm_released import SirLLMReleased
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.pruning_effects.eviction.policies.streaming import Streaming
from analysis.pruning_effects.eviction.policies.streaming_moved import StreamingMoved
from analysis.pruning_effects.eviction.policies.tokenselect import TokenSelect
from analysis.pruning_effects.eviction.policies.tova import TOVA
from analysis.pruning_effects.eviction.policies.window import Window

_ALL: tuple[type[Policy], ...] = (
    Full,
    Window,
    Streaming,
    StreamingMoved,
    Random,
    KNorm,
    KeyDiff,
    H2O,
    A2SF,
    Keyformer,
    Observed,
    EMSLike,
    TOVA,
    SnapKV,
    PyramidKV,
    AdaKV,
    CriticalKV,
    Chunks,
    Expected,
    SirLLM,
    SirLLMReleased,
    TokenSelect,
    Bypass,
)
POLICIES: dict[str, type[Policy]] = {kind.name: kind for kind in _ALL}
"""Method classes by their names."""


def controls_of(methods: Iterable[Policy]) -> list[Control]:
    """What a person may set for some methods, each control once."""
    return list(dict.fromkeys(control for method in methods for control in method.controls))


def policy(name: str | Policy) -> Policy:
    """Method of a name, with its default constants; a method itself is given back.

    Raises
    ------
    AnalysisError
        If there is no such method.
    """
    if isinstance(name, Policy):
        return name
    if name not in POLICIES:
        raise AnalysisError(
            f"There is no eviction method called {name!r}.", f"Choose from {', '.join(POLICIES)}."
        )
    return POLICIES[name]()
