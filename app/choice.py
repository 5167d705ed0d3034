"""A choice of one that stands in the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st


def choose(
    label: str, options: Sequence[Any], *, key: str, place: Any = st, titled: bool = True, **more: Any
) -> Any:
    """Draw options beside each other; always one of them is chosen.

    Parameters
    ----------
    label : str
        What is chosen.
    options : sequence
        At least one.
    key : str
        Of :mod:`app.state`, in the session and in the address.
    place : container, optional
        Where to draw.
    titled : bool, default True
        Whether the label is seen.
    **more
        As for :func:`streamlit.segmented_control`, such as ``default``: the first option otherwise.
    """
    more = {"default": options[0], "label_visibility": "visible" if titled else "collapsed"} | more
    return place.segmented_control(label, options, required=True, key=key, bind="query-params", **more)


def chosen(options: Sequence[Any], key: str) -> Any:
    """What a control of this key shows that is drawn only later: the session's value, else the address's, else the first.

    For a title that names the choice above its control.
    """
    value = st.session_state.get(key, st.query_params.get(key))
    return value if value in options else options[0]
