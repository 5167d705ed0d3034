"""The page of repeated tokens."""

from __future__ import annotations

import numpy as np
import pytest

from app import state
from app.compute import requests as runs


def test_the_table_is_that_of_the_run(open_page, finish):
    at = finish(open_page("repeated_tokens"))
    tokens = runs.find(at.session_state[state.RUN]).result.tokens
    shown = at.dataframe[0].value
    row = shown.iloc[0]
    places = np.flatnonzero(np.array(tokens.text) == row["token"])
    assert row["times"] == len(places)
    assert row["later_nats"] == pytest.approx(float(tokens.surprisal[places[1:]].mean()), rel=1e-6)
