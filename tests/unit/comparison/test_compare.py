"""Two sides against dense float64 computations of the same models, and every way in which sides may differ."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

import analysis as an
from analysis.comparison import compare as comparing
from analysis.comparison.published import published_rows
from analysis.comparison.round_trip import BLOCK
from analysis.errors import AnalysisError, OutOfMemoryError
from analysis.forward.visibility import Visibility
from tests.budget import PLAINLY, rounding
from tests.tiny_models.families import save_tiny
from tests.tiny_models.splitters import byte_fallback

TEXT = "the tin in the inn is thin and the hen is in it, and he sat at the fire on a moor"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another model with the same tokenizer."""
    return an.load_model(str(save_tiny("llama", tmp_path_factory.mktemp("other"), seed=1)))


@pytest.fixture(scope="module")
def pair(llama, other):
    return an.compare(an.Side(llama, TEXT), an.Side(other, TEXT))


@torch.no_grad()
def log_probs(model, ids):
    """float64, (T, V): row t predicts token t + 1; by the library, in float64 from its own logits."""
    wide = deepcopy(model.model).double()
    return torch.log_softmax(wide(input_ids=torch.tensor([ids])).logits[0], -1).numpy()


def dense(model_a, model_b, ids):
    """Every quantity of a pair of models on ids, entry t about token t, from plain float64 arrays."""
    lp, lq = (log_probs(model, ids)[:-1] for model in (model_a, model_b))
    p, q, x = np.exp(lp), np.exp(lq), np.array(ids[1:])
    m = np.log((p + q) / 2)
    rows = np.arange(len(x))
    at = lambda table: table[rows, x]  # noqa: E731
    kl = lambda one, two: (np.exp(one) * (one - two)).sum(-1)  # noqa: E731
    return {
        "entropy_a": -(p * lp).sum(-1),
        "entropy_b": -(q * lq).sum(-1),
        "surprisal_a": -at(lp),
        "surprisal_b": -at(lq),
        "kl_ab": kl(lp, lq),
        "kl_ba": kl(lq, lp),
        "jsd": (kl(lp, m) + kl(lq, m)) / 2,
        "tv": np.abs(p - q).sum(-1) / 2,
        "rank_a": 1 + (lp > at(lp)[:, None]).sum(-1),
        "rank_b": 1 + (lq > at(lq)[:, None]).sum(-1),
        "rank_of_a_in_b": 1 + (lq > lq[rows, lp.argmax(-1)][:, None]).sum(-1),
        "rank_of_b_in_a": 1 + (lp > lp[rows, lq.argmax(-1)][:, None]).sum(-1),
        "first_differs": (lp.argmax(-1) != lq.argmax(-1)).astype(float),
        "prob_change": at(q) - at(p),
    }


def test_every_number_is_that_of_dense_float64_tables(pair, llama, other):
    expected, rows = dense(llama, other, pair.a.tokens.token_id.tolist()), pair.rows
    assert len(rows) == len(pair.a.tokens) and not rows.has_context[0] and rows.has_context[1:].all()
    near = 4 * rounding(expected["surprisal_a"], expected["surprisal_b"])
    for name, values in expected.items():
        found = np.asarray(getattr(rows, name), float)[1:]
        wide = near * max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(found, values, rtol=0, atol=wide, err_msg=name)
    assert np.abs(expected["kl_ab"] - expected["kl_ba"]).max() > PLAINLY * near, "the direction would show"


def test_entries_are_about_the_same_token_on_both_sides(pair):
    assert pair.alignment.kind == "same"
    for side, run in (("a", pair.a), ("b", pair.b)):
        np.testing.assert_allclose(
            getattr(pair.rows, f"entropy_{side}"), run.tokens.entropy, atol=rounding(run.tokens.surprisal)
        )
        np.testing.assert_array_equal(getattr(pair.rows, f"rank_{side}"), run.tokens.rank)
        np.testing.assert_array_equal(getattr(pair.rows, f"top_ids_{side}"), run.tokens.top_ids)


def test_where_nothing_came_before_there_is_nothing(pair):
    rows = pair.rows
    assert np.isnan(rows.kl_ab[0]) and rows.rank_a[0] == rows.rank_of_a_in_b[0] == 0
    assert (rows.top_ids_a[0] == -1).all() and np.isnan(rows.top_a_in_b[0]).all()


