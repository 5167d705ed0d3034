"""Every method by name."""

from __future__ import annotations

from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.policies.a2sf import Forgetting
from analysis.pruning_effects.eviction.policies.adakv import AdaptiveBudgets
from analysis.pruning_effects.eviction.policies.base import Policy
from analysis.pruning_effects.eviction.policies.bypass import LayerBypass
from analysis.pruning_effects.eviction.policies.chunks import EntropyGatedChunks
from analysis.pruning_effects.eviction.policies.criticalkv import ValueAware
from analysis.pruning_effects.eviction.policies.ems_like import GlobalLocal
from analysis.pruning_effects.eviction.policies.expected import ExpectedAttention
from analysis.pruning_effects.eviction.policies.full import Full
from analysis.pruning_effects.eviction.policies.h2o import HeavyHitters
from analysis.pruning_effects.eviction.policies.keydiff import KeyDiff
from analysis.pruning_effects.eviction.policies.keyformer import Keyformer
from analysis.pruning_effects.eviction.policies.knorm import KeyNorm
from analysis.pruning_effects.eviction.policies.observed import ObservedAttention
from analysis.pruning_effects.eviction.policies.pyramidkv import PyramidKV
from analysis.pruning_effects.eviction.policies.random import Random
from analysis.pruning_effects.eviction.policies.sirllm import SirLLM, SirLLMAsReleased
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.pruning_effects.eviction.policies.streaming import SinksAndWindow
from analysis.pruning_effects.eviction.policies.streaming_moved import Rerotated
from analysis.pruning_effects.eviction.policies.tokenselect import TokenSelect
from analysis.pruning_effects.eviction.policies.tova import Tova
from analysis.pruning_effects.eviction.policies.window import Window

_ALL: tuple[type[Policy], ...] = (
    Full,
    Window,
    SinksAndWindow,
    Rerotated,
    Random,
    KeyNorm,
    KeyDiff,
    HeavyHitters,
    Forgetting,
    Keyformer,
    ObservedAttention,
    GlobalLocal,
    Tova,
    SnapKV,
    PyramidKV,
    AdaptiveBudgets,
    ValueAware,
    EntropyGatedChunks,
    ExpectedAttention,
    SirLLM,
    SirLLMAsReleased,
    TokenSelect,
    LayerBypass,
)
POLICIES: dict[str, type[Policy]] = {kind.name: kind for kind in _ALL}
"""Method classes by their names."""


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
