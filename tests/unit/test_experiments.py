"""Broken sinks and streaming: what is hidden, how runs are aligned, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import analysis as an
from analysis.attention_sinks.experiments import HOW, break_sink, mean_change, surprisal_change
from analysis.attention_sinks.maps import head_map_block
from analysis.attention_sinks.streaming import VIEWS, equal_views, streaming_curves
from analysis.errors import AnalysisError
from analysis.forward.visibility import CAUSAL, Visibility, blocked
from app.widgets.figure_card import notebook_code
from tests import budget
from tests.tiny_models.families import save_tiny

TEXT = "The cat sat on the mat, and 🙂 the dog ran to the river in the morning; it was not there. "


@pytest.fixture(scope="module")
def before(llama):
    return an.trace(llama, TEXT)


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory):
    return an.load_model(str(save_tiny("llama", tmp_path_factory.mktemp("bos"), add_bos=True)))


# Breaking it ------------------------------------------------------------------------------------------


def test_hiding_token_0_really_removes_it(llama, before):
    after = break_sink(llama, before, "hide token 0")
    assert (after.attention.sink_mass == 0).all() and (before.attention.sink_mass > 0.001).all()
    n = len(before.tokens)
    np.testing.assert_allclose(after.attention.received[:, :, 0] * n, 1.0, atol=1e-5)  # its own query's 1
    hidden = np.arange(n) == 0
    gone = head_map_block(llama, after, 1, 2, visibility=Visibility(hidden=hidden, first_query=1))
    assert np.isnan(gone.values[1:, 0]).all() and gone.values[0, 0] == 1.0
    # Nothing of token 0 reaches the others any more: any other token in its place gives the same.
    other = an.trace(llama, "Q" + TEXT[len(before.tokens.text[0]) :])
    other = break_sink(llama, other, "hide token 0")
    frame = surprisal_change(after, other).set_index("position")
    assert frame["change"][2:].abs().max() < budget.rounding_in(llama, TEXT)
    assert surprisal_change(before, after)["change"][2:].abs().mean() > 1e-3


def test_tokens_that_were_given_stay_as_they_are(llama):
    """The tokenizer would join h and e."""
    vocabulary = llama.tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in ("<s>", "h", "e", "Ġ", "t", "h", "e")]
    run = an.trace_ids(llama, ids)
    assert break_sink(llama, run, "hide token 0").tokens.token_id.tolist() == ids
    assert break_sink(llama, run, "silence heads", heads=[(0, 1)]).tokens.token_id.tolist() == ids
    assert break_sink(llama, run, "without bos").tokens.token_id.tolist() == ids[1:]
    line = vocabulary["Ċ"]
    assert break_sink(llama, run, "replace token 0").tokens.token_id.tolist() == [line, *ids[1:]]
    assert break_sink(llama, an.trace_ids(llama, ids[1:]), "with bos").tokens.token_id.tolist() == ids
    with pytest.raises(AnalysisError, match="already begins"):
        break_sink(llama, run, "with bos")
    assert f"an.trace_ids(model, {ids})" in notebook_code(run, "")


def test_silenced_heads_write_nothing(llama, before):
    heads = [(0, 1), (1, 3)]
    after = break_sink(llama, before, "silence heads", heads=heads)
    assert after.spec.visibility == "heads 0.1, 1.3 silenced"
    with torch.inference_mode():
        weights = [layer.self_attn.o_proj.weight for layer in llama.anatomy.layers]
        kept = [weight.clone() for weight in weights]
        width = weights[0].shape[1] // 4
        try:
            for layer, head in heads:
                weights[layer][:, head * width : (head + 1) * width] = 0
            direct = an.trace(llama, TEXT)
        finally:
            for weight, old in zip(weights, kept, strict=True):
                weight.copy_(old)
    near = budget.rounding_in(llama, TEXT)
    np.testing.assert_allclose(after.tokens.surprisal, direct.tokens.surprisal, atol=near, rtol=0)
    assert np.nanmax(np.abs(after.tokens.surprisal - before.tokens.surprisal)) > 0.01


def test_the_beginning_of_text_comes_and_goes(with_bos):
    run = an.trace(with_bos, TEXT)
    without = break_sink(with_bos, run, "without bos")
    assert len(without.tokens) == len(run.tokens) - 1 and without.spec.bos == "never"
    direct = an.trace(with_bos, TEXT, bos="never")
    np.testing.assert_array_equal(without.tokens.surprisal, direct.tokens.surprisal)
    frame = surprisal_change(run, without)
    assert frame["position"].tolist() == list(range(1, len(run.tokens)))
    assert np.isnan(frame["change"][0]) and frame["change"][1:].notna().all()
    np.testing.assert_allclose(
        frame["change"][1:], without.tokens.surprisal[1:] - run.tokens.surprisal[2:], atol=1e-5
    )
    back = break_sink(with_bos, without, "with bos")
    np.testing.assert_array_equal(back.tokens.token_id, run.tokens.token_id)
    for run_, how in ((run, "with bos"), (without, "without bos")):
        with pytest.raises(AnalysisError, match="added beginning-of-text"):
            break_sink(with_bos, run_, how)


def test_replacing_the_first_token(llama, with_bos, before):
    assert before.tokens.text[:2] == ("T", "he")
    after = break_sink(llama, before, "replace token 0", replacement="W")
    assert after.text == "W" + TEXT[1:] and after.tokens.text[1] == "he"
    assert (after.tokens.token_id[1:] == before.tokens.token_id[1:]).all()
    with pytest.raises(AnalysisError, match="already begins"):
        break_sink(llama, before, "replace token 0", replacement="T")
    # An added beginning-of-text token gives its place, and the text stays whole.
    run = an.trace(with_bos, TEXT)
    after = break_sink(with_bos, run, "replace token 0", replacement="W")
    assert after.text == "W" + TEXT and len(after.tokens) == len(run.tokens)
    assert after.tokens.token_id[0] != run.tokens.token_id[0]
    assert len(surprisal_change(run, after)) == len(run.tokens) - 1
    # A first character of several tokens goes as a whole.
    smile = an.trace(llama, "🙂" + TEXT)
    assert break_sink(llama, smile, "replace token 0", replacement="W").text == "W" + TEXT


def test_settings_of_the_run_are_kept(llama):
    run = an.trace(llama, TEXT, top_k=3, lens=[0], parse_special=False)
    after = break_sink(llama, run, "hide token 0")
    assert replace(after.spec, visibility="") == run.spec
    assert after.spec.visibility == "tokens 0 hidden from query 1 on"


def test_what_cannot_be_broken_is_refused(llama, load_tiny, before):
    broken = break_sink(llama, before, "hide token 0")
    with pytest.raises(AnalysisError, match="already hides"):
        break_sink(llama, broken, "hide token 0")
    with pytest.raises(AnalysisError, match="No heads"):
        break_sink(llama, before, "silence heads")
    for head in ((2, 0), (0, 4), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="no head"):
            break_sink(llama, before, "silence heads", heads=[head])
    with pytest.raises(ValueError, match="how must be"):
        break_sink(llama, before, "hide it all")
    with pytest.raises(AnalysisError, match="was made with"):
        break_sink(load_tiny("qwen3"), before, "hide token 0")
    windows = an.trace(llama, TEXT, window=30, stride=10)
    with pytest.raises(AnalysisError, match="read in windows"):
        break_sink(llama, windows, "hide token 0")
    assert set(HOW) == {"hide token 0", "without bos", "with bos", "replace token 0", "silence heads"}


# Aligning two runs ------------------------------------------------------------------------------------


def test_the_same_tokens_are_compared_one_by_one(llama, before):
    after = break_sink(llama, before, "silence heads", heads=[(0, 0)])
    frame = surprisal_change(before, after)
    assert frame["position"].tolist() == list(range(len(before.tokens)))
    assert (frame[["tokens_before", "tokens_after"]] == 1).all(axis=None)
    np.testing.assert_allclose(frame["change"], after.tokens.surprisal - before.tokens.surprisal, atol=1e-6)
    assert mean_change(frame) == pytest.approx(np.nanmean(frame["change"]))
    assert mean_change(surprisal_change(before, before)) == 0
    assert np.isnan(mean_change(frame.iloc[:1]))


def fake(run, pieces, surprisal):
    """A run of a text cut as given, each token with its surprisal."""
    n, text = len(pieces), "".join(pieces)
    n_bytes = np.array([len(piece.encode()) for piece in pieces], np.int32)
    tokens = replace(
        run.tokens, text=tuple(pieces), n_bytes=n_bytes, token_id=np.arange(n), surprisal=np.array(surprisal)
    )
    return replace(run, text=text, tokens=tokens)


def test_changed_tokenization_is_compared_where_both_have_a_boundary(before):
    one = fake(before, ["x", "ab", "c", "dé", "f"], [np.nan, 1.0, 2.0, 4.0, 8.0])
    two = fake(before, ["yy", "a", "bc", "d", "é", "f"], [np.nan, 0.5, 0.25, 3.0, 2.0, 9.0])
    frame = surprisal_change(one, two)
    expected = pd.DataFrame(
        [(1, "abc", 2, 2, 3.0, 0.75, -2.25), (3, "dé", 1, 2, 4.0, 5.0, 1.0), (4, "f", 1, 1, 8.0, 9.0, 1.0)],
        columns=frame.columns,
    )
    pd.testing.assert_frame_equal(frame, expected)
    assert mean_change(frame) == pytest.approx(-0.25 / 4)
    # A token across the change has no counterpart.
    merged = fake(before, ["yyab", "c", "dé", "f"], [np.nan, 1.0, 1.0, 1.0])
    assert surprisal_change(one, merged)["token"].tolist() == ["c", "dé", "f"]
    assert len(surprisal_change(one, fake(before, ["q", "r"], [np.nan, 1.0]))) == 0


# Streaming --------------------------------------------------------------------------------------------


def test_both_limited_policies_see_equally_many():
    views = equal_views(24, 4)
    assert list(views) == list(VIEWS) and views[VIEWS[0]] is None
    for policy in VIEWS[1:]:
        hide = blocked(
            range(100), range(100), span=CAUSAL, ours=views[policy], hidden=None, device=torch.device("cpu")
        )
        assert (~hide).sum(1).tolist() == [min(i + 1, 24) for i in range(100)]
        assert bool((~hide[4:, :4]).all()) == (policy == "sinks + window")
        assert hide[99, 75] and not hide[99, 80] and not hide[99, 99]


def test_streaming_is_three_runs(llama):
    text = TEXT * 2
    reported = []
    result = streaming_curves(
        llama, text, window=24, n_sink=3, on_progress=lambda share, what: reported.append((share, what))
    )
    n = result.n_tokens
    assert n == len(an.trace(llama, text).tokens) > 100
    full, window, sinks = (result.surprisal[policy] for policy in VIEWS)
    plain = an.trace(llama, text).tokens
    near = budget.rounding_in(llama, text)
    np.testing.assert_allclose(full, plain.surprisal, atol=near, rtol=0)
    direct = an.trace(llama, text, visibility=Visibility(window=21, n_sink=3)).tokens.surprisal
    np.testing.assert_array_equal(sinks, direct)
    # Until the window is full nobody misses anything; from the next prediction on everybody does.
    for limited in (window, sinks):
        np.testing.assert_allclose(limited[1:25], full[1:25], atol=near, rtol=0)
        assert (np.abs(limited[25:] - full[25:]) > budget.PLAINLY * near).mean() > 0.9
    assert np.abs(window[25:] - sinks[25:]).max() > 0.01
    assert [s for s, _ in reported] == sorted(s for s, _ in reported) and reported[-1][0] == 1.0
    assert {what.partition(":")[0] for _, what in reported} == set(VIEWS)

    frame = result.to_frame(smooth=8)
    assert len(frame) == 3 * (n - 1)
    own = frame[frame["policy"] == "sinks + window"].set_index("position")
    assert own["running_mean"][40] == pytest.approx(sinks[33:41].mean(), abs=1e-5)
    assert own["running_mean"][3] == pytest.approx(sinks[1:4].mean(), abs=1e-5)
    assert own["perplexity"][40] == pytest.approx(np.exp(sinks[1:41].mean()), rel=1e-5)
    summary = result.summary().set_index("policy")
    assert summary["visible"].tolist() == [n, 24, 24]
    assert summary["surprisal_after"]["window only"] == pytest.approx(window[25:].mean(), abs=1e-5)
    assert summary["perplexity_after"]["window only"] == pytest.approx(np.exp(window[25:].mean()), rel=1e-5)
    assert summary["perplexity"]["full attention"] == pytest.approx(np.exp(full[1:].mean()), rel=1e-5)


def test_a_window_as_long_as_the_text_changes_nothing(llama, before):
    n = len(before.tokens)
    for visibility in (Visibility(window=n), Visibility(window=n - 4, n_sink=4)):
        run = an.trace(llama, TEXT, visibility=visibility)
        np.testing.assert_array_equal(run.tokens.surprisal, before.tokens.surprisal)


def test_texts_and_sinks_that_do_not_fit_are_refused(llama, before):
    n = len(before.tokens)
    for window in (n, n - 1):
        with pytest.raises(AnalysisError, match="hides nothing") as caught:
            streaming_curves(llama, TEXT, window=window)
        assert f"at most {n - 2}" in caught.value.hint
    assert streaming_curves(llama, TEXT, window=n - 2).n_tokens == n
    for n_sink in (0, 24, 30):
        with pytest.raises(AnalysisError, match="do not fit"):
            streaming_curves(llama, TEXT, window=24, n_sink=n_sink)


STORY = """The harbour was quiet that morning. Two fishermen mended a net on the wall and said nothing, because
everything there was to say about the weather had been said the day before. A boat had come in at dawn with a
man nobody knew. He carried a small box under his arm and asked the way to the lighthouse, and when they told
him that the lighthouse had been closed for twenty years he thanked them and walked on.