def test_all_checks_pass_and_both_sides_bring_theirs(pair):
    assert all(check.passed for check in pair.checks), [c for c in pair.checks if not c.passed]
    names = [check.name for check in pair.checks]
    for run, side in ((pair.a, "A"), (pair.b, "B")):
        assert {f"{side}: {check.name}" for check in run.checks} <= set(names)
        assert f"{side}: entropy and surprisal are those of its run" in names
    zero = next(check for check in pair.checks if "exactly zero" in check.name)
    assert zero.error == 0 and zero.tolerance == 0
    assert any(name.startswith("KL equals a float64 sum") for name in names)
    assert any(name.startswith("total variation is at most") for name in names)


def test_a_misplaced_row_fails_a_check(pair, llama, other, monkeypatch):
    """The shift by one, left out on side B."""
    really = comparing.paired_states

    def shifted(*args):
        found = really(*args)
        wrong = replace(found.b, states=torch.roll(found.b.states, 1, 0))
        return replace(found, b=wrong)

    monkeypatch.setattr(comparing, "paired_states", shifted)
    c = an.compare(an.Side(llama, TEXT, trace=pair.a), an.Side(other, TEXT, trace=pair.b))
    assert [check.name for check in c.checks if not check.passed] == [
        "B: entropy and surprisal are those of its run"
    ]


def test_a_side_with_itself_is_exactly_zero_and_says_so(llama, monkeypatch):
    runs = counted_runs(monkeypatch)
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT))
    assert len(runs) == 1 and c.a is c.b
    assert c.differs == () and c.notes == (comparing.SAME,)
    for name in (
        "kl_ab",
        "kl_ba",
        "jsd",
        "tv",
        "entropy_change",
        "surprisal_change",
        "prob_change",
        "first_differs",
    ):
        assert (getattr(c.rows, name)[1:] == 0).all(), name
    assert c.summary()["perplexity_ratio"].value == 1 and c.summary()["same_first"].value == 1


def counted_runs(monkeypatch):
    """Texts that a model reads from now on."""
    from analysis.comparison import measured

    runs = []
    for name in ("trace", "trace_ids", "evicted_trace"):
        really = getattr(measured, name)

        def counted(*args, really=really, **options):
            runs.append(really.__name__)
            return really(*args, **options)

        monkeypatch.setattr(measured, name, counted)
    return runs


def test_a_run_that_exists_is_not_made_again(llama, other, pair, monkeypatch):
    runs = counted_runs(monkeypatch)
    c = an.compare(an.Side(llama, TEXT, trace=pair.a), an.Side(other, TEXT))
    assert runs == ["trace"]
    np.testing.assert_array_equal(c.rows.kl_ab, pair.rows.kl_ab)
    c = an.compare(an.Side(llama, TEXT, trace=pair.a), an.Side(llama, TEXT))
    assert runs == ["trace"] and c.notes == (comparing.SAME,), "the run that exists serves both sides"


def test_a_setting_that_changes_nothing_is_said(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, bos="never"))
    assert c.differs == ("beginning-of-text token: auto and never",) and c.notes == (comparing.EQUAL,)
    assert (c.rows.tv[1:] == 0).all()


def test_names_are_loaded_one_after_the_other_and_dropped(tiny_folder, other, pair, monkeypatch):
    import gc
    import weakref

    alive, most = [], []
    really = an.load_model
    from analysis.comparison import sides

    def load(spec):
        gc.collect()
        most.append(sum(model() is not None for model in alive))
        model = really(spec)
        alive.append(weakref.ref(model.model))
        return model

    monkeypatch.setattr(sides, "load_model", load)
    c = an.compare(an.Side(str(tiny_folder("llama")), TEXT), an.Side(other.spec, TEXT))
    gc.collect()
    assert most == [0, 0] and not any(model() for model in alive)
    np.testing.assert_array_equal(c.rows.jsd, pair.rows.jsd)


def test_one_name_on_both_sides_is_loaded_once(tiny_folder, monkeypatch):
    loads = []
    really = an.load_model
    monkeypatch.setattr(comparing, "load_model", lambda spec: loads.append(spec) or really(spec))
    folder = str(tiny_folder("llama"))
    c = an.compare(an.Side(folder, TEXT), an.Side(folder, TEXT, bos="always"))
    assert len(loads) == 1 and c.alignment.kind == "suffix"


def test_a_token_in_front_is_added_and_the_others_are_compared(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, bos="always"))
    n = len(c.a.tokens)
    assert c.differs == ("beginning-of-text token: auto and always",)
    np.testing.assert_array_equal(c.alignment.pairs, np.stack([np.arange(n), np.arange(1, n + 1)], 1))
    assert c.alignment.span_b[0] == -1
    assert not c.rows.has_context[0], "the first token has a context on side B alone"
    assert c.rows.has_context[1:].all() and (c.rows.tv[1:] > 0).all()


