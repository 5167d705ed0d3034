"""A mask that hides tokens from layer l on and states without them give the same numbers, in every family."""

from __future__ import annotations

import pytest
import torch

from analysis.errors import UnsupportedModelError
from analysis.visual_tokens.parts import language_layers, language_part, visual_positions
from analysis.visual_tokens.removal import dropped, hidden
from analysis.visual_tokens.scenes.scene import scene
from tests.tiny_models.vision import FAMILIES, build_vision, vision_inputs

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


@pytest.fixture(scope="module")
def prepared():
    """Model and inputs of a family in a precision, made once; and which visual tokens go."""
    made = {}

    def make(family: str, dtype: torch.dtype):
        if (family, dtype) not in made:
            model = build_vision(family).to(dtype)
            inputs = vision_inputs(family, model, scene(3).image.resize((72, 56)))
            visual = visual_positions(model, inputs["input_ids"][0])
            gone = visual[torch.randperm(len(visual), generator=torch.Generator().manual_seed(1))]
            made[family, dtype] = model, inputs, gone[: (3 * len(visual)) // 5].sort().values
        return made[family, dtype]

    return make


def logits(model, inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits[0]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_is_dropped(prepared, family, layer, dtype):
    model, inputs, gone = prepared(family, dtype)
    full = logits(model, inputs)
    left = torch.ones(len(full), dtype=torch.bool)
    left[gone] = False
    with hidden(model, gone, layer):
        masked = logits(model, inputs)
    with dropped(model, gone, layer):
        physical = logits(model, inputs)
    assert len(physical) == int(left.sum()) and len(masked) == len(full)
    assert (masked[left] - physical).abs().max() <= TOLERANCE[dtype] * max(1.0, float(full.abs().max()))
    assert (masked[left] - full[left]).abs().max() > 1e-3, "the tokens that went mattered"
    assert torch.equal(logits(model, inputs), full), "afterwards the model is as it was"


@pytest.mark.parametrize("family", FAMILIES)
def test_hiding_nothing_changes_nothing(prepared, family):
    model, inputs, gone = prepared(family, torch.float64)
    full = logits(model, inputs)
    n_layers = len(language_layers(model))
    for positions, layer in ((gone[:0], 0), (gone, n_layers)):
        with hidden(model, positions, layer):
            assert (logits(model, inputs) - full).abs().max() <= 1e-12 * float(full.abs().max())


@pytest.mark.parametrize("family", FAMILIES)
def test_writing_after_hiding_is_the_pass_without_a_cache(prepared, family):
    """Five greedy tokens with a cache are those of whole passes under the mask."""
    model, inputs, gone = prepared(family, torch.float64)
    with hidden(model, gone, 1), torch.no_grad():
        written = model.generate(**inputs, max_new_tokens=5, min_new_tokens=5, do_sample=False)[0]
        n = inputs["input_ids"].shape[1]
        longer = dict(inputs)
        for _ in range(5):
            ids = longer["input_ids"]
            following = logits(model, longer)[-1]
            following[model.generation_config.eos_token_id or 2] = -torch.inf
            longer["input_ids"] = torch.cat([ids, following.argmax().reshape(1, 1)], 1)
            for name in ("mm_token_type_ids", "token_type_ids"):
                if name in longer:
                    longer[name] = torch.cat([longer[name], longer[name].new_zeros(1, 1)], 1)
    if (
        family == "paligemma"
    ):  # a longer text would be a longer two-way prefix: only the first token is comparable
        assert written[n] == longer["input_ids"][0, n]
    else:
        assert written.tolist() == longer["input_ids"][0].tolist()


def test_eager_attention_agrees(prepared):
    """The library computes eager softmax in float32 even for float64 models: 2e-5."""
    model, inputs, gone = prepared("llava", torch.float32)
    with hidden(model, gone, 2):
        sdpa = logits(model, inputs)
    language_part(model).set_attn_implementation("eager")
    try:
        with hidden(model, gone, 2):
            eager = logits(model, inputs)
    finally:
        language_part(model).set_attn_implementation("sdpa")
    assert (sdpa - eager).abs().max() <= 2e-5 * max(1.0, float(sdpa.abs().max()))


def test_a_mask_of_yes_and_no_under_eager_would_be_caught(prepared):
    """Handed to eager attention, a bool mask is added as 1 and 0: the comparison above must notice."""
    model, inputs, gone = prepared("llava", torch.float64)
    n = inputs["input_ids"].shape[1]
    with hidden(model, gone, 0):
        right = logits(model, inputs)
    visible = torch.ones(n, n, dtype=torch.bool).tril()
    visible[:, gone] = False
    visible |= torch.eye(n, dtype=torch.bool)
    language_part(model).set_attn_implementation("eager")
    try:
        wrong = logits(model, inputs | {"attention_mask": visible[None, None]})
    finally:
        language_part(model).set_attn_implementation("sdpa")
    assert (wrong - right).abs().max() > 0.1


def test_other_kernels_are_refused(prepared):
    model, _, gone = prepared("llava", torch.float32)
    config = language_part(model).config
    config._attn_implementation = "flex_attention"
    try:
        with pytest.raises(UnsupportedModelError, match="flex_attention"), hidden(model, gone, 0):
            pass
    finally:
        config._attn_implementation = "sdpa"
