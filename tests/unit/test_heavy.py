"""Attention of the heaviest tokens, against whole attention maps."""

import copy

import numpy as np
import pytest
import torch

import analysis as an
from analysis.pruning_effects.eviction.attention_mass import SHARES, heavy_frame

TEXT = "The cat sat on the mat and looked at the moon over the old town. It was late. "


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_shares_are_those_of_the_eager_maps(load_tiny, family):
    model = load_tiny(family)
    trace = an.trace(model, TEXT)
    reference = copy.deepcopy(model.model)  # the library leaves hooks on a model that was asked for its maps
    reference.set_attn_implementation("eager")
    ids = torch.from_numpy(trace.tokens.token_id)[None]
    with torch.inference_mode():
        maps = reference(input_ids=ids, output_attentions=True).attentions
    columns = torch.stack([m[0].double().sum(1) for m in maps]).numpy()
    columns = -np.sort(-columns, -1)
    frame = heavy_frame(trace.attention)
    n = columns.shape[-1]
    for row in frame.itertuples():
        drawn = columns[..., : max(1, int(n * row.kept + 1e-9))].sum(-1) / columns.sum(-1)
        assert row.mean == pytest.approx(drawn.mean(), abs=1e-5)
        assert row.lowest == pytest.approx(drawn.min(), abs=1e-5)
    assert frame["mean"].iloc[-1] == pytest.approx(1) and frame["mean"].is_monotonic_increasing
    assert tuple(frame["kept"]) == SHARES


def test_the_picture_needs_attention(llama):
    with pytest.raises(ValueError, match="attention"):
        an.figures.heavy_tokens(an.trace(llama, TEXT, attention=False))
    assert an.figures.heavy_tokens(an.trace(llama, TEXT)).to_dict()["layer"]