def test_a_text_in_front_is_compared_on_the_text_itself(llama):
    """Where it meets the text, "t" after a blank is another token: two are left out there, and counted."""
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, before="it is said on the moor: "))
    assert c.b.spec.n_before == 24 and c.b.text[24:] == TEXT
    assert c.differs == ("text in front: none and 24 characters",)
    at_a, at_b = c.alignment.pairs.T
    np.testing.assert_array_equal(c.a.tokens.token_id[at_a], c.b.tokens.token_id[at_b])
    np.testing.assert_array_equal(at_a, np.arange(2, len(c.a.tokens)))
    assert at_b[-1] == len(c.b.tokens) - 1 and c.alignment.dropped == 2


TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chatty(fresh_llama):
    fresh_llama.tokenizer.chat_template = TEMPLATE
    return fresh_llama


def test_a_system_message_stands_before_the_text_and_nothing_after_it(chatty):
    c = an.compare(an.Side(chatty, TEXT), an.Side(chatty, TEXT, system="be terse"))
    assert c.b.text == f"<system>be terse</s><user>{TEXT}"
    assert c.b.text[c.b.spec.n_before :] == TEXT
    at_a, at_b = c.alignment.pairs.T
    np.testing.assert_array_equal(c.a.tokens.token_id[at_a], c.b.tokens.token_id[at_b])
    assert len(at_a) >= len(c.a.tokens) - 1 and at_b[-1] == len(c.b.tokens) - 1
    without = an.compare(an.Side(chatty, TEXT, system=""), an.Side(chatty, TEXT, system="be terse"))
    assert without.a.text == f"<user>{TEXT}"
    first_a, first_b = without.alignment.pairs[0]
    assert without.a.tokens.start[first_a] == 6 and without.b.text[without.b.tokens.start[first_b] :] == TEXT
    assert without.alignment.span_a.tolist() == [*[-1] * first_a, *range(len(without.alignment.pairs))]
    assert len(without.alignment.span_bytes) == len(without.alignment.pairs)


def test_a_model_without_a_template_says_so(llama):
    with pytest.raises(AnalysisError, match="has no chat template"):
        an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, system="be terse"))


def test_another_precision_is_loaded_beside_and_differs_little(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, precision="bfloat16"))
    assert c.differs == ("precision: float32 and bfloat16",)
    assert 0 < c.rows.kl_ab[1:].mean() < 0.05 and llama.info.dtype == "float32"


def test_a_round_trip_against_an_independent_dense_script(llama, tiny_folder):
    """Weights rounded in numpy, tables of tokens x vocabulary in float64, and the rows that quantisers publish."""
    rounded = an.load_model(str(tiny_folder("llama")))
    for layer in rounded.model.model.layers:
        for weight in layer.parameters():
            if weight.dim() == 2:
                blocks = weight.numpy().reshape(-1, BLOCK)
                scale = np.abs(blocks).max(1, keepdims=True) / np.float32(7)
                weight.data = torch.from_numpy((np.round(blocks / scale) * scale).reshape(weight.shape))
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, rounded="4-bit"))
    assert c.differs == ("round trip: none and 4-bit",) and c.b.spec.rounded == "4-bit"
    assert "round trip through 4-bit" in c.b.spec.subtitle and "round trip" not in c.a.spec.subtitle
    expected = dense(llama, rounded, c.a.tokens.token_id.tolist())
    table, near = published_rows(c), 8 * rounding(expected["surprisal_a"])
    kl, change = expected["kl_ab"], expected["prob_change"]
    for name, value in {
        "Mean KLD": kl.mean(),
        "99.0% KLD": np.quantile(kl, 0.99),
        "Median KLD": np.median(kl),
        "Maximum KLD": kl.max(),
        "Mean Δp": change.mean(),
        "95.0% Δp": np.quantile(change, 0.95),
        "5.0% Δp": np.quantile(change, 0.05),
        "RMS Δp": np.sqrt((change**2).mean()),
        "Same top p": 1 - expected["first_differs"].mean(),
        "Mean PPL(Q)/PPL(base)": np.exp((expected["surprisal_b"] - expected["surprisal_a"]).mean()),
    }.items():
        assert table[name].value == pytest.approx(value, abs=near, rel=near), name
    assert kl.mean() > PLAINLY * near


