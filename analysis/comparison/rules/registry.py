"""The rules over two sides, for the page to list: what each needs, its constants, and how it is run and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from analysis.comparison.rules import (
    align_distil,
    alm,
    cascades,
    cdpo,
    differential_information,
    dyspec,
    ead,
    edge_qat,
    f2c,
    feature_gap,
    hyperfitting,
    other_tokenizer,
    r2r,
    read_twice,
    routing,
    spectr,
    sstoken,
    t_reg,
    tdpo,
    tip,
    uscd,
)
from analysis.comparison.rules.laid import Laid
from analysis.comparison.rules.origin import Origin
from analysis.comparison.rules.whole import Whole

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison

Need = Literal["rows", "spans", "heads", "attention", "texts >= 30", "variants"]
"""What a rule is made of: rows compared token by token; common spans; both sides' whole distributions, read again from
kept states; attention of both runs; a comparison per text, or per variant of a prompt."""


@dataclass(frozen=True)
class Rule:
    """A rule over two sides."""

    name: str
    """For links and code."""
    label: str
    needs: Need
    origin: Origin
    run: Callable[..., Any]
    """Called with a comparison (and a :class:`~.whole.Whole` where it needs heads, a sequence of comparisons where it
    needs several) and constants by keyword. Gives a :class:`~.laid.Laid`, but for those with a result of their own."""
    prompts: bool = False
    """Whether it is made for two prompts before one text."""
    more: dict[str, Any] = field(default_factory=dict)
    """Keywords that are no constants."""

    @property
    def defaults(self) -> dict[str, float]:
        """Constants as the rule has them, by keyword; counts are whole numbers."""
        return {one.name: int(one.default) if one.is_whole else one.default for one in self.origin.constants}

    def why_not(self, c: Comparison) -> str:
        """Why the rule cannot be used on one comparison, in a sentence; empty where it can.

        Notes
        -----
        Whether models are at hand for a rule that needs heads is not known here; kept states and rows are asked for.
        """
        if self.needs in ("texts >= 30", "variants"):
            return "Takes several comparisons."
        if self.needs == "spans":
            return "" if c.spans.has_context.any() else "No span was predicted on both sides."
        if self.needs == "attention":
            missing = c.a.attention is None or c.b.attention is None
            return "A side was run without attention." if missing else ""
        if c.rows is None:
            return c.unavailable.get("rows", "The vocabularies are different.")
        if not c.rows.has_context.any():
            return "No token was predicted on both sides."
        if self.needs == "heads" and c.vocabulary.kind not in ("identical", "permuted"):
            return "The vocabularies are different."
        if self.needs == "heads" and (c.a.final_states is None or c.b.final_states is None):
            return "A side has no final states."
        if self.prompts and c.alignment.kind != "suffix":
            return "Made for one text behind two prompts: choose another text before it, or a system prompt."
        return ""


def _routed(c: Comparison, threshold: float, router: routing.Router = "EAD", **constants: Any) -> Laid:
    return routing.routing_curve(c, router, threshold, **constants).laid


def _routed_by_logu(c: Comparison, whole: Whole, threshold: float) -> Laid:
    logits = None if whole.top_logits is None else whole.top_logits()
    return routing.routing_curve(c, "LogU", threshold, top_logits=logits).laid


def _quadrants(c: Comparison, **constants: Any) -> Laid:
    return tip.quadrants(c, **constants).laid


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("ead", "Routing by entropy (EAD)", "rows", ead.ORIGIN, _routed),
        Rule("r2r", "Differing positions (R2R)", "rows", r2r.ORIGIN, _routed, more={"router": "entropy"}),
        Rule(
            "r2r_momentum",
            "Differing positions, with momentum (R2R)",
            "rows",
            r2r.ORIGIN,
            _routed,
            more={"router": "entropy, momentum"},
        ),
        Rule("r2r_logu", "Differing positions by LogU (R2R)", "heads", r2r.OF_LOGU, _routed_by_logu),
        Rule(
            "cascades",
            "Deferral of texts (cascades)",
            "texts >= 30",
            cascades.ORIGIN,
            cascades.deferral_curve,
        ),
        Rule("tip", "Student and teacher (TIP)", "rows", tip.ORIGIN, _quadrants),
        Rule("uscd", "Contrast with a weaker prompt (USCD-like)", "heads", uscd.ORIGIN, uscd.contrast, True),
        Rule("cdpo", "Contrastive score (cDPO)", "heads", cdpo.ORIGIN, cdpo.contrastive_score),
        Rule(
            "hyperfitting", "Sharpening (hyperfitting)", "rows", hyperfitting.ORIGIN, hyperfitting.sharpening
        ),
        Rule(
            "align_distil",
            "Token rewards (AlignDistil)",
            "rows",
            align_distil.ORIGIN,
            align_distil.align_distil,
        ),
        Rule("t_reg", "Opposite prompts (T-REG)", "rows", t_reg.ORIGIN, t_reg.token_rewards, True),
        Rule("tdpo", "Token-level DPO", "rows", tdpo.ORIGIN, tdpo.token_dpo),
        Rule(
            "feature_gap",
            "With and without context",
            "rows",
            feature_gap.ORIGIN,
            feature_gap.feature_gap,
            True,
        ),
        Rule("read_twice", "Read once, read twice", "rows", read_twice.ORIGIN, read_twice.read_twice, True),
        Rule("spectr", "Acceptance of drafts (SpecTr)", "rows", spectr.ORIGIN, spectr.acceptance),
        Rule(
            "spectr_many",
            "Acceptance of many drafts (SpecTr)",
            "heads",
            spectr.OF_MANY,
            spectr.acceptance_of_many,
        ),
        Rule(
            "dyspec",
            "Acceptance by entropy (DySpec)",
            "rows",
            dyspec.ORIGIN,
            dyspec.acceptance,
        ),
        Rule("sstoken", "Selection of tokens (ssToken)", "rows", sstoken.ORIGIN, sstoken.token_selection),
        Rule(
            "other_tokenizer",
            "Another tokenizer",
            "spans",
            other_tokenizer.ORIGIN,
            other_tokenizer.other_tokenizer,
        ),
        Rule("alm", "Likelihood of spans (ALM)", "spans", alm.ORIGIN, alm.span_likelihoods),
        Rule(
            "differential_information",
            "Differential information",
            "heads",
            differential_information.ORIGIN,
            differential_information.differential_information,
        ),
        Rule(
            "edge_qat",
            "Heads under rounding (EdgeQAT)",
            "attention",
            edge_qat.ORIGIN,
            edge_qat.attention_change,
        ),
        Rule("f2c", "Variants of a prompt (F2C)", "variants", f2c.ORIGIN, f2c.variants),
    )
}
"""By name, in the order in which the page lists them."""


def lay(rule: str, c: Comparison, *whole: Any, **constants: float) -> Laid:
    """Lay a rule over one comparison, with its own constants where none are given.

    Parameters
    ----------
    rule : str
        A name of :data:`RULES` that takes one comparison and gives a :class:`~.laid.Laid`.
    c : Comparison
        What it is laid over.
    *whole : Whole
        Both sides' distributions, where the rule needs heads.
    **constants : float
        Other values of its constants.
    """
    one = RULES[rule]
    found = one.run(c, *whole, **{**one.defaults, **one.more, **constants})
    assert isinstance(found, Laid)
    return found