By noon the whole village had heard of him. The baker said he was an engineer sent by the government to measure
the cliffs. The teacher thought he was a painter, because he had looked at the water for a long time before he
moved. Only the old woman who kept the keys said nothing at all. She put on her coat, took the longest key from
its nail behind the door, and went up the path after him without hurrying, as one goes to an appointment that
was made a long time ago.

She found him sitting on the step of the lighthouse with the box open on his knees. There were letters in it,
some of them so old that the ink had turned brown. He read one aloud to her, and then another, and she
corrected him when he mistook a name. "You have her voice," she said at last. He asked her whether she would
open the door, and she turned the key in the lock, which was stiff from the salt but gave way in the end.

Inside it smelled of oil and dust. They climbed the stairs slowly, stopping at each window to look down at the
boats, which grew smaller and smaller. At the top the great lamp stood under a sheet. He pulled the sheet away,
and for a moment the low sun fell through the glass and threw a bright circle on the wall, as if somebody had
lit it again after all these years."""


@pytest.mark.slow
@pytest.mark.embedded
def test_a_window_without_the_first_tokens_breaks_smollm2(smollm2):
    result = streaming_curves(smollm2, STORY, window=64, n_sink=4)
    assert 380 <= result.n_tokens <= 450
    summary = result.summary().set_index("policy")
    full, window, sinks = (summary["perplexity_after"][policy] for policy in VIEWS)
    assert full < sinks < window / 2
    assert sinks < 1.2 * full
    full, window, sinks = (summary["perplexity"][policy] for policy in VIEWS)
    assert full < sinks < 0.6 * window