def test_the_untrained_model_is_a_side(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, untrained=True))
    assert len(c.differs) == 1 and "untrained (seed 0)" in c.differs[0]
    assert c.rows.kl_ab[1:].mean() > 0.5


def test_hidden_tokens_are_a_side(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, visibility=Visibility(window=4, n_sink=1)))
    assert c.differs == ("attention: as the model sees and attention sees the first 1 and last 4 tokens",)
    assert (c.rows.tv[2:5] < 1e-5).all() and c.rows.tv[8:].max() > 1e-3, "the first few see all there is"


def test_other_texts_are_compared_where_they_match(llama):
    changed = TEXT.replace("thin and the hen", "fair and the man")
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, changed))
    assert c.differs == ("text",) and c.alignment.kind == "diff"
    at_a, at_b = c.alignment.pairs.T
    np.testing.assert_array_equal(c.a.tokens.token_id[at_a], c.b.tokens.token_id[at_b])
    assert 4 < len(at_a) < len(c.a.tokens)
    first = int(np.flatnonzero(c.rows.tv > 1e-6)[0])
    assert c.a.tokens.start[at_a[first]] > TEXT.index("thin"), "before the first change, nothing differs"


def test_texts_without_a_common_stretch_are_refused(llama):
    with pytest.raises(AnalysisError, match=r"no stretch of \d tokens in common"):
        an.compare(an.Side(llama, "aaaa aaaa aaaa"), an.Side(llama, "0123456789"))


def test_a_longer_text_in_windows_is_a_side(llama):
    text = TEXT * 60
    run = an.trace(llama, text, stride=512)
    c = an.compare(
        an.Side(llama, text, stride=512, trace=run), an.Side(llama, text, stride=512, bos="always")
    )
    assert c.rows is not None and len(c.alignment.pairs) == len(run.tokens)
    assert "structure" in c.unavailable


# Vocabularies ------------------------------------------------------------------------------------------


def with_ids(model, folder, new_of_old):
    """The same model with its ids renamed, saved and loaded again."""
    tokenizer = model.tokenizer
    found = json.loads(tokenizer.backend_tokenizer.to_str())
    found["model"]["vocab"] = {piece: int(new_of_old[i]) for piece, i in found["model"]["vocab"].items()}
    for token in found["added_tokens"]:
        token["id"] = int(new_of_old[token["id"]])
    names = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    backend = Tokenizer.from_str(json.dumps(found))
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    copy = deepcopy(model.model)
    for weight in (copy.get_input_embeddings().weight, copy.get_output_embeddings().weight):
        weight.data[torch.from_numpy(new_of_old)] = weight.data.clone()
    copy.save_pretrained(folder)
    return an.load_model(str(folder))


def test_renamed_ids_change_nothing(llama, tmp_path):
    """Token for token what a side with itself gives, whatever its ids are called."""
    n = llama.info.vocab_size - llama.info.n_padded_ids
    new_of_old = np.arange(llama.info.vocab_size)
    new_of_old[:n] = np.random.default_rng(0).permutation(n)
    renamed = with_ids(llama, tmp_path, new_of_old)
    c = an.compare(an.Side(llama, TEXT), an.Side(renamed, TEXT))
    assert c.vocabulary.kind == "permuted" and (c.a.tokens.token_id != c.b.tokens.token_id).any()
    known = c.rows.has_context
    assert known.sum() == len(c.a.tokens) - 1
    for name in ("kl_ab", "kl_ba", "jsd", "tv"):
        assert np.abs(getattr(c.rows, name)[known]).max() <= 1e-6, name
    assert (c.rows.first_differs[known] == 0).all() and (c.rows.rank_of_a_in_b[known] == 1).all()
    back = c.swapped().swapped()
    np.testing.assert_array_equal(back.vocabulary.b_of_a, c.vocabulary.b_of_a)
    frame = c.to_frame()
    assert frame.first_choice_a[1] == frame.first_choice_b[1]


