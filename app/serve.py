"""Streamlit's own command, with what the first page and the first run need imported while a browser opens."""

from __future__ import annotations

import runpy

from app.compute import libraries

if __name__ == "__main__":
    libraries.import_ahead()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
