"""Every method by name."""

from __future__ import annotations

from analysis.errors import AnalysisError
from analysis.visual_tokens.policies.base import VisualPolicy
from analysis.visual_tokens.policies.bipartite import Bipartite
from analysis.visual_tokens.policies.cdpruner import CDPruner, CDPrunerLike
from analysis.visual_tokens.policies.correlation import CorrelationGuided
from analysis.visual_tokens.policies.dart import DART
from analysis.visual_tokens.policies.divprune import DivPrune
from analysis.visual_tokens.policies.downsampling import DownSampling
from analysis.visual_tokens.policies.entropyprune import EntropyPrune, EntropyPruneReleased
from analysis.visual_tokens.policies.fastv import FastV
from analysis.visual_tokens.policies.flowcut import FlowCut
from analysis.visual_tokens.policies.globalcom2 import GlobalCom2
from analysis.visual_tokens.policies.hired import HiRED
from analysis.visual_tokens.policies.horizon import DropAll, RandomAfterHorizon
from analysis.visual_tokens.policies.mustdrop import MustDrop
from analysis.visual_tokens.policies.pagerank import WeightedPageRank
from analysis.visual_tokens.policies.pitome import PiToMe
from analysis.visual_tokens.policies.random import Random, RandomInside
from analysis.visual_tokens.policies.sparsevlm import SparseVLM
from analysis.visual_tokens.policies.transprune import TransPrune
from analysis.visual_tokens.policies.vflowopt import VFlowOpt, VFlowOptReleased
from analysis.visual_tokens.policies.visionzip import VisionZip, VisionZipReceived
from analysis.visual_tokens.policies.zeroth_order import ZerothOrder

_ALL: tuple[type[VisualPolicy], ...] = (
    Random,
    DownSampling,
    FastV,
    DivPrune,
    DART,
    CDPruner,
    CDPrunerLike,
    VisionZip,
    VisionZipReceived,
    SparseVLM,
    EntropyPrune,
    EntropyPruneReleased,
    MustDrop,
    FlowCut,
    TransPrune,
    ZerothOrder,
    CorrelationGuided,
    HiRED,
    GlobalCom2,
    VFlowOpt,
    VFlowOptReleased,
    Bipartite,
    PiToMe,
    WeightedPageRank,
    RandomAfterHorizon,
    DropAll,
    RandomInside,
)
POLICIES: dict[str, type[VisualPolicy]] = {kind.name: kind for kind in _ALL}
"""Method classes by their names."""


def policy(name: str | VisualPolicy) -> VisualPolicy:
    """Method of a name, with its published constants; a method itself is given back.

    Raises
    ------
    AnalysisError
        If there is no such method.
    """
    if isinstance(name, VisualPolicy):
        return name
    if name not in POLICIES:
        raise AnalysisError(
            f"There is no method for visual tokens called {name!r}.", f"Choose from {', '.join(POLICIES)}."
        )
    return POLICIES[name]()
