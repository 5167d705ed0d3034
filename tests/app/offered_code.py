"""Every card that offers code: where it stands in the source, and how a person comes to it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from app import state
from tests.app.conftest import ROOT


class View(NamedTuple):
    """A page at an address, and what is pressed there until the cards are drawn."""

    page: str
    query: dict[str, str]
    cards: str
    """Names of the cards that are drawn, with spaces between."""
    steps: tuple[tuple[object, ...], ...] = ()
    """Kind and key of a widget, and its value unless it is a button."""

    @property
    def label(self) -> str:
        """Page and its first new card."""
        return f"{self.page}-{self.cards.split()[0]}"


_PLAIN = (
    ("segmented_control", state.WRITE_AS, "plain"),
    ("text_area", f"{state.PROMPT_TEXT}_0", "the tin in the inn"),
    ("number_input", state.N_WRITTEN, 12.0),
    ("button", "run_button"),
)
_TWO_PROMPTS = (
    ("text_area", f"{state.TEXT}_0", "the tin in the inn is thin and the thin tin is in the inn"),
    ("selectbox", state.CHANGE_KIND, "before"),
    ("text_area", "b_text_before_0", "an inn. "),
    ("button", "run_button"),
)
_LAB = {"view": "live lab"}

VIEWS = (
    View("token_entropy", {}, "token_strip along_text"),
    View("token_entropy", {"entropy": "lens"}, "lens"),
    View("token_entropy", {"entropy": "scatter"}, "surprisal_scatter by_token"),
    View("attention_sinks", {}, "head_map one_head"),
    View("attention_sinks", {"sinks": "tokens"}, "received"),
    View(
        "attention_sinks",
        {"sinks": "over layers"},
        "massive state_sizes triad dilution attention_scatter",
        (("button", "extremes_button"),),
    ),
    View("attention_sinks", {"sinks": "experiments"}, "difference", (("button", "compare_button"),)),
    View(
        "attention_sinks",
        {"sinks": "experiments", "experiment": "break it", "break": "silence heads"},
        "broken",
        (("button", "break_button"),),
    ),
    View(
        "attention_sinks",
        {"sinks": "experiments", "experiment": "streaming"},
        "streaming",
        (("button", "stream_button"),),
    ),
    View("entropy_collapse", {}, "layers spectrum"),
    View("entropy_collapse", {"of": "many texts"}, "texts drops", (("button", "texts_button"),)),
    View("entropy_collapse", {"of": "other models"}, "models", (("button", "models_button"),)),
    View(
        "entropy_collapse",
        {"of": "other models", "models": "other models"},
        "models",
        (("text_area", "other_models", "checkpoints/checkpoint-10"), ("button", "models_button")),
    ),
    View(
        "entropy_collapse",
        {"of": "other models", "models": "checkpoints"},
        "ranks models",
        (("text_input", "checkpoint_folder", "checkpoints"), ("button", "models_button")),
    ),
    View("entropy_collapse", {"view": "over training"}, "training_entropy_0 training_other"),
    View("entropy_collapse", {"view": "over training", "training": "law"}, "law spent"),
    View(
        "entropy_collapse",
        {"view": "over training", "training": "law"},
        "law",
        (("button", "example_exact_words"),),
    ),
    View("entropy_collapse", _LAB, "squares_entropy squares_spread"),
    View("entropy_collapse", _LAB | {"squares": "answers"}, "squares_reward squares_distinct"),
    View("entropy_collapse", _LAB | {"squares": "exchange"}, "squares_law squares_change"),
    View("entropy_collapse", _LAB | {"lab": "bigram-backcopy"}, "backcopy_risks"),
    View(
        "entropy_collapse",
        _LAB | {"lab": "bigram-backcopy", "backcopy": "sink"},
        "backcopy_forming backcopy_characters",
    ),
    View("pruning_effects", {}, "eviction_curves heavy"),
    View("pruning_effects", {"pictures": "what stays"}, "kept_strip kept_layers"),
    View("pruning_effects", {"pictures": "damage"}, "damage_strip"),
    View(
        "pruning_effects",
        {"pictures": "agreement"},
        "overlap positions phrase",
        (("text_input", state.PHRASE, "cat"),),
    ),
    View("pruning_effects", {"pictures": "cost"}, "bill times", (("button", "times_button"),)),
    View(
        "pruning_effects",
        {"pictures": "tests"},
        "writing horizon stability needle",
        (
            ("button", "writing_button"),
            ("text_input", "horizon_phrase", "cat"),
            ("button", "horizon_button"),
            ("button", "stability_button"),
            ("multiselect", "needle_lengths", [128]),
            ("button", "needle_button"),
        ),
    ),
    View("pruning_effects", {"pruning": "prompt"}, "compression"),
    View("pruning_effects", {"pruning": "prompt", "prompt": "what stays"}, "compressed"),
    View(
        "write",
        {},
        "difficulty written branches rules steering",
        (("button", "difficulty_button"), ("button", "steering_button")),
    ),
    View("write", {"rule": "deep thinking"}, "rules", (*_PLAIN, ("button", "rule_button"))),
    View("compare", {}, "twin_strip compared_along change_quadrants most_changed"),
    View("compare", {"compare": "layers"}, "head_changes layer_changes"),
    View("compare", {"compare": "rules"}, "compare_rule compare_rule_curve"),
    View(
        "compare",
        {"compare": "rules"},
        "compare_rule",
        (*_TWO_PROMPTS, ("selectbox", state.COMPARE_RULE, "uscd"), ("button", "compare_rule_button")),
    ),
    View("compare", {"compare": "summary"}, "compare_summary published_rows"),
    View(
        "compare",
        {"compare": "engine"},
        "rollout_ratios rollout_entropy rollout_sequences",
        (("button", "measure_rollouts"),),
    ),
    View("visual_tokens", {}, "attention_on_picture attention_shares picture_heads"),
    View(
        "visual_tokens",
        {"visual": "layers"},
        "visual_layers patch_quantity visual_collapse_curves",
        (("button", "visual_collapse_button"),),
    ),
    View(
        "visual_tokens",
        {"visual": "pruning"},
        "visual_curves kept_on_picture split_curves",
        (("button", "prune_button"), ("button", "visual_split_button")),
    ),
    View(
        "visual_tokens",
        {"visual": "horizon"},
        "visual_horizon horizon_on_picture horizon_by_kind",
        (("button", "visual_horizon_button"), ("button", "horizon_kinds_button")),
    ),
    View(
        "visual_tokens",
        {"visual": "compare"},
        "attention_of_pair attention_difference pair_numbers pair_shares",
    ),
    View("visual_tokens", {"visual": "fragility"}, "fragility_chart", (("button", "fragility_button"),)),
)


def cards_of_the_source() -> Counter[str]:
    """Names of the cards that offer code, each as often as it stands in the source of the app."""
    names: Counter[str] = Counter()
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        seen = set()
        for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
            for card in _calls(function):
                given = {keyword.arg: keyword.value for keyword in card.keywords}
                if "code" in given and (card.lineno, card.col_offset) not in seen:
                    seen.add((card.lineno, card.col_offset))
                    names.update(_values(given["name"], function, module))
    return names


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inside for inside in ast.walk(node) if isinstance(inside, ast.Call))


def _values(name: ast.expr, function: ast.FunctionDef, module: ast.Module) -> list[str]:
    """What a name can be: itself, or what the module hands to the function's argument of that name."""
    if isinstance(name, ast.Constant):
        return [str(name.value)]
    if isinstance(name, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in name.values)]
    assert isinstance(name, ast.Name), f"line {name.lineno}: the card's name cannot be read"
    place = [argument.arg for argument in function.args.args].index(name.id)
    found = []
    for call in _calls(module):
        if isinstance(call.func, ast.Name) and call.func.id == function.name:
            by_word = {keyword.arg: keyword.value for keyword in call.keywords}
            found += _values(by_word.get(name.id) or call.args[place], function, module)
    return found
