"""How many visual tokens are kept: a number, a share, or what makes an average over layers; and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Literal, get_args

from analysis.errors import AnalysisError
from analysis.visual_tokens.accounting import average_floor, tokens_per_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analysis.visual_tokens.policies import VisualPolicy, VisualView
    from analysis.visual_tokens.policies.base import Choice

Counting = Literal["kept", "average"]
"""What a number of tokens counts: those kept after the last pruning, or their average over the layers."""


def tokens_of(kept: float, n: int) -> int:
    """Number of tokens that an amount means: a whole number is one, a fraction up to 1.0 a share of N, rounded.

    Raises
    ------
    AnalysisError
        If it is neither, or more than there are.
    """
    whole = isinstance(kept, Integral)
    if not isinstance(kept, bool) and (0 <= kept <= n if whole else 0 < kept <= 1):
        return int(kept) if whole else int(kept * n + 0.5)
    raise AnalysisError(
        f"Of {n} visual tokens, {kept} cannot be kept.",
        f"Give a number from 0 to {n}, or a share above 0 and up to 1.0.",
    )


def check_counting(counting: str) -> None:
    """Refuse what is not a :data:`Counting`."""
    if counting not in get_args(Counting):
        raise AnalysisError(
            f"Tokens are not counted by {counting!r}.", f"Choose {' or '.join(get_args(Counting))}."
        )


def choice_for(policy: VisualPolicy, view: VisualView, tokens: int, counting: Counting = "kept") -> Choice:
    """What a method leaves for a number of tokens.

    Parameters
    ----------
    policy, view
        A method, and what was measured.
    tokens : int
    counting : {"kept", "average"}
        "average": of the numbers that the method can keep, the one whose average over all layers is nearest; of two
        as near, the smaller.

    Raises
    ------
    AnalysisError
        If the method cannot run, or cannot keep so many.
    """
    if counting == "kept":
        return policy.choose(view, tokens)

    def average(choice: Choice) -> float:
        return float(tokens_per_layer(choice, view.n_layers).mean())

    n = len(view)
    if not policy.refuses(view, tokens) and policy.fewest <= tokens <= n:
        found = policy.choose(view, tokens)
        if average(found) == tokens:  # all that goes goes before the language model
            return found
    fewest = policy.choose(view, policy.fewest)
    if average(fewest) > tokens + 0.5:
        layers = first_pruned(fewest)
        raise AnalysisError(
            f"{policy.label} cannot leave {tokens} of {n} tokens on average. All are there in its first {layers} "
            f"layers: no average below {average_floor(n, layers, view.n_layers):g}.",
            "Choose a larger average.",
        )
    below, above, tried = policy.fewest, n + 1, [fewest]
    try:
        while above - below > 1:
            middle = (below + above) // 2
            tried.append(policy.choose(view, middle))
            below, above = (middle, above) if average(tried[-1]) <= tokens else (below, middle)
    except AnalysisError:  # it keeps some numbers only, of which the fewest may do
        return fewest if abs(average(fewest) - tokens) <= 0.5 else policy.choose(view, tokens)
    return min(tried, key=lambda choice: (abs(average(choice) - tokens), len(choice.kept)))


def first_pruned(choice: Choice) -> int:
    """First layer that sees fewer tokens than there were; the layer of the last stage where none does."""
    return next((s.layer for s in choice.stages if len(s.kept) < choice.n), choice.layer)


def drawn_with(policies: Iterable[VisualPolicy], seeds: Sequence[int]) -> list[VisualPolicy]:
    """Methods in their order, each random one once for every seed."""
    found: list[VisualPolicy] = []
    for one in policies:
        # every random method has a field of that name
        found += [replace(one, seed=seed) for seed in seeds] if one.is_random else [one]  # type: ignore[call-arg]
    return found
