"""Mounts maps of cells for the browser test; ``?case=`` chooses which."""

import numpy as np
import streamlit as st

from analysis.drawing.cells import CellAxis, Cells
from analysis.drawing.theme import amount_ramp
from app.widgets.cell_map import cell_map

st.set_page_config(page_title="map demo", page_icon="🔬", layout="wide")
case = st.query_params.get("case", "heads")
COLOURS = {"light": amount_ramp("attention_sinks", "light"), "dark": amount_ramp("attention_sinks", "dark")}
rng = np.random.default_rng(3)


def amounts(n_rows: int, n_columns: int) -> np.ndarray:
    return rng.uniform(0, 1, (n_rows, n_columns)).astype("f4") ** 3


if case == "heads":
    wanted = st.number_input("wanted", value=None, step=1, min_value=0)
    heads, layers = CellAxis.numbered("head", range(9)), CellAxis.numbered("layer", range(30))
    values = amounts(9, 30)
    values[:, 4] = np.nan
    picked = cell_map(
        Cells("attention on token 0", "", values, heads, layers, 0.0, 1.0, **COLOURS, missing="no attention"),
        key="heads",
        selected=None if wanted is None else (2, wanted),
    )
elif case == "words":
    words = ("<img src=x onerror=document.title='owned'>", " the", "\n", "語", "", " strawberries")
    tokens = CellAxis("token", tuple(str(i) for i in range(12)), tuple(f"token {i} ‮" for i in range(12)))
    frames = np.zeros((6, 12), bool)
    frames[2, 3:9] = True
    picked = cell_map(
        Cells(
            "entropy", "nats", 7 * amounts(6, 12), CellAxis.numbered("layer", range(6)), tokens, 0.0, 7.0,
            **COLOURS, texts=words * 12, outlined=frames, outlined_name="same as the output",
        ),
        key="words",
        outline="column",
    )  # fmt: skip
else:
    side = int(st.query_params.get("side", "2048"))
    values = amounts(side, side)
    values[:, 0] = 1
    values[np.triu_indices(side, 1)] = np.nan
    queries, keys = CellAxis.numbered("query", range(side)), CellAxis.numbered("key", range(side))
    picked = cell_map(
        Cells("weight", "", values, queries, keys, 0.0, 1.0, **COLOURS),
        key="large",
        outline="row",
        aspect=1.3,
    )
st.text(f"picked: {picked}")
