"""Every policy, measure, rule and law of the code is on the paper shelf, and every one is there by a page's link."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from analysis.methods import MEASURES, PICTURES, methods, said
from analysis.papers.citations import papers
from tests.architecture.test_imports import ROOT, only

SHOWN = [key for paper in papers().values() for key in paper.shows]


def registries() -> dict[str, set[str]]:
    from analysis.attention_sinks.figures import HEAD_QUANTITIES
    from analysis.comparison.quantities import COMPARED_QUANTITIES
    from analysis.comparison.rules.registry import RULES
    from analysis.entropy_collapse.labs.four_squares.interventions import PUBLISHED, RESCALED
    from analysis.entropy_collapse.layers.curves import QUANTITIES
    from analysis.pruning_effects.compression.results import BOTTOM, METHODS
    from analysis.pruning_effects.eviction.policies import POLICIES
    from analysis.results.token_quantities import TOKEN_QUANTITIES
    from analysis.token_entropy.lens_window import LENS_QUANTITIES
    from analysis.visual_tokens.policies.registry import POLICIES as VISUAL
    from analysis.writing.rules.overlays import RULES as OVERLAYS
    from analysis.writing.sampler_chain import SAMPLERS

    return {
        "eviction": {*POLICIES, "knock-out"},
        "compression": {name for name in METHODS if not name.startswith(BOTTOM)},
        "visual": set(VISUAL),
        "training-lab": {*RESCALED, *PUBLISHED},
        "token": {*TOKEN_QUANTITIES, "forking", "windows", "threshold", "quadrants"},
        "lens": set(LENS_QUANTITIES),
        "sampler": set(SAMPLERS),
        "rule": {*OVERLAYS, "segments", "deep-thinking tokens"},
        "comparison": set(RULES),
        "change": set(COMPARED_QUANTITIES),
        "head": set(HEAD_QUANTITIES),
        "layer": {*QUANTITIES, "RankMe", "Diff-eRank", "phases", "collapse"},
    }


@pytest.mark.parametrize("kind", PICTURES)
def test_every_method_of_the_code_is_on_the_shelf(kind):
    on_shelf = {key.partition("/")[2] for key in SHOWN if key.startswith(f"{kind}/")}
    held = registries().get(kind, {key.partition("/")[2] for key in MEASURES if key.startswith(f"{kind}/")})
    assert held and on_shelf == held


def test_the_shelf_shows_what_there_is():
    assert set(SHOWN) == set(methods())
    for paper in papers().values():
        assert paper.shows and len(set(paper.shows)) == len(paper.shows)


def test_what_has_no_paper_stands_alone():
    own = set(papers()["logitscope"].shows)
    others = {key for paper in papers().values() if paper.id != "logitscope" for key in paper.shows}
    assert own and not own & others


def test_every_function_that_names_a_source_is_a_method():
    """A function with a heading References in its docstring is in the list, or helps one of its module that is."""
    listed = {place for _label, place in MEASURES.values()}
    helping = {
        f"{room}."
        for room in ("pruning_effects.compression", "token_entropy.orders", "token_entropy.truncation")
    }
    missing = []
    for path in only("analysis"):
        module = ".".join(path.relative_to(ROOT / "analysis").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if re.search(r"^ *References\n", ast.get_docstring(node) or "", re.M):
                there = f"{module}.{node.name}"
                beside = any(place.startswith(f"{module}.") for place in listed)
                if there not in listed and not beside and not any(there.startswith(room) for room in helping):
                    missing.append(there)
    assert not [
        place for place in missing if not place.startswith(("results.spectra", "entropy_collapse.labs"))
    ]


def test_what_differs_is_read_from_the_code():
    found = said("token_entropy.measures.moving_threshold")
    assert found.startswith("SRGen (Mu et al. 2025, arXiv:2510.02919), trigger rule")
    assert "``" not in found and ":func:" not in found
    assert (
        methods()["eviction/h2o"].differs
        == importlib.import_module("analysis.pruning_effects.eviction.policies.h2o").H2O.source
    )
    assert methods()["comparison/tip"].differs.startswith("Code read. The paper scores")
