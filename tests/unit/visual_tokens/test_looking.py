"""What rows after an image say, from queries and keys whose attention is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_adapter import AttentionCall
from analysis.forward.visibility import CAUSAL
from analysis.visual_tokens.looking import LookingRecorder, Places
from analysis.visual_tokens.measures import modality_balance

N, S = 20, 27
"""Position 0, the image at 1 to 20, a newline at 21, five of a question."""
PLACES = Places(torch.arange(1, N + 1), torch.tensor([N + 1]), torch.tensor([0, *range(N + 2, S)]), S)


def call(scores: torch.Tensor, mask: torch.Tensor | None = None, **more: object) -> AttentionCall:
    """One layer's call whose scores, (m, keys), are the same in both heads."""
    n_keys = scores.shape[1]
    query = scores[None, None].repeat(1, 2, 1, 1)
    key = torch.eye(n_keys)[None, None].repeat(1, 2, 1, 1)
    module = SimpleNamespace(is_causal=True)
    fields = {
        "scale": 1.0,
        "softcap": None,
        "sink_logits": None,
        "span": CAUSAL,
        "mask": mask,
        "keywords": {},
    }
    return AttentionCall(0, module, query, key, torch.rand(1, 2, n_keys, n_keys), **fields | more)


@pytest.mark.parametrize(("rows", "sink"), [(5, True), (3, True), (2, False)])
def test_a_sink_gets_ten_even_shares_in_half_of_the_rows(rows, sink):
    """Visual token 3, at position 4, gets e^4 / (e^4 + 19) = 0.74 of the image's part in some of the rows."""
    scores = torch.zeros(S, S)
    scores[S - rows :, 4] = 4.0
    recorder = LookingRecorder(PLACES, 1)
    recorder.attend(call(scores))
    found = recorder.looking(1)
    assert np.flatnonzero(found.attended[0]).tolist() == ([3] if sink else [])
    expected = [np.exp(scores[i, : i + 1].numpy()) for i in range(S - 5, S)]
    expected = np.mean([row[1 : N + 1] / row.sum() for row in expected], 0)
    np.testing.assert_allclose(found.received[0], expected, rtol=1e-5)
    assert all(check.passed for check in recorder.checks())


def test_a_row_is_the_prompts_last_and_then_each_steps():
    """The second layer call reads one token, of which a window has left the last ten keys."""
    generator = torch.Generator().manual_seed(0)
    scores, step = torch.randn(S, S, generator=generator), torch.randn(1, 10, generator=generator)
    recorder = LookingRecorder(PLACES, 1)
    recorder.attend(call(scores))
    recorder.attend(call(step))
    found = recorder.looking(2)
    row = torch.softmax(scores[-1], 0).numpy()
    np.testing.assert_allclose(found.mean[0, 0], row[1 : N + 1], rtol=1e-5)
    np.testing.assert_allclose(found.share_first[0, 0], row[[0, 0]], rtol=1e-5)
    np.testing.assert_allclose(found.share_newlines[0, 0], row[[N + 1, N + 1]], rtol=1e-5)
    np.testing.assert_allclose(found.share_text[0, 0].sum() / 2, row[[0, *range(N + 2, S)]].sum(), rtol=1e-5)
    share = row[1 : N + 1] / row[1 : N + 1].sum()
    np.testing.assert_allclose(found.entropy[0, 0], -(share * np.log(share)).sum().repeat(2), rtol=1e-5)
    late = torch.softmax(step[0], 0).numpy()  # positions 18 to 27
    np.testing.assert_allclose(found.mean[1, 0], [*np.zeros(17), *late[:3]], rtol=1e-5)
    assert (found.share_first[1] == 0).all()
    keys = [0, 1, 2, 4, 5, 6, 7, 8, 9]  # the newline left out
    expected = modality_balance(late[None, keys], np.array([True] * 3 + [False] * 6))
    np.testing.assert_allclose((found.mdi[1, 0], found.aei[1, 0]), expected, rtol=1e-5)
    np.testing.assert_allclose(found.mdi_without_first[1, 0], expected[0], rtol=1e-5)


@pytest.mark.parametrize("additive", [False, True])
def test_a_mask_is_honoured(additive):
    """The last row may not see visual token 7; a mask that is added says the same as one of truth values."""
    seen = torch.ones(S, S, dtype=torch.bool).tril()
    seen[-1, 8] = False
    mask = torch.zeros(S, S).masked_fill_(~seen, torch.finfo(torch.float32).min) if additive else seen
    recorder = LookingRecorder(PLACES, 1)
    recorder.attend(call(torch.zeros(S, S), mask[None, None]))
    found = recorder.looking(1)
    np.testing.assert_allclose(found.mean[0, 0], np.where(np.arange(N) == 7, 0, 1 / (S - 1)), rtol=1e-5)
    assert all(check.passed for check in recorder.checks())
    # 6 of text, 19 visible of the image: even attention, whatever the counts
    np.testing.assert_allclose((found.mdi[0, 0], found.aei[0, 0]), (1, 1), rtol=1e-5)


def test_a_soft_cap_is_refused():
    with pytest.raises(UnsupportedModelError, match="soft cap"):
        LookingRecorder(PLACES, 1).attend(call(torch.zeros(S, S), softcap=30.0))
