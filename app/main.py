"""Entry script: the router. Start it with ``python -m app``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` only knows this file's own folder
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app.navigation import build_pages  # noqa: E402
from app.sidebar import sidebar  # noqa: E402
from app.style import draw_style  # noqa: E402
from app.widgets.keys_and_theme import keys_and_theme  # noqa: E402
from app.widgets.pressed import forget_pressed  # noqa: E402

# A picture file and not a :material: icon, which the browser would fetch from outside.
st.set_page_config(
    page_title="Logitscope",
    page_icon=str(ROOT / "app" / "icon.png"),
    layout="wide",
    initial_sidebar_state=200,
)
draw_style()
current = st.navigation(build_pages())
keys_and_theme()
sidebar()
current.run()
forget_pressed()
