"""Mounts token strips for the browser test; ``?case=`` chooses the text."""

import numpy as np
import streamlit as st

from analysis.drawing.strip import MARKED, SPAN, SPECIAL, Strip
from analysis.drawing.theme import amount_ramp, signed_ramp
from app.widgets.token_strip import token_strip

STORY = (
    "<|im_start|>¦Ad¦a¦ opened¦ the¦ drawer¦ and¦ counted¦ the¦ coins¦ twice¦.¦ There¦ were¦ eleven¦,¦ which¦ was"
    "¦ odd¦,¦ because¦ last¦ night¦ there¦ had¦ been¦ twelve¦.¦ She¦ looked¦ at¦ the¦ window¦,¦ then¦ at¦ the¦ cat¦,"
    "¦ then¦ at¦ the¦ window¦ again¦.¦ The¦ cat¦ looked¦ at¦ nothing¦ in¦ particular¦,¦ the¦ way¦ cats¦ do¦ when"
    "¦ they¦ know¦ exactly¦ what¦ happened¦.¦\n\n¦def¦ missing¦(¦coins¦,¦ expected¦=¦12¦):¦\n¦\t¦   ¦ return"
    "¦ expected¦ -¦ len¦(¦coins¦)¦\r\n¦\n¦語¦é¦🧑‍🚀¦日本¦語¦ שלום¦ a\u200bb¦\x00¦\u202e¦\u0301"
)
HOSTILE = (
    "<img src=x onerror=document.title='owned'>¦![](https://evil.example/x.png)¦</script><script>alert(1)</script>"
    "¦<iframe src=https://evil.example>¦'\"><b>bold</b>¦javascript:alert(1)"
)


def make(texts: list[str], *, parts: dict[str, int] | None = None, **more: object) -> Strip:
    cell = np.repeat(np.arange(len(texts)), [(parts or {}).get(t, 1) for t in texts]).astype("i4")
    n = len(cell)
    values = np.abs(np.random.default_rng(3).normal(2.4, 2.0, n)).clip(0, 7).astype("f4")
    flags = np.zeros(n, "u1")
    values[:2], flags[0] = np.nan, SPECIAL
    flags[(values > 5.2)] |= MARKED
    flags[30:44] |= SPAN
    base = {
        "title": "Entropy before each token",
        "unit": "nats",
        "values": values,
        "cell": cell,
        "cell_text": tuple(texts),
        "flags": flags,
        "low": 0.0,
        "high": 7.0,
        "light": amount_ramp("token_entropy", "light"),
        "dark": amount_ramp("token_entropy", "dark"),
        "marked": "forking token",
        "span": "high-entropy window",
    }
    return Strip(**{**base, **more})  # type: ignore[arg-type]


st.set_page_config(page_title="strip demo", page_icon="🔬", layout="wide")
case = st.query_params.get("case", "story")
story = make(STORY.split("¦"), parts={"語": 3, "é": 2, "🧑‍🚀": 4})
if case == "story":
    wanted = st.number_input("wanted", value=None, step=1, min_value=0)
    recolour = st.checkbox("recolour")
    if recolour:
        signed = {"low": -7.0, "light": signed_ramp("light"), "dark": signed_ramp("dark")}
        story = Strip(
            **{
                **story.__dict__,
                **signed,
                "values": story.values * np.where(np.arange(len(story.values)) % 2, 1, -1),
            }
        )
    with st.container(border=True):
        picked = token_strip(story, key="story", selected=wanted)
elif case == "buckets":
    names = ("first choice", "top 10", "top 100", "beyond")
    ranks = (np.arange(story.n_tokens) * 7 % 4).astype("f4")
    more = {"buckets": names, "values": ranks, "details": tuple(f"rank {int(r)}" for r in ranks)}
    picked = token_strip(Strip(**{**story.__dict__, **more}), key="buckets", selected=3, height=200)
elif case == "tab":
    first, second = st.tabs(["first", "second"])
    first.text("nothing here")
    with second:
        picked = token_strip(story, key="tab")
elif case == "hostile":
    picked = token_strip(make(HOSTILE.split("¦")), key="hostile")
elif case == "narrow":
    picked = token_strip(
        make(["a", " " * 700, "b", "x" * 400, "日本語" * 90, "\n\n\n", "", "end"]), key="narrow"
    )
else:
    picked = None
    if st.button("show"):
        st.session_state.shown = True
    if st.session_state.get("shown"):
        words = (STORY.split("¦")[1:60] * 600)[:32_768]
        picked = token_strip(make(words), key="long", height=600)
st.text(f"picked: {picked}")
