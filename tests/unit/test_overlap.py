"""Agreement of kept sets, positions, survival of a phrase: against sets counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.pruning_effects.eviction import overlap
from analysis.pruning_effects.eviction.texts import encode_texts, find_phrase, first_tokens
from tests.figures.synthetic_sweep import G, L, N, encoding, sweep


def jaccard(*masks):
    return overlap.jaccard(*(np.packbits(mask, axis=-1) for mask in masks))


def test_jaccard_is_a_mean_over_layers_and_heads_of_shares_of_sets():
    one = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool)
    other = np.array([[[1, 0, 1, 0]], [[1, 0, 0, 0]]], bool)
    assert jaccard(one, other) == pytest.approx((1 / 3 + 1) / 2)  # pooled sets would give 2 / 4
    assert jaccard(one, ~one) == 0 and jaccard(one, one) == 1


def test_two_random_choices_overlap_by_chance():
    rng = np.random.default_rng(0)
    n, k = 400, 120
    masks = [np.argsort(rng.random((40, 2, n)), -1) < k for _ in range(2)]
    assert jaccard(*masks) == pytest.approx(k / (2 * n - k), abs=0.01)


def test_overlap_of_methods_counted_by_hand():
    made = sweep()
    frame = overlap.overlap_frame(made, 0.5).set_index(["method", "other"])["jaccard"]
    assert "TokenSelect" not in frame.index.get_level_values(0)  # it keeps everything
    assert frame["SnapKV", "key norm"] == frame["key norm", "SnapKV"] == pytest.approx(2 / 6)
    assert frame["SnapKV", "SnapKV"] == frame["oracle", "oracle"] == 1
    # Attention of the continuation falls along the context: the oracle keeps the first half.
    assert frame["SnapKV", "oracle"] == frame["oracle", "SnapKV"] == 1
    assert frame["key norm", "oracle"] == pytest.approx(2 / 6)
    seeds = [made.kept(3), made.kept(4)]
    assert frame["random", "random"] == pytest.approx(jaccard(*seeds)) and frame["random", "random"] < 1
    with_snapkv = np.mean([jaccard(made.kept(1), seed) for seed in seeds])
    assert frame["random", "SnapKV"] == pytest.approx(with_snapkv)
    assert not frame.index.duplicated().any()


def test_settings_and_labels():
    made = sweep()
    assert overlap.settings_at(made, 0.5) == {
        "snapkv": [1],
        "knorm": [2],
        "random": [3, 4],
        "tokenselect": [5],
    }
    assert overlap.settings_at(made, 0.3) == {} and overlap.overlap_frame(made, 0.3)["method"].tolist() == [
        "oracle"
    ]
    assert list(overlap.labels(made)) == ["snapkv", "knorm", "random", "tokenselect"]


def test_positions_are_shares_of_stretches_and_a_mean_over_what_is_kept():
    frame = overlap.positions_frame(sweep(), 0.5, stretches=4)
    snapkv = frame[frame["method"] == "SnapKV"]
    assert snapkv["first"].tolist() == [0, 2, 4, 6] and snapkv["last"].tolist() == [1, 3, 5, 7]
    assert snapkv["survived"].tolist() == [1, 1, 0, 0]
    assert snapkv["mean_position"].unique() == pytest.approx([1.5])  # 0, 1, 2, 3
    knorm = frame[frame["method"] == "key norm"]
    assert knorm["survived"].tolist() == [0.5] * 4 and knorm["mean_position"].iloc[0] == pytest.approx(3.0)
    assert frame["method"].iloc[-1] == "oracle" and len(overlap.positions_frame(sweep(), 0.5)) == 4 * N
    assert overlap.positions_frame(sweep(), 0.1).empty


def test_survival_of_some_tokens():
    made, tokens = sweep(), np.array([1, 2])
    found = overlap.survival(made, tokens, 0.5)
    assert all(values.shape == (L, G) for values in found.values())
    assert (found["SnapKV"] == 1).all() and (found["key norm"] == 0.5).all()
    np.testing.assert_allclose(
        found["random"], np.mean([made.kept(s)[:, :, tokens].mean(-1) for s in (3, 4)], 0)
    )
    frame = overlap.survival_frame(made, np.array([1, 3]), 0.5).set_index("method")
    assert frame.loc["SnapKV"].tolist() == [1, 1, 0] and frame.loc["key norm"].tolist() == [0, 0, 1]
    half = overlap.survival_frame(made, tokens, 0.5).set_index("method").loc["key norm"]
    assert half.tolist() == [0.5, 0, 0.5]  # token 2 everywhere, token 1 nowhere


@pytest.mark.parametrize(
    ("phrase", "tokens"),
    [
        ("grey cat", [1, 2]),
        ("  grey ", [1]),
        ("rey c", [1, 2]),
        ("The", [0]),
        ("語", [5, 6, 7]),
        ("Cat", []),
        ("   ", []),
        ("\ud800", []),
    ],
)
def test_a_phrase_is_found_by_its_letters(phrase, tokens):
    made = sweep()
    assert find_phrase(made.context, made.context_encoding, phrase).tolist() == tokens


def test_every_occurrence_of_a_phrase_counts():
    text = "a b a b"
    assert find_phrase(text, encoding(("a", " b", " a", " b"), range(4)), "a b").tolist() == [0, 1, 2, 3]
    assert find_phrase("aaa", encoding(("aaa",), [0]), "aa").tolist() == [0]


def test_a_name_in_the_text_is_no_byte_of_it(llama):
    """A text may spell out what a piece of a character is called."""
    text = "The ‹E6› is a name, 語 is a word."
    tokens = encode_texts(llama, text, " And so on.").context.tokens
    for phrase in ("‹E6›", "語"):
        found = find_phrase(text, tokens, phrase)
        at = text.index(phrase)
        assert tokens.start[found].min() <= at and tokens.end[found].max() >= at + len(phrase)
        assert (tokens.end[found] - tokens.start[found]).sum() < 20
    assert len(find_phrase(text, tokens, "\xe6")) == 0


def test_an_answer_goes_on_where_the_continuation_ends(llama):
    texts = encode_texts(llama, "The cat sat.", " Où est l’été 語", answer=" 語 ici")
    after = texts.continuation
    assert after.text == " Où est l’été 語 語 ici" and after.tokens.end[-1] == len(after.text)
    assert "".join(after.tokens.cell_text) == after.text
    answer = slice(-texts.n_answer, None)
    assert after.tokens.start[answer].min() == len(" Où est l’été 語")
    assert (np.diff(after.tokens.cell) >= 0).all()
    assert after.tokens.cell[answer].min() == after.tokens.cell[: -texts.n_answer].max() + 1
    spelled = [after.text[a:b] for a, b in zip(after.tokens.start, after.tokens.end, strict=True)]
    assert find_phrase(after.text, after.tokens, "ici").tolist() == [
        t for t, piece in enumerate(spelled) if t >= len(spelled) - texts.n_answer and set(piece) & set("ic")
    ]
    some = first_tokens(after.tokens, 3)
    assert len(some) == 3 and len(some.cell_text) == some.cell[-1] + 1
    np.testing.assert_array_equal(some.token_id, after.ids[:3])