def test_another_tokenizer_leaves_spans_and_bits_per_byte(llama, tmp_path):
    save_tiny("llama", tmp_path, seed=1, vocab_size=400)
    byte_fallback().save_pretrained(tmp_path)
    other = an.load_model(str(tmp_path))
    c = an.compare(an.Side(llama, TEXT), an.Side(other, TEXT))
    assert c.vocabulary.kind == "different" and c.alignment.kind == "spans"
    assert c.rows is None and c.unavailable["rows"] == c.vocabulary.why
    known = c.spans.has_context
    s = c.summary()
    for side, run in (("a", c.a), ("b", c.b)):
        inside = getattr(c.alignment, f"span_{side}")
        by_hand = run.tokens.surprisal[np.isin(inside, np.flatnonzero(known))].astype(float).sum()
        expected = by_hand / np.log(2) / c.spans.n_bytes[known].sum()
        assert s[f"bits_per_byte_{side}"].value == pytest.approx(expected, rel=1e-6)
    assert c.spans.n_bytes.sum() == len(TEXT.encode()) and "".join(c.spans.text) == TEXT
    assert "mean_kl_ab" not in s and len(c.to_frame()) == c.alignment.n_spans


# Files -------------------------------------------------------------------------------------------------


def test_a_file_of_the_same_model_is_read_with_the_head_at_hand(llama, pair, tmp_path):
    from analysis.forward.trace import trace

    other_text = an.load_trace(trace(llama, TEXT, bos="always").save(tmp_path / "b.trace"))
    c = an.compare(an.Side(llama, TEXT), other_text)
    direct = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, bos="always"))
    np.testing.assert_array_equal(c.rows.kl_ab, direct.rows.kl_ab)


def test_a_file_of_another_model_says_why_there_is_no_kl(llama, other, pair):
    c = an.compare(an.Side(llama, TEXT), pair.b)
    assert c.rows is None
    assert "Side B: The head of" in c.unavailable["rows"] and "not at hand" in c.unavailable["rows"]
    assert c.spans.has_context[1:].all() and c.structure() is not None
    frame = c.to_frame("bits")
    assert len(frame) == len(pair.a.tokens) and "surprisal_change_bits" in frame


def test_a_head_that_did_not_make_a_run_is_not_used_for_it(llama, other, pair):
    """Even where a person says so."""
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, trace=pair.b))
    assert c.rows is None and "not at hand" in c.unavailable["rows"]


def test_two_files_give_spans_and_structure(pair):
    c = an.compare(pair.a, pair.b)
    assert c.rows is None and "Side A" in c.unavailable["rows"] and "Side B" in c.unavailable["rows"]
    np.testing.assert_allclose(
        c.spans.surprisal_change[1:], (pair.b.tokens.surprisal - pair.a.tokens.surprisal)[1:], rtol=1e-6
    )
    assert an.align(pair.a, pair.b).kind == "same"


def test_a_file_without_states_shows_what_can_still_be_compared(llama, pair):
    c = an.compare(an.Side(llama, TEXT), replace(pair.a, final_states=None))
    assert c.unavailable["rows"] == (
        "Side B: Its run kept no final states, from which distributions are computed again."
    )
    assert (c.spans.surprisal_change[1:] == 0).all()


# What does not fit ---------------------------------------------------------------------------------------


def test_memory_that_runs_out_with_the_second_side_leaves_the_first(llama, other, monkeypatch):
    from analysis.comparison import sides

    def full(_spec):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sides, "load_model", full)
    before = an.trace(llama, TEXT)
    with pytest.raises(OutOfMemoryError, match=r"memory ran out with side B\. Side A stays loaded\."):
        an.compare(an.Side(llama, TEXT), an.Side(other.spec, TEXT))
    np.testing.assert_array_equal(an.trace(llama, TEXT).tokens.surprisal, before.tokens.surprisal)


def test_a_refusal_of_the_loader_keeps_its_sentence(llama, other, monkeypatch):
    from analysis.comparison import sides

    def full(_spec):
        raise OutOfMemoryError("The weights need 9 GiB.", "Choose a smaller model.")

    monkeypatch.setattr(sides, "load_model", full)
    with pytest.raises(
        OutOfMemoryError, match=r"Side B: The weights need 9 GiB\. Side A stays loaded\."
    ) as refused:
        an.compare(an.Side(llama, TEXT), an.Side(other.spec, TEXT))
    assert refused.value.hint == "Choose a smaller model."


def test_stopping_puts_everything_back(llama):
    before = {name: weight.clone() for name, weight in llama.model.named_parameters()}

    def stop(share, what):
        if what.startswith("B") and "layer 1" in what:
            raise an.Cancelled

    with pytest.raises(an.Cancelled):
        an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, rounded="4-bit"), on_progress=stop)
    assert all(torch.equal(weight, before[name]) for name, weight in llama.model.named_parameters())


