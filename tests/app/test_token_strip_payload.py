"""The payload of the token strip, and who decides what is selected."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.drawing.labels import SIGNS
from analysis.drawing.strip import MARKED
from analysis.drawing.strip_payload import pack, text_identity
from app.widgets.token_strip import Selection, resolve
from tests.counting import calls
from tests.figures.synthetic import strip_of
from tests.patience import PATIENCE


def unpack(payload: bytes) -> dict[str, Any]:
    """Read a payload the way the browser does."""
    (length,) = struct.unpack_from("<I", payload)
    out: dict[str, Any] = json.loads(payload[4 : 4 + length])
    at = 4 + length

    def take(kind: str, count: int) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(payload, kind, count, at)
        at += array.nbytes
        return array

    def texts(count: int) -> list[str]:
        nonlocal at
        offsets = take("<u4", count + 1)
        block = payload[at : at + int(offsets[-1])]
        at += int(offsets[-1])
        return [block[a:b].decode() for a, b in pairwise(offsets)]

    n = out["n"]
    out["values"], out["cell"], out["flags"] = take("<f4", n), take("<i4", n), take("u1", n)
    out["light"], out["dark"] = take("u1", 768).reshape(256, 3), take("u1", 768).reshape(256, 3)
    out["cell_text"] = texts(out["cells"])
    out["detail_text"] = texts(n) if out["details"] else []
    assert at == len(payload), "nothing may be left over"
    return out


def test_payload_round_trip() -> None:
    flags = np.array([0, MARKED, 0, 4], "u1")
    values = np.array([np.nan, 1.5, -2, np.inf], "f4")
    strip = strip_of(
        [" a", "語", "\n"],
        [0, 1, 1, 2],
        flags=flags,
        values=values,
        details=("d0", "ü", "", "d3"),
        buckets=("x",),
    )
    read = unpack(pack(strip, 2, revision=4, height=300, key="k"))
    np.testing.assert_array_equal(read["values"], values)
    np.testing.assert_array_equal(read["cell"], strip.cell)
    np.testing.assert_array_equal(read["flags"], flags)
    np.testing.assert_array_equal(read["light"], strip.light)
    np.testing.assert_array_equal(read["dark"], strip.dark)
    assert read["cell_text"] == list(strip.cell_text)
    assert read["detail_text"] == list(strip.details)
    assert (read["selected"], read["revision"], read["height"], read["key"]) == (2, 4, 300, "k")
    assert read["buckets"] == ["x"]


def test_payload_of_an_empty_text() -> None:
    read = unpack(pack(strip_of([]), 0))
    assert (read["n"], read["cell_text"], read["selected"]) == (0, [], None)


def test_lone_surrogates_are_replaced() -> None:
    read = unpack(pack(strip_of(["a\ud800b"], title="t\udfff")))
    assert read["cell_text"] == ["a?b"]


def test_texts_and_numbers_come_ready_to_be_drawn() -> None:
    strip = strip_of(["a\u200b", " b\n", ""], low=-1234.5, high=1234.5, unit="bits")
    read = unpack(pack(strip))
    assert read["cell_text"] == ["a‹U+200B›", " b\n", ""]
    assert read["signs"] == SIGNS and re.findall(read["odd"], "a‹U+200B› b") == ["‹U+200B›", " "]
    assert read["ends"] == ["−1\u2009230", "+1\u2009230 bits"] and read["digits"] == 6
    assert read["special"] == "special token"


def test_a_payload_is_a_few_bytes_a_token() -> None:
    """Value, cell and flag (9), a place and the letters of the text; what never changes is under 3 kB."""
    texts = [f" w{i % 500}" for i in range(32_768)]
    letters = len("".join(texts))
    assert len(pack(strip_of(texts))) < 13 * 32_768 + letters + 3000


def test_same_strip_same_bytes_and_other_selection_same_text() -> None:
    one, two = strip_of(["a", "b"]), strip_of(["a", "b"])
    assert pack(one, 1) == pack(two, 1)
    assert pack(one, 1) != pack(one, 0)
    assert text_identity(one) == text_identity(replace(one, high=9.0, values=one.values + 1))
    assert text_identity(one) != text_identity(strip_of(["ab", ""]))
    assert text_identity(one) != text_identity(strip_of(["a", "b"], [0, 0]))


def test_header_stays_valid_json_for_a_scale_without_bounds() -> None:
    read = unpack(pack(strip_of(["a"], low=float("nan"), high=float("inf"))))
    assert (read["low"], read["high"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flags": np.zeros(3, "u1")},
        {"details": ("one",)},
        {"cell": np.array([1, 0], "i4")},
        {"cell": np.array([0, 2], "i4")},
        {"cell": np.array([-1, 0], "i4")},
        {"light": np.zeros((255, 3), "u1")},
    ],
)
def test_inconsistent_strips_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        pack(replace(strip_of(["a", "b"]), **wrong))


def test_packing_makes_a_few_calls_per_token() -> None:
    strip = strip_of([f" w{i % 500}" for i in range(32_768)])
    assert calls(lambda: pack(strip)) < 6 * 32_768


# ---------------------------------------------------------------- selection


def run(*steps: tuple[Any, int | None]) -> list[Selection]:
    """States after runs with (browser answer, ``selected`` argument) on one text of 50 tokens."""
    states, state = [], Selection()
    for raw, selected in steps:
        state = resolve(state, raw, selected, "text", 50)
        states.append(state)
    return states


def test_first_selection_comes_from_python() -> None:
    (state,) = run((None, 3))
    assert (state.current, state.sent, state.revision) == (3, 3, 0)


def test_a_pick_wins_over_an_unchanged_argument_and_is_not_sent_back() -> None:
    states = run((None, 3), ([7, 0], 3), ([7, 0], 3), ([7, 0], 7))
    assert [s.current for s in states] == [3, 7, 7, 7]
    assert {(s.sent, s.revision) for s in states} == {(3, 0)}


def test_python_can_move_the_selection_and_old_answers_are_stale() -> None:
    states = run((None, None), ([7, 0], None), ([7, 0], 9), ([7, 0], 9), ([7, 1], 9))
    assert [s.current for s in states] == [None, 7, 9, 9, 7]
    assert [s.revision for s in states] == [0, 0, 1, 1, 1]


def test_an_argument_that_lags_behind_fast_keys_does_not_pull_back() -> None:
    states = run((None, None), ([5, 0], None), ([6, 0], 5), ([8, 0], 6), ([8, 0], 8))
    assert [s.current for s in states] == [None, 5, 6, 8, 8]
    assert states[-1].revision == 0


def test_selection_survives_a_visit_to_another_page() -> None:
    states = run((None, None), ([5, 0], None), (None, None), ([6, 1], None))
    assert [s.current for s in states] == [None, 5, 5, 6]
    assert (states[2].sent, states[2].revision) == (5, 1)


def test_a_new_text_drops_the_old_selection() -> None:
    (*_, old) = run((None, None), ([40, 0], None))
    new = resolve(old, [40, 0], None, "other text", 20)
    assert (new.current, new.revision) == (None, 1)
    assert resolve(new, [40, 0], None, "other text", 20).current is None
    assert resolve(new, [11, 1], None, "other text", 20).current == 11


@pytest.mark.parametrize("raw", [[50, 0], [-1, 0], ["x", 0], [True, 0], [1], {"a": 1}, "5", 2.5, [3, 9]])
def test_nonsense_from_the_browser_selects_nothing(raw: Any) -> None:
    assert run((None, None), (raw, None))[-1].current is None


def test_out_of_range_wishes_are_ignored() -> None:
    assert run((None, 50))[0].current is None
    assert run((None, 3), (None, -1))[-1].current == 3


# ---------------------------------------------------------------- mounted


def _page() -> None:
    import numpy as np
    import streamlit as st

    from analysis.drawing.strip import Strip
    from analysis.drawing.theme import amount_ramp
    from app.widgets.token_strip import token_strip

    ramp = amount_ramp("token_entropy", "light")
    strip = Strip(
        title="t",
        unit="",
        values=np.arange(4, dtype="f4"),
        cell=np.arange(4, dtype="i4"),
        cell_text=("a", "b", "c", "d"),
        flags=np.zeros(4, "u1"),
        low=0,
        high=1,
        light=ramp,
        dark=ramp,
    )
    st.text(str(token_strip(strip, key="strip", selected=st.session_state.get("wish"))))


def test_mounted_strip_returns_the_pick_and_keeps_its_payload() -> None:
    at = AppTest.from_function(_page, default_timeout=PATIENCE).run()
    assert not at.exception
    assert at.text[0].value == "None"
    payload = at.get("bidi_component")[0].proto.bytes
    assert unpack(payload)["cell_text"] == ["a", "b", "c", "d"]
    at.session_state["strip"] = {"token": [2, 0]}
    at.run()
    assert at.text[0].value == "2"
    assert at.get("bidi_component")[0].proto.bytes == payload
    at.session_state["wish"] = 1
    at.run()
    assert at.text[0].value == "1"
    assert unpack(at.get("bidi_component")[0].proto.bytes)["selected"] == 1


def test_a_test_may_set_a_plain_token_number() -> None:
    at = AppTest.from_function(_page, default_timeout=PATIENCE)
    at.session_state["strip"] = {"token": 3}
    assert at.run().text[0].value == "3"
