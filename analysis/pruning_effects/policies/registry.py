"""Every method by name."""

from __future__ import annotations

from analysis.errors import AnalysisError
from analysis.pruning_effects.policies.accumulated import Forgetting, HeavyHitters, ObservedAttention
from analysis.pruning_effects.policies.adaptive import AdaptiveBudgets
from analysis.pruning_effects.policies.base import Policy
from analysis.pruning_effects.policies.bypass import LayerBypass
from analysis.pruning_effects.policies.chunks import EntropyGatedChunks
from analysis.pruning_effects.policies.expected import ExpectedAttention
from analysis.pruning_effects.policies.global_local import GlobalLocal
from analysis.pruning_effects.policies.gumbel import Keyformer
from analysis.pruning_effects.policies.keys import KeyDiff, KeyNorm
from analysis.pruning_effects.policies.last_queries import PyramidKV, SnapKV, Tova
from analysis.pruning_effects.policies.positions import Full, SinksAndWindow, Window
from analysis.pruning_effects.policies.random import Random
from analysis.pruning_effects.policies.rerotated import Rerotated
from analysis.pruning_effects.policies.selection import TokenSelect
from analysis.pruning_effects.policies.surprisal import SirLLM, SirLLMAsReleased
from analysis.pruning_effects.policies.value_aware import ValueAware

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
