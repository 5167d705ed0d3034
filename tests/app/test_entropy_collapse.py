"""Entropy collapse over layers: the run's numbers, what is offered, other texts and models."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import analysis as an
from analysis.entropy_collapse.layers.checkpoints import model_shape
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.results.spectra import effective_rank, renyi_entropy
from app import state
from app.compute import requests as runs
from app.examples import EXAMPLES
from app.panels.entropy_collapse.layers import texts as collapse_texts
from app.widgets import card_actions
from tests.app.test_pages import n_charts, press_run, result, texts, unescaped
from tests.tiny_models.families import save_tiny


@pytest.fixture
def page(open_page, finish):
    return finish(open_page("entropy_collapse"))


def metrics(at):
    return {metric.label: metric.value for metric in at.metric}


def calm(at):
    """The page after a step, without an exception or an error."""
    assert not at.exception and not at.error
    return at


def look(at, of):
    """The page with curves of something else."""
    return calm(at.segmented_control(key=state.COLLAPSE_OF).set_value(of).run())


def job_of(at, name):
    jobs = runs.engine().worker._jobs
    return next(job for key, job in jobs.items() if key.startswith(name))


# The run on screen ------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_run(page):
    trace = result(calm(page))
    entropy = renyi_entropy(trace.layers.spectrum)
    found = collapse_layer([trace])
    shown = metrics(page)
    assert shown["largest drop"] == f"layer {found.candidate}"
    before, after = (float(x) for x in shown["entropy there, nats"].split(" → "))
    assert before == pytest.approx(entropy[0, found.candidate - 1], rel=0.01)
    assert after == pytest.approx(entropy[0, found.candidate], rel=0.01)
    before, _ = (float(x) for x in shown["without token 0"].split(" → "))
    assert before == pytest.approx(entropy[1, found.candidate - 1], rel=0.01)
    rank, most = shown["rank at the end"].split(" of ")
    assert float(rank) == pytest.approx(effective_rank(trace.layers.spectrum[0, -1]), rel=0.01)
    assert int(most) == min(trace.spec.n_tokens - 1, 64)
    assert f"Spectrum of layer {found.candidate}" in texts(page)
    assert "For this text there is no collapse layer" in texts(page) or "takes away" in texts(page)
    assert "largest difference" in texts(page) or any("Checks" in e.label for e in page.expander)


def test_bits_convert_and_nothing_runs_again(page, submitted):
    nats = float(metrics(page)["entropy there, nats"].split(" → ")[0])
    ran = list(submitted)
    at = calm(page.segmented_control(key=state.UNIT).set_value("bits").run())
    bits = float(metrics(at)["entropy there, bits"].split(" → ")[0])
    assert bits == pytest.approx(nats / np.log(2), rel=0.01)
    assert submitted == ran


def test_a_page_change_runs_nothing_again(open_page, finish, submitted):
    finish(open_page("token_entropy"))
    ran = [key for key in submitted if key.startswith("run/")]
    at = finish(open_page("entropy_collapse"))
    calm(at)
    assert len(ran) == 1 and [key for key in submitted if key.startswith("run/")] == ran


@pytest.mark.parametrize(
    ("quantity", "title"),
    [
        ("rank, eigenvalues", "Rank, eigenvalues of the token states"),
        ("rank, singular values", "Rank, singular values of the token states"),
        ("alpha-ReQ", "Alpha-ReQ of the token states"),
        ("curvature", "Curvature of the token states"),
    ],
)
def test_every_quantity_of_the_states_is_drawn_at_once(page, quantity, title):
    charts = n_charts(page)
    at = calm(page.selectbox(key=state.LAYER_QUANTITY).set_value(quantity).run())
    assert title in texts(at) and n_charts(at) == charts


def test_order_and_scale_reach_the_figure_and_its_code(page):
    page.select_slider(key=state.RENYI_ORDER).set_value(2.0)
    at = calm(page.selectbox(key=state.SCALE).set_value("per ln N").run())
    code = "\n".join(block.value for block in at.code)
    assert "order=2" in code and "scale='per ln N'" in code


def test_alpha_req_says_why_it_is_missing(page):
    assert "alpha-ReQ not available: it needs 100 eigenvalues" in texts(page)


def test_a_clicked_layer_is_the_one_whose_spectrum_is_drawn(page):
    other = 2 if "Spectrum of layer 1" in texts(page) else 1
    page.session_state["layers_chart"] = {"selection": {"pick": [{"layer": other}]}}
    at = calm(page.run())
    assert f"Spectrum of layer {other}" in texts(at)
    assert at.session_state[state.LAYER] == other and at.query_params[state.LAYER] == str(other)
    while at.session_state[state.LAYER]:  # a step wins over the old click
        at = calm(at.button(key="layer_left").click().run())
    assert "Spectrum of layer 0" in texts(at) and at.button(key="layer_left").disabled


def test_the_layer_chosen_elsewhere_is_the_one_drawn(open_page, finish):
    for link in ({"layer": "1"}, {"spectrum": "1"}):  # the second as links had it before
        at = calm(finish(open_page("entropy_collapse", **link)))
        assert "Spectrum of layer 1" in texts(at)
    at.session_state[state.LAYER] = 2
    assert "Spectrum of layer 2" in texts(calm(at.run()))


def test_queries_keys_and_values_are_offered_then_measured(page, finish, submitted):
    at = calm(page.selectbox(key=state.STATES).set_value("key").run())
    assert at.button(key="all_spectra_button").label == "Measure queries, keys and values"
    ran = len(submitted)
    at = calm(finish(at.button(key="all_spectra_button").click().run()))
    assert len(submitted) == ran + 1
    for kind, name in (("key", "keys"), ("query", "queries"), ("value", "values")):
        at = calm(at.selectbox(key=state.STATES).set_value(kind).run())
        assert f"Matrix entropy of the {name} over layers" in texts(at)
    assert len(submitted) == ran + 1
    at.session_state[state.LAYER] = 1
    at = calm(at.run())
    assert "Spectrum of layer 1" in texts(at) and at.button(key="layer_left").disabled
    at = calm(at.selectbox(key=state.STATES).set_value("states").run())
    assert not at.button(key="layer_left").disabled


def test_the_lens_is_offered_then_computed(dear_lens, open_page, finish):
    page = finish(open_page("entropy_collapse"))
    at = calm(page.selectbox(key=state.LAYER_QUANTITY).set_value("lens entropy").run())
    assert "Logit-lens entropy over layers" not in texts(at)
    at = calm(finish(at.button(key="collapse_lens_button").click().run()))
    assert "Logit-lens entropy over layers" in texts(at)
    assert "Spectrum of layer" in texts(at)


def test_a_measurement_that_failed_says_why_and_can_be_asked_for_again(page, finish, monkeypatch):
    from analysis.forward import trace as module

    real, problem = module._spectra_kinds, [True]

    def fails(spectra):
        if problem[0] and spectra is not True:
            raise an.AnalysisError("The device <b>went</b> away.", "Plug it in.")
        return real(spectra)

    monkeypatch.setattr(module, "_spectra_kinds", fails)
    at = page.selectbox(key=state.STATES).set_value("query").run()
    at = finish(at.button(key="all_spectra_button").click().run())
    assert not at.exception
    assert [unescaped(e.value) for e in at.error] == ["The device <b>went</b> away.  \nPlug it in."]
    problem[0] = False
    at = calm(finish(at.button(key="all_spectra_button").click().run()))
    assert "Matrix entropy of the queries over layers" in texts(at)


def test_a_text_in_windows_says_why_and_offers_nothing_that_would_not_help(open_page, finish):
    at = open_page("entropy_collapse", windows="true", stride="500")
    at = calm(finish(press_run(at, "the tin in the inn " * 600)))
    assert "Spectra of the layers: not available" in texts(at) and "windows" in texts(at)
    assert not [button for button in at.button if button.key == "all_spectra_button"]


def test_a_large_side_can_be_measured_all_the_same(open_page, finish, monkeypatch):
    monkeypatch.setattr("analysis.forward.trace.LARGEST_SIDE", 40)
    at = calm(finish(open_page("entropy_collapse")))
    assert "Spectra of the layers: not available" in texts(at) and "longer than the run" in texts(at)
    at = calm(finish(at.button(key="all_spectra_button").click().run()))
    assert "Matrix entropy of the token states over layers" in texts(at)


def test_two_tokens_are_enough_for_a_page(page, finish):
    at = calm(finish(press_run(page, "ab")))
    assert metrics(at)["rank at the end"].endswith("of 1")
    at = calm(at.select_slider(key=state.RENYI_ORDER).set_value(2.0).run())


# Many texts -------------------------------------------------------------------------------------------


def test_many_texts_are_read_once_and_judged_together(page, finish, submitted, llama):
    page = look(page, "many texts")
    assert "ollapse layer**" not in texts(page) and n_charts(page) == 2
    at = calm(finish(page.button(key="texts_button").click().run()))
    done = job_of(at, "texts/").result
    assert set(done) == set(collapse_texts._DEFAULT)
    code = an.trace(llama, EXAMPLES["code"].text, attention=False)
    np.testing.assert_allclose(done["code"].layers.matrix_entropy, code.layers.matrix_entropy, atol=1e-6)
    found = collapse_layer({"this text": result(at), **done})
    assert ("**No collapse layer**" in texts(at)) == (found.layer is None)
    if found.layer is None:
        assert found.reason in texts(at)
    assert f"{len(done) + 1} texts of" in unescaped(texts(at))
    ran = len(submitted)
    at = calm(at.segmented_control(key=state.UNIT).set_value("bits").run())
    assert len(submitted) == ran and n_charts(at) == 2


def test_no_other_text_cannot_be_compared(page):
    at = calm(look(page, "many texts").multiselect(key=state.COMPARE_TEXTS).set_value([]).run())
    assert at.button(key="texts_button").disabled


# Other models -----------------------------------------------------------------------------------------


def test_the_untrained_twin(page, finish, llama):
    at = calm(finish(look(page, "other models").button(key="models_button").click().run()))
    mine, twin = job_of(at, "models/").result
    assert twin.name == "untrained twin" and mine.n_tokens == twin.n_tokens
    assert mine.erank == pytest.approx(model_shape(result(at)).erank)
    expected = model_shape(an.trace(an.untrained_twin(llama), result(at).text, attention=False))
    assert twin.erank == pytest.approx(expected.erank, rel=1e-5)
    assert "Diff-eRank **" in texts(at) and "Over this text alone" in texts(at)
    at = calm(at.toggle(key="models_without_first").set_value(True).run())
    assert "Diff-eRank **" in texts(at)


def test_other_models(page, finish, tiny_folder):
    at = look(page, "other models").selectbox(key=state.COMPARE_MODELS).set_value("other models").run()
    at = calm(at.button(key="models_button").click().run())
    assert "Name at least one model." in texts(at)
    at = calm(at.text_area(key="other_models").set_value("a/b\n" * 13).run())
    assert "At most 12 models at a time." in texts(at) and at.button(key="models_button").disabled
    folders = [str(tiny_folder("qwen3")), str(tiny_folder("gpt2"))]
    at = at.text_area(key="other_models").set_value("\n".join([*folders, ""])).run()
    at = calm(finish(at.button(key="models_button").click().run()))
    names = [shape.name for shape in job_of(at, "models/").result]
    assert len(set(names)) == 3 and names[0].endswith(", on screen")
    assert "Diff-eRank **" not in texts(at) and "Matrix entropy of several models" in texts(at)


@pytest.mark.parametrize("where", ["/no/such/folder", "~nobody-of-that-name/x", "y" * 3000, "/dev/null"])
def test_a_wrong_folder_is_one_sentence(page, finish, where):
    at = look(page, "other models").selectbox(key=state.COMPARE_MODELS).set_value("checkpoints").run()
    at = at.text_input(key="checkpoint_folder").set_value(where).run()
    at = finish(at.button(key="models_button").click().run())
    assert not at.exception and len(at.error) == 1
    said = unescaped(at.error[0].value)
    assert "folder" in said and "report it" not in said


def test_checkpoints_give_a_training_axis(page, finish, tmp_path):
    for step in (10, 250):
        save_tiny("llama", tmp_path / f"checkpoint-{step}", seed=step)
    at = look(page, "other models").selectbox(key=state.COMPARE_MODELS).set_value("checkpoints").run()
    at = calm(at.button(key="models_button").click().run())
    assert "Name a folder." in texts(at)
    at = at.text_input(key="checkpoint_folder").set_value(str(tmp_path)).run()
    at = calm(finish(at.button(key="models_button").click().run()))
    assert [shape.step for shape in job_of(at, "models/").result] == [10, 250]
    slider = at.select_slider(key=state.CHECKPOINT)
    assert slider.options == ["step 10", "step 250"] and slider.value == "step 250"
    assert "Effective rank of the final states over training steps" in texts(at)
    assert "fewer than four checkpoints. Rows are the tokens of this one text; RankMe" in texts(at)
    calm(at.select_slider(key=state.CHECKPOINT).set_value("step 10").run())


def test_a_checkpoint_that_cannot_be_read_is_named(page, finish, tmp_path):
    for step in (10, 250):
        save_tiny("llama", tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-250" / "model.safetensors").write_bytes(b"cut off")
    at = look(page, "other models").selectbox(key=state.COMPARE_MODELS).set_value("checkpoints").run()
    at = at.text_input(key="checkpoint_folder").set_value(str(tmp_path)).run()
    at = finish(at.button(key="models_button").click().run())
    assert not at.exception and len(at.error) == 1
    assert unescaped(at.error[0].value).startswith("step 250: ")


# Opened files and links -------------------------------------------------------------------------------


def test_an_opened_run_without_spectra_says_so(open_page, finish, llama):
    at = finish(open_page("entropy_collapse"))
    at.session_state[state.OPENED] = an.trace(llama, "A run from another machine.", spectra=False)
    at = calm(at.run())
    assert "Spectra of the layers: not available" in texts(at)
    assert not [button for button in at.button if button.key == "all_spectra_button"]


def test_an_opened_run_has_no_model(open_page, finish, llama, tmp_path):
    at = finish(open_page("entropy_collapse"))
    run = an.trace(llama, "A run from another machine, " * 3)
    older = replace(run, spec=replace(run.spec, hidden_size=0))
    at.session_state[state.OPENED] = an.load_trace(older.save(tmp_path / "run.trace"))
    at = calm(at.run())
    assert "Matrix entropy of the token states over layers" in texts(at)
    assert "Many texts: not available" in texts(look(at, "many texts"))
    assert "Other models: not available" in texts(look(at, "other models"))
    at = look(at, "this text")
    at = calm(at.selectbox(key=state.STATES).set_value("value").run())
    assert "Spectra of the value states: not available" in texts(at)
    at = calm(at.selectbox(key=state.LAYER_QUANTITY).set_value("lens entropy").run())
    assert "Logit-lens entropy: not available" in unescaped(texts(at))


@pytest.mark.parametrize(
    "query",
    [
        {"view": "over the moon", "of": "<b>", "layer": "1e999"},
        {"view": "__class__", "quantity": "<script>"},
        {"quantity": "entropy", "states": "residual", "scale": "per ln 0"},
        {"quantity": "curvature", "states": "key"},
        {"scale": "NaN", "order": "inf", "spectrum": "-1e999"},
        {"models": "../../etc", "texts": "[]", "checkpoint": "x"},
        {"models": "checkpoints", "checkpoint_folder": "/etc"},
        {"models": "other models", "other_models": "org/name"},
        {"lens_step": "inf", "quantity": "lens entropy"},
    ],
    ids=lambda q: "&".join(f"{k}={v}" for k, v in q.items()),
)
def test_odd_links_never_raise_and_start_nothing_else(query, open_page, finish, loads, submitted):
    at = calm(finish(open_page("entropy_collapse", **query)))
    assert n_charts(at) >= 1 or query.get("quantity") == "lens entropy"
    assert {spec.kind for spec in loads} == {"embedded"}
    assert len([key for key in submitted if not key.startswith(("run/", "estimate/"))]) == 0


def test_a_link_restores_the_view(open_page, finish):
    at = calm(
        finish(open_page("entropy_collapse", quantity="rank, eigenvalues", unit="bits", view="over layers"))
    )
    assert at.session_state[state.LAYER_QUANTITY] == "rank, eigenvalues"
    assert "Rank, eigenvalues of the token states over layers" in texts(at)


# Files ------------------------------------------------------------------------------------------------


def test_every_file_of_the_page_can_be_made(page, finish, files, tmp_path):
    made, tables = files.figures, files.tables
    for step in (10, 250):
        save_tiny("llama", tmp_path / f"checkpoint-{step}", seed=step)
    at = look(page, "other models").selectbox(key=state.COMPARE_MODELS).set_value("checkpoints").run()
    at = at.text_input(key="checkpoint_folder").set_value(str(tmp_path)).run()
    at = finish(at.button(key="models_button").click().run())
    at = look(at, "many texts")
    look(finish(at.button(key="texts_button").click().run()), "this text")
    assert set(made) == {
        f"{name}.svg" for name in ("layers", "spectrum", "texts", "drops", "models", "ranks")
    }
    assert all(data.startswith(b"<svg") for data in made.values())
    assert set(tables) == {"layers", "spectrum", "texts", "drops", "models", "ranks"}
    for table in tables.values():
        again = pd.read_parquet(io.BytesIO(card_actions._parquet(table)))
        pd.testing.assert_frame_equal(again, table)
