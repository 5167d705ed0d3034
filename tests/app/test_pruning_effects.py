"""The pruning page, KV cache: a cheap sweep by itself, others when asked, every picture from one, no view runs anything."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import AnalysisError, Cancelled
from analysis.pruning_effects.eviction import sweep as sweeping
from app import state
from app.compute import requests as runs
from app.compute.job import Job
from app.panels.pruning_effects.eviction import comparison
from app.panels.pruning_effects.eviction.sweep_request import standard
from app.widgets import card_actions
from tests.app.conftest import shown, text_field

FIGURES = {
    "eviction_curves.svg",
    "kept_strip.html",
    "kept_layers.html",
    "damage_strip.html",
    "overlap.svg",
    "positions.svg",
}


def request(at):
    return at.session_state[state.RUN]


def job(at):
    return runs.find(at.session_state[state.SWEEP].experiment(request(at)))


def compare(at, finish):
    return finish(at.button(key="eviction_button").click().run())


def evictions(submitted):
    return [key for key in submitted if key.startswith("eviction/")]


def look(at, picture):
    at = at.segmented_control(key=state.EVICTION_PICTURES).set_value(picture).run()
    assert not at.exception
    return at


@pytest.fixture
def page(open_page, finish):
    """The page with its run, and the standard comparison that came after it."""
    return finish(finish(open_page("pruning_effects")))


@pytest.fixture
def compared(page, finish):
    at = compare(page, finish)
    assert not at.exception and not at.error
    return at


def test_until_a_run_is_finished_its_own_picture_holds_the_place(submitted, open_page):
    at = open_page("pruning_effects")
    assert not at.exception and evictions(submitted) == []
    assert "What the heaviest tokens draw" in shown(at) and "It comes with the first run" in shown(at)
    assert len(at.get("vega_lite_chart")) == 1


def test_a_cheap_comparison_starts_by_itself_after_the_run(submitted, page):
    assert not page.exception and not page.error
    usual = standard(runs.find(request(page)).result)
    assert evictions(submitted) == [usual.experiment(request(page)).key]
    assert page.session_state[state.SWEEP] == usual
    assert "Shown: 6 methods at 10 shares, the standard comparison. Compare: 51 settings" in shown(page)
    assert len(page.metric) == 5 and "51 settings, one prefill" in shown(page)
    text = text_field(page, state.TEXT).value
    n = len(runs.find(request(page)).result.tokens)
    assert text.endswith(page.text_area(key=state.CONTINUATION).value)
    assert f"the first {n - 64} tokens of the text. Continuation: its last 64" in shown(page)


def test_a_dear_one_waits_for_the_button(submitted, open_page, finish, monkeypatch):
    monkeypatch.setattr(comparison, "AT_ONCE_SECONDS", 0.0)
    at = finish(finish(open_page("pruning_effects")))
    assert not at.exception and evictions(submitted) == []
    assert "What the heaviest tokens draw" in shown(at) and "Compare: 51 settings, " in shown(at)
    at = compare(at, finish)
    assert len(evictions(submitted)) == 1 and len(at.metric) == 5


def test_what_started_by_itself_and_failed_is_said_calmly(open_page, finish, monkeypatch):
    def fails(*args, **options):
        raise AnalysisError("The cache is not known.", "Use another model.")

    monkeypatch.setattr(sweeping, "sweep_eviction", fails)
    at = finish(finish(open_page("pruning_effects")))
    assert not at.exception and not at.error and "The cache is not known." in shown(at)
    assert "What the heaviest tokens draw" in shown(at)


def test_what_started_by_itself_ends_with_a_new_run(page, finish):
    usual = page.session_state[state.SWEEP].experiment(request(page)).key
    assert page.session_state[state.BACKGROUND] == {usual}
    at = page.menu_button(key=state.FILL_IN).click("code").run()
    at = at.button(key="run_button").click().run()
    assert not at.exception
    assert state.BACKGROUND not in at.session_state or usual not in at.session_state[state.BACKGROUND]


def test_the_numbers_are_those_of_the_sweep(compared):
    sweep = job(compared).result
    assert sweep.context + sweep.continuation == text_field(compared, state.TEXT).value
    frame = sweep.to_frame()
    half = frame[(frame["kept"] == 0.5)].groupby("label")["kl"].mean()
    metrics = {m.label: m.value for m in compared.metric}
    assert metrics["best at 50%"] == half.idxmin()
    assert float(metrics["KL, nats"]) == pytest.approx(half.min(), rel=0.006)
    assert float(metrics["chance, nats"]) == pytest.approx(half["random"], rel=0.006)
    spec, per_head = sweep.spec, sweep.spec.n_context // 2
    n_bytes = per_head * spec.n_layers * spec.n_kv_heads * spec.head_size * 2 * 4
    assert metrics["KV cache"] == f"{n_bytes / 1e3:.3g} kB"
    for picture, title in (("what stays", "Kept tokens"), ("damage", "The damage, token by token")):
        at = look(compared, picture)
        assert len(at.get("bidi_component")) == 1 and title in shown(at)


def test_looking_around_runs_nothing(submitted, compared):
    ran = list(submitted)
    assert len(evictions(submitted)) == 2, "the standard comparison, and the one that was asked for"
    at = compared
    for picture, kind, key, value in (
        ("what stays", "selectbox", state.METHOD, "random"),
        ("what stays", "segmented_control", state.METHOD_KEPT, "10"),
        ("what stays", "selectbox", state.KV_HEAD, "1"),
        ("damage", "segmented_control", state.DAMAGE, "surprisal"),
        ("agreement", "segmented_control", state.METHOD_KEPT, "30"),
        ("cost", "segmented_control", state.METHOD_KEPT, "10"),
        ("tests", "segmented_control", state.METHOD_KEPT, "10"),
        ("curves", "segmented_control", f"{state.CURVE}_False", "change in NLL"),
        ("curves", "segmented_control", state.UNIT, "bits"),
    ):
        at = look(at, picture)
        at = getattr(at, kind)(key=key).set_value(value).run()
        assert not at.exception and not at.error
    assert [key for key in submitted if not key.startswith(("estimate/", "sizes/"))] == [
        key for key in ran if not key.startswith(("estimate/", "sizes/"))
    ]
    assert "With **random** and 10% of the context kept" in shown(at)
    assert "The first of 5 seeds is drawn" in shown(at)
    assert "KL, bits" in {m.label for m in at.metric}
    other = at.switch_page("../pages/token_entropy.py").run().switch_page("../pages/pruning_effects.py").run()
    assert len(evictions(submitted)) == 2 and len(other.metric) == 5


def test_a_needle_is_followed_through_the_methods(compared):
    at = look(compared, "agreement").text_input(key=state.PHRASE).set_value("grey cat").run()
    assert not at.exception and "The phrase, by method, layer and KV head" in shown(at)
    at = at.text_input(key=state.PHRASE).set_value("green dog").run()
    assert "These words are not in the context" in shown(at)


def test_own_words_stay_until_they_are_given_back(page, finish):
    own = "And then the cat left."
    at = page.text_area(key=state.CONTINUATION).set_value(own).run()
    assert "Continuation: your own words" in shown(at)
    at = at.number_input(key=state.CONTINUATION_TOKENS).set_value(20.0).run()
    assert at.text_area(key=state.CONTINUATION).value == own
    at = compare(at, finish)
    assert job(at).result.continuation == own
    at = at.menu_button(key=state.FILL_IN).click("code").run()
    at = finish(at.button(key="run_button").click().run())
    assert at.text_area(key=state.CONTINUATION).value == own
    at = at.button(key="continuation_reset").click().run()
    assert text_field(at, state.TEXT).value.endswith(at.text_area(key=state.CONTINUATION).value)
    assert "Continuation: its last 20" in shown(at)


def test_a_question_is_judged_by_its_answer(page, finish):
    at = page.segmented_control(key=state.FOLLOWS).set_value("question and answer").run()
    at.text_area(key=state.QUESTION).set_value("Question: who slept on the atlas?\nAnswer: the")
    at.text_area(key=state.ANSWER).set_value(" cat")
    at = compare(at.run(), finish)
    assert not at.exception and not at.error
    sweep = job(at).result
    assert sweep.spec.n_answer and sweep.context == text_field(at, state.TEXT).value
    assert at.segmented_control(key=f"{state.CURVE}_True").value == "log p of the answer"


@pytest.mark.parametrize(
    ("continuation", "said"),
    [
        ("", "There is nothing after the context."),
        ("a", "Context and continuation need two tokens each"),
        ("abc " * 900, "reads at most 2,048"),
    ],
)
def test_a_continuation_that_cannot_be_read_says_so_once(page, finish, continuation, said):
    at = page.text_area(key=state.CONTINUATION).set_value(continuation).run()
    at = compare(at, finish)
    assert not at.exception and len(at.error) == 1 and said in shown(at)


def test_nothing_chosen_says_what_to_choose(page, finish):
    at = page.multiselect(key=state.METHODS).set_value([]).run()
    at = at.button(key="eviction_button").click().run()
    assert not at.exception and "Choose a method and a share kept." in shown(at)


def test_what_cannot_be_run_is_listed_with_its_reason(page, finish):
    at = page.multiselect(key=state.METHODS).set_value(["SnapKV", "key norm"])
    at = page.selectbox(key="voters").set_value("64").run()
    at = compare(at, finish)
    assert "SnapKV at 0.1" in shown(at) and "It always keeps 64 tokens" in shown(at)
    at.selectbox(key=state.METHOD).set_value("SnapKV")
    at = at.segmented_control(key=state.METHOD_KEPT).set_value("10").run()
    assert not at.exception and "SnapKV at 10%: not available. It always keeps 64 tokens" in shown(at)


def test_a_change_of_the_form_keeps_the_pictures_and_says_whose_they_are(compared):
    at = compared.multiselect(key=state.KEPT).set_value(["50", "20"]).run()
    assert not at.exception and len(at.metric) == 5
    assert "The form changed. Compare: 21 settings" in shown(at)


def test_one_method_at_one_share_is_said_in_the_singular(page, finish):
    at = page.multiselect(key=state.METHODS).set_value(["key norm"]).run()
    at = compare(at.multiselect(key=state.KEPT).set_value(["50"]).run(), finish)
    assert not at.exception and "Shown: 1 method at 1 share, evicted once." in shown(at)


def test_a_cancelled_comparison_shows_what_was_finished(page, finish, monkeypatch):
    real = sweeping.sweep_eviction

    def stops(*args, on_partial, **options):
        real(*args, on_partial=on_partial, **options)
        raise Cancelled

    monkeypatch.setattr(sweeping, "sweep_eviction", stops)
    at = compare(page, finish)
    assert not at.exception and job(at).state == "cancelled"
    assert "Cancelled. Shown is what was finished: 51 settings" in shown(at)
    assert len(at.metric) == 5


def test_cancelled_step_by_step_the_tokens_that_were_read_are_shown(page, finish, monkeypatch):
    from analysis.pruning_effects.eviction import decoding

    monkeypatch.setattr(decoding, "_SHOW_SECONDS", 0.0)

    def report(job, share, note="", real=Job.report):
        if note.startswith("token 9 "):
            raise Cancelled
        real(job, share, note)

    monkeypatch.setattr(Job, "report", report)
    at = page.segmented_control(key=state.EVICTED).set_value("step by step").run()
    at = compare(at, finish)
    assert not at.exception and job(at).state == "cancelled"
    assert "the first 9 tokens of what follows, under every setting" in shown(at)
    assert len(at.metric) == 5


def test_an_opened_file_says_that_it_has_no_model(page, finish):
    page.session_state[state.OPENED] = runs.find(request(page)).result
    at = page.run()
    assert not at.exception
    assert "KV-cache eviction: not available" in shown(at) and "no model" in shown(at)


def test_step_by_step_only_methods_that_can_are_counted(page, finish):
    assert "51 settings" in shown(page)
    at = page.segmented_control(key=state.EVICTED).set_value("step by step").run()
    assert "36 settings" in shown(at)
    assert len(job(compare(at, finish)).result.settings) == 36


def test_texts_are_read_as_in_the_run_and_the_code_says_how(open_page, finish, llama):
    from analysis.forward.trace import trace

    at = finish(open_page("pruning_effects", bos="always", special="false"))
    asked_for = request(at)
    assert (asked_for.bos, asked_for.parse_special) == ("always", False)
    at = compare(at, finish)
    asked, sweep = at.session_state[state.SWEEP], job(at).result
    assert sweep.spec.n_context == 1 + len(llama.tokenizer(asked.context)["input_ids"])
    import analysis as an

    run = runs.find(asked_for).result
    scope = {"an": an, "model": llama}
    scope["trace"] = trace(llama, run.text, bos="always", parse_special=False)
    code = asked.code(scope["trace"])
    assert "bos='always', parse_special=False" in code
    exec(code, scope)
    np.testing.assert_array_equal(scope["sweep"].kl, sweep.kl)


def test_how_much_a2sf_forgets_is_a_slider(page, finish, llama):
    from analysis.forward.trace import trace

    assert "forgetting" not in {slider.key for slider in page.slider}
    at = page.multiselect(key=state.METHODS).set_value(["A2SF", "H2O"]).run()
    at = compare(at.slider(key="forgetting").set_value(0.5).run(), finish)
    asked = at.session_state[state.SWEEP]
    assert [getattr(method, "factor", None) for method in asked.methods()] == [0.5, None]
    assert "A2SF forgets by 0.5" in shown(at)
    half = job(at).result
    import analysis as an

    scope = {"an": an, "model": llama, "trace": trace(llama, runs.find(request(at)).result.text)}
    exec(asked.code(scope["trace"]), scope)
    np.testing.assert_array_equal(scope["sweep"].kl, half.kl)
    at = compare(at.slider(key="forgetting").set_value(0.95).run(), finish)
    assert (job(at).result.kept_bits != half.kept_bits).any()


def test_sirllm_fades_between_rounds_that_a_person_names(page, finish, llama):
    from analysis.forward.trace import trace
    from analysis.pruning_effects.eviction.rounds import round_starts

    assert "rounds" not in {box.key for box in page.selectbox}
    at = page.multiselect(key=state.METHODS).set_value(["SirLLM", "SirLLM, as released", "H2O"]).run()
    assert "decay" not in {slider.key for slider in at.slider}, "one round until they are named"
    at = compare(at, finish)
    plain = job(at).result
    assert {m.round_mark for m in at.session_state[state.SWEEP].methods()[:2]} == {""}
    at = at.selectbox(key="rounds").set_value("after a blank line").run()
    at = compare(at.slider(key="decay").set_value(0.5).run(), finish)
    asked, faded = at.session_state[state.SWEEP], job(at).result
    assert [(m.decay, m.round_mark) for m in asked.methods()[:2]] == [(0.5, "\n\n")] * 2
    run = runs.find(request(at)).result
    inside = run.tokens.start < len(asked.context)
    rounds = 1 + len(round_starts(asked.context, run.tokens.start[inside], run.tokens.end[inside], "\n\n"))
    assert rounds > 1, "the example has paragraphs"
    said = f"{rounds} rounds; each new one multiplies the scores of those before by 0.5."
    assert {s.remark for s in faded.settings if s.policy.startswith("sirllm")} == {said}
    at = at.selectbox(key=state.METHOD).set_value("SirLLM").run()
    assert said in shown(at).replace("\\", "") and "SirLLM fades by 0.5 a round" in shown(at)
    own = [i for i, s in enumerate(faded.settings) if s.policy == "sirllm"]
    other = [i for i, s in enumerate(faded.settings) if s.policy == "h2o"]
    assert (faded.kept_bits[own] != plain.kept_bits[own]).any()
    np.testing.assert_array_equal(faded.kept_bits[other], plain.kept_bits[other])
    import analysis as an

    scope = {"an": an, "model": llama, "trace": trace(llama, run.text)}
    exec(asked.code(scope["trace"]), scope)
    np.testing.assert_array_equal(scope["sweep"].kl, faded.kl)


@pytest.mark.parametrize(
    "query",
    [
        {"rounds": "never said", "decay": "nan"},
        {"rounds": "at other words", "round_mark": "<b>", "decay": "-1"},
        {"rounds": "at other words", "round_mark": " ", "decay": "0"},
        {"rounds": "at other words", "round_mark": "x" * 5000},
        {"rounds": "at other words", "round_mark": "the"},
        {"rounds": "at USER:", "decay": "1e999"},
        {"rounds": "", "decay": "0.5"},
    ],
    ids=lambda q: str(q)[:60],
)
def test_odd_rounds_in_an_address_do_no_harm(query, open_page, finish):
    at = compare(finish(open_page("pruning_effects", methods="SirLLM", **query)), finish)
    assert not at.exception and not at.error
    assert all(0 <= m.decay <= 1 for m in at.session_state[state.SWEEP].methods())


@pytest.mark.parametrize("factor", ["nan", "inf", "-1", "x"])
def test_an_odd_factor_in_an_address_does_no_harm(open_page, finish, factor):
    at = finish(open_page("pruning_effects", methods="A2SF", forgetting=factor))
    assert not at.exception and 0 <= at.slider(key="forgetting").value <= 1


def test_a_method_that_deletes_nothing_is_said_to(page, finish):
    at = page.multiselect(key=state.METHODS).set_value(["TokenSelect", "key norm"]).run()
    at = compare(at, finish)
    at = at.selectbox(key=state.METHOD).set_value("TokenSelect").run()
    assert not at.exception and not at.error
    assert at.metric[0].value == "key norm"  # whatever TokenSelect loses, it frees no memory
    at = look(at, "what stays")
    assert "This method deletes nothing" in " ".join(info.value for info in at.info)


@pytest.mark.parametrize(
    "query",
    [
        {"pruning": "<b>", "pictures": "<b>"},
        {"methods": "nothing", "kept": "0"},
        {"kept": "abc", "seeds": "1e999", "after": "-1"},
        {"after": "inf", "voters": "[]", "follows": "x"},
        {"method": "nobody", "share": "3", "kv_head": "99", "damage": "x"},
    ],
    ids=str,
)
def test_odd_links_never_raise(query, open_page, finish):
    at = finish(open_page("pruning_effects", **query))
    assert not at.exception and not at.error
    at = compare(at, finish)
    assert not at.exception


def test_every_file_can_be_made(page, finish, files):
    made, tables, codes = files.figures, files.tables, files.codes
    at = compare(page, finish)
    for picture in ("what stays", "damage", "cost", "agreement"):
        at = finish(look(at, picture))
    at = at.text_input(key=state.PHRASE).set_value("cat").run()
    assert not at.exception
    assert set(made) - {"heavy.svg"} == FIGURES | {"phrase.html", "bill.svg"}
    for name, data in made.items():
        assert data[:500].decode().lower().lstrip().startswith(("<svg", "<!doctype html", "<html")), name
    sweep = job(at).result
    assert len(tables["eviction_curves"]) == len(sweep.settings) and "kl_nats" in tables["eviction_curves"]
    assert len(tables["kept_strip"]) == sweep.spec.n_context
    half = next(setting.budget for setting in sweep.settings if setting.kept == 0.5)
    assert len(tables["kept_layers"]) == half
    assert len(tables["damage_strip"]) == sweep.spec.n_continuation
    codes.pop("heavy", None)
    for code in codes.values():
        compile(code, "notebook", "exec")
        assert "an.sweep_eviction(" in code and "trace.text[:" in code


def test_the_code_of_a_card_gives_the_same_sweep(compared, llama):
    from analysis.forward.trace import trace

    asked = compared.session_state[state.SWEEP]
    found = runs.find(request(compared)).result
    import analysis as an

    scope = {"an": an, "model": llama, "trace": trace(llama, found.text)}
    exec(asked.code(found), scope)
    np.testing.assert_array_equal(scope["sweep"].kl, job(compared).result.kl)


def test_needle_horizon_and_stability(page, finish, monkeypatch):
    codes = {}
    monkeypatch.setattr(card_actions, "code_action", lambda name, code: codes.update({name: code}))
    at = finish(look(compare(page, finish), "cost"))
    assert "keys and values weigh as much as the weights at" in shown(at)
    at = look(at, "tests")
    assert at.button(key="horizon_button").disabled
    at = at.text_input(key="horizon_phrase").set_value("cat").run()
    for button in ("needle_button", "horizon_button", "stability_button"):
        at = finish(at.button(key=button).click().run())
        assert not at.exception and not at.error, button
    assert "With the full cache the model answers" in shown(at)
    assert {"needle", "horizon", "stability", "bill"} <= set(codes)
    for code in codes.values():
        compile(code, "notebook", "exec")
    at = at.text_input(key="horizon_phrase").set_value("no such words").run()
    assert "The context has no such phrase." in shown(at)


def test_the_model_writes_on_under_every_method(page, finish):
    at = look(compare(page, finish), "tests")
    at = finish(at.button(key="writing_button").click().run())
    assert not at.exception and not at.error
    said = shown(at)
    assert "**full cache**" in said and ("same text" in said or "first differs at token" in said)


def test_words_that_changed_are_marked_and_escaped():
    from app.panels.pruning_effects.eviction.writing import _difference

    marked = _difference("the cat *sat* down", "the dog *sat* [x](y)")
    assert marked.startswith("the ~~cat~~ :orange-background[dog]")
    assert "~~down~~" in marked and "\\[x\\]\\(y\\)" in marked and "\\*sat\\*" in marked


def test_step_by_step_is_another_mode_and_says_so(page, finish):
    page = page.segmented_control(key=state.EVICTED).set_value("step by step").run()
    at = finish(compare(page, finish))
    assert not at.exception
    sweep = job(at).result
    assert sweep.spec.mode == "decode" and "evicted step by step" in shown(at)


def test_decoding_is_timed_on_caches_that_are_really_smaller(page, finish):
    at = finish(look(compare(page, finish), "cost"))
    at = finish(at.button(key="times_button").click().run())
    assert not at.exception and not at.error
    frame = next(e.value for e in at.dataframe if "kv_bytes_physical" in e.value)
    assert set(frame["batch"]) == {1, 16}
    alone = frame[frame["batch"] == 1].set_index("policy")["kv_bytes_physical"].dropna()
    assert len(alone) > 2 and (alone.drop("full") < 0.5 * alone["full"]).all()  # a quarter is kept
