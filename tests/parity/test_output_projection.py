"""The projection that is found is the one that the attention output goes through, in every family."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analysis.forward.attention import attend
from analysis.forward.attention_adapter import attending
from analysis.models.anatomy import find_anatomy
from analysis.models.body import hooks, run_body
from analysis.models.output_projection import output_projection, projected
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, tiny_model
from tests.tiny_models.unusual import ATTENTION_LAYERS, BY_MAPS, GATED, unusual_model

UNUSUAL = [name for name in ATTENTION_LAYERS if name not in BY_MAPS]


@torch.inference_mode()
def look(model):
    """By layer: what attention gave, and the projection with what it got and gave."""
    seen, anatomy = {}, find_anatomy(model)

    def take(call):
        output = attend(
            call.query[0], call.key[0], call.value[0], scale=call.scale, softcap=call.softcap,
            span=call.span, sink_logits=call.sink_logits,
        ).output  # fmt: skip
        mixed = output.transpose(0, 1).flatten(1)
        module, weight = output_projection(call.module, mixed.shape[1])

        def note(_module, args, written):
            seen[call.layer] = mixed, module, weight, args[0].reshape(mixed.shape), written

        handles.append(module.register_forward_hook(note))
        return output[None]

    with hooks() as handles, attending(model, anatomy, take):
        run_body(model, torch.arange(1, 9)[None])
    return seen


def check(found, gated=False):
    for mixed, module, weight, got, written in found.values():
        assert torch.equal(got, mixed) != gated
        ours = got.double() @ weight.double().T
        if module.bias is not None:
            ours += module.bias.double()
        near = budget.STATES * budget.largest(written.detach())
        torch.testing.assert_close(written.double().reshape(ours.shape), ours, rtol=0, atol=near)


@pytest.mark.parametrize("family", FAMILIES + FAMILIES_EXTRA)
def test_every_family_sends_its_attention_output_through_it(family):
    model = tiny_model(family)
    found = look(model)
    assert sorted(found) == list(range(model.config.num_hidden_layers))
    check(found)


@pytest.mark.filterwarnings("ignore")  # the library announces its slower reference kernels
@pytest.mark.parametrize("name", UNUSUAL)
def test_every_unusual_model_does_too(name):
    found = look(unusual_model(name))
    assert sorted(found) == ATTENTION_LAYERS[name]
    check(found, gated=name in GATED)


def test_a_projection_that_is_not_there_is_not_invented():
    module = nn.Module()
    module.q_proj = nn.Linear(12, 12)
    assert output_projection(module, 12) is None
    module.o_proj = nn.Linear(13, 5)
    assert output_projection(module, 12) is None
    module.o_proj = nn.Linear(12, 5, dtype=torch.bfloat16)
    assert output_projection(module, 12)[0] is module.o_proj
    module.o_proj.weight = nn.Parameter(torch.zeros(5, 12, dtype=torch.int8), requires_grad=False)
    assert output_projection(module, 12) is None  # quantised: no plain numbers


def test_projected_values_by_hand():
    weight = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 4.0]])
    value = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])  # one KV head for two query heads
    written = [own.tolist() for own in projected(weight, value, 2)]
    assert written == [[[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]], [[6.0, 12.0, 16.0], [2.0, 0.0, 0.0]]]
