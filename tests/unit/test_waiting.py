"""A pass on a GPU is not waited for: how often it asks for a number does not depend on layers, blocks or rows.

Counted on the CPU, where asking for a number is the same call and costs nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from analysis.forward import attention
from analysis.forward.body_pass import run_pass
from analysis.forward.fetch import fetch
from analysis.forward.recorder import Recorder
from analysis.forward.row_check import RowCheck
from analysis.forward.visibility import Visibility
from tests.tiny_models.families import tiny_model
from tests.tiny_models.unusual import language_model

WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2"}
"""Operators that need a number from the device."""
MOVING = {"cpu", "cuda", "numpy", "tolist", "item", "tensor", "as_tensor", "from_numpy", "pin_memory"}
"""Functions that move numbers between Python and a tensor."""


class Operators(TorchDispatchMode):
    """Counts operators that wait."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.found[name] += name in WAITING
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    """Counts functions that move numbers, ``.to`` with a device among them."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = getattr(func, "__name__", ""), (*args[1:], *(kwargs or {}).values())
        moves = name == "to" and any(isinstance(x, (str, torch.device)) for x in given)
        self.found[name] += moves or name in MOVING
        return func(*args, **(kwargs or {}))


def counted(work):
    """What a piece of work asks for and moves."""
    found = Counter()
    with Operators(found), Functions(found):
        work()
    return +found


def asked(model, n_tokens, visibility=None, *, measured=True):
    """What one pass asks for, its row check and its result included."""
    ids = torch.arange(n_tokens) % 290
    layers = tuple(range(model.info.n_layers))

    def work():
        recorder = Recorder(layers, visibility, check=check) if measured else None
        run_pass(model, ids, [], lambda _layer: None, recorder)
        if measured:
            recorder.result()
            assert recorder.row_error < 1e-5 and check.passed()

    with torch.inference_mode():
        check = RowCheck(model, ids) if measured else None
        return counted(work)


def hiding(n_layers, n_tokens):
    hidden = np.zeros((n_layers, 2, n_tokens), bool)
    hidden[:, 0, 3] = True
    return Visibility(hidden=hidden, window=n_tokens // 2, n_sink=1, silenced=frozenset({(1, 0)}))


@pytest.mark.parametrize("kind", ["plain", "measured", "keys hidden"])
def test_a_pass_asks_no_more_for_more_layers_or_blocks(kind, monkeypatch):
    measured, found = kind != "plain", []
    for n_layers, n_tokens, block in ((2, 70, 4 << 20), (5, 70, 4 << 20), (2, 330, 4 << 20), (2, 330, 1)):
        monkeypatch.setattr(attention, "block_bytes", lambda _device, size=block: size)
        model = language_model(tiny_model("llama", num_hidden_layers=n_layers))
        visibility = hiding(n_layers, n_tokens) if kind == "keys hidden" else None
        asked(model, n_tokens, measured=measured)  # what happens once a model
        found.append(asked(model, n_tokens, visibility, measured=measured))
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss", "smollm3", "gpt2"])
def test_measuring_adds_no_waiting_that_grows(family):
    """Windows, soft caps and learned sinks: what masks are like is asked once a kind of mask."""
    model = language_model(tiny_model(family))
    asked(model, 70)
    more = asked(model, 330) - asked(model, 330, measured=False)
    waits = sum(count for name, count in more.items() if name in WAITING)
    assert more == asked(model, 70) - asked(model, 70, measured=False)
    assert waits <= 3 + 3, more  # spans of three masks, and three answers when the pass is over


def test_the_count_sees_what_waits():
    """Each of them once."""
    x = torch.arange(3.0)
    found = counted(lambda: (float(x[1]), bool(x[1] > 0), x.tolist(), x.nonzero(), x.to("cpu"), x.cpu()))
    assert {"_local_scalar_dense", "nonzero", "tolist", "to", "cpu"} <= set(found), found


def test_fetched_arrays_are_the_tensors():
    one, other = torch.arange(6.0).view(2, 3), torch.tensor(4)
    got = fetch({"one": one, "other": other})
    np.testing.assert_array_equal(got["one"], [[0, 1, 2], [3, 4, 5]])
    assert got["one"].dtype == np.float32 and got["other"].shape == () and got["other"] == 4