def test_progress_grows_to_the_end(llama, other):
    seen = []
    an.compare(
        an.Side(llama, TEXT), an.Side(other, TEXT), on_progress=lambda share, what: seen.append((share, what))
    )
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[-1] == 1 and shares[0] < 0.1
    assert any(what.startswith("A: ") for _, what in seen) and any(what.startswith("B: ") for _, what in seen)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": None, "text": "x"}, "neither a model nor a run"),
        ({"text": "  "}, "no text to compare on"),
        ({"text": "x", "before": "y", "system": "z"}, "both a text in front and a system message"),
        (
            {"text": "x", "eviction": an.Eviction("h2o", 0.5), "visibility": Visibility(window=4)},
            "both evicts and hides",
        ),
    ],
)
def test_a_side_that_cannot_be_is_refused(settings, said):
    with pytest.raises(AnalysisError, match=said):
        an.Side(**settings)


# Tables, structure, order of change ---------------------------------------------------------------------


def test_the_table_has_a_row_per_pair_in_the_unit(pair):
    nats, bits = pair.to_frame("nats"), pair.to_frame("bits")
    assert len(nats) == len(pair.rows) and list(nats.token) == list(pair.a.tokens.text)
    np.testing.assert_allclose(bits.kl_ab_bits, nats.kl_ab_nats / np.log(2))
    assert (
        nats.first_choice_a[1] == pair.a.tokens.names[int(pair.rows.top_ids_a[1, 0])]
        and nats.first_choice_a[0] == ""
    )


def test_the_most_changed_come_first(pair):
    frame = an.most_changed(pair, by="jsd", n=5)
    order = np.argsort(-np.nan_to_num(pair.rows.jsd, nan=-1), kind="stable")[:5]
    assert frame.pair.tolist() == order.tolist()
    np.testing.assert_allclose(frame.jsd_nats, pair.rows.jsd[order])
    signed = an.most_changed(pair, by="surprisal_change", n=3, unit="bits")
    assert signed.surprisal_change_bits.abs().is_monotonic_decreasing
    several = an.most_changed([pair, pair], n=4)
    assert several.text.tolist() == [0, 1, 0, 1] and several.pair.tolist() == np.repeat(order[:2], 2).tolist()
    late = an.most_changed(pair, n=99, first=10)
    assert late.position_a.min() == 10


def test_the_order_of_change_says_what_it_cannot(pair):
    with pytest.raises(AnalysisError, match="cannot be ordered by 'luck'"):
        an.most_changed(pair, by="luck")
    with pytest.raises(AnalysisError, match="no comparison"):
        an.most_changed([])
    spans = an.most_changed(an.compare(pair.a, pair.b), n=2)
    assert spans.surprisal_change_nats.abs().is_monotonic_decreasing and "span" in spans


def test_structure_is_of_aligned_tokens(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, bos="always"))
    s = c.structure()
    assert s.same_shape and s.a.received.shape == s.b.received.shape
    at_a, at_b = c.alignment.pairs.T
    np.testing.assert_array_equal(s.b.received, c.b.attention.received[:, :, at_b])
    np.testing.assert_allclose(s.a.norm, np.median(c.a.layers.residual_norm[:, at_a], 1), rtol=1e-6)
    by_hand = np.mean([c.b.attention.entropy[1, 2, t] / np.log(t + 1) for t in at_b if t > 0])
    assert s.b.row_entropy[1, 2] == pytest.approx(by_hand, rel=1e-5)
    np.testing.assert_allclose(
        s.change("sink"),
        (c.b.attention.sink_mass - c.b.attention.sink_baseline[:, None])
        - (c.a.attention.sink_mass - c.a.attention.sink_baseline[:, None]),
    )
    assert s.change("matrix_entropy").shape == (2, llama.info.n_layers + 1)


def test_sides_of_other_shapes_are_not_subtracted(llama, load_tiny):
    c = an.compare(an.Side(llama, TEXT), an.Side(load_tiny("gemma2"), TEXT))
    s = c.structure()
    assert not s.same_shape
    with pytest.raises(ValueError, match="cannot be subtracted"):
        s.change("sink")
    from analysis.comparison.tables import heads_frame, layers_frame

    assert set(heads_frame(s).side) == {"A", "B"}
    layers = layers_frame(s, "bits")
    assert layers.groupby("side").depth.max().tolist() == [1.0, 1.0]


def test_heads_of_one_shape_stand_in_one_row(pair):
    from analysis.comparison.tables import heads_frame

    frame = heads_frame(pair.structure())
    np.testing.assert_allclose(frame.sink_change, frame.sink_b - frame.sink_a, atol=1e-6)
    assert len(frame) == pair.structure().a.sink.size
