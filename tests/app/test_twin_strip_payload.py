"""The payload of two strips, token under token."""

from __future__ import annotations

import struct

import numpy as np

from analysis.comparison.strips import twin_strip
from analysis.comparison.twin_payload import pack_twin, twin_identity
from tests.app.test_token_strip_payload import unpack
from tests.comparisons import made_comparison


def parts(payload: bytes):
    n_a, n_b = struct.unpack_from("<II", payload)
    return (
        unpack(payload[8 : 8 + n_a]),
        unpack(payload[8 + n_a : 8 + n_a + n_b]),
        unpack(payload[8 + n_a + n_b :]),
    )


def test_three_strips_of_the_same_items():
    twin = twin_strip(made_comparison(6, ahead=2))
    a, b, change = parts(pack_twin(twin, 3, revision=2, room=9, key="x"))
    assert (
        a["n"] == b["n"] == change["n"] == 8 and a["selected"] == 3 and a["revision"] == 2 and a["room"] == 9
    )
    np.testing.assert_array_equal(a["values"], twin.a.values)
    np.testing.assert_array_equal(change["values"], twin.change.values)
    assert b["cell_text"][2:] == [text for text in a["cell_text"][2:]] and a["cell_text"][:2] == ["", ""]
    assert change["detail_text"] == list(twin.change.details) and not a["detail_text"]


def test_another_text_on_either_side_is_another_text():
    twin = twin_strip(made_comparison(6))
    assert twin_identity(twin) == twin_identity(twin_strip(made_comparison(6), "jsd"))
    assert twin_identity(twin) != twin_identity(twin_strip(made_comparison(6, seed=1)))
    assert parts(pack_twin(twin))[0]["text_id"] == twin_identity(twin)
