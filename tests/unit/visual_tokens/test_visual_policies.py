"""Methods of visual token pruning on features whose right answer is known by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch

from analysis.errors import AnalysisError
from analysis.visual_tokens.policies import POLICIES, Choice, Stage, VisualView, policy
from analysis.visual_tokens.policies.base import cosines
from analysis.visual_tokens.policies.bipartite import Groups, merged
from analysis.visual_tokens.policies.cdpruner import determinantal
from analysis.visual_tokens.policies.correlation import distinct
from analysis.visual_tokens.policies.fastv import FastV
from analysis.visual_tokens.policies.flowcut import flow, leaving
from analysis.visual_tokens.policies.globalcom2 import spread_over
from analysis.visual_tokens.policies.hired import crop_at, shares
from analysis.visual_tokens.policies.layers import last_with_all, same_depth, stage_counts
from analysis.visual_tokens.policies.pitome import energy
from analysis.visual_tokens.policies.random import Random
from analysis.visual_tokens.policies.sparsevlm import EARLIER, LAST, rating
from analysis.visual_tokens.policies.transprune import transitions
from analysis.visual_tokens.policies.vflowopt import global_rows, grid_cells
from analysis.visual_tokens.policies.view import TowerLayer
from analysis.visual_tokens.policies.zeroth_order import sensitivity


def grid(features, columns: int = 4, n_layers: int = 8, **parts) -> VisualView:
    """A view of tokens that stand row by row."""
    features = torch.as_tensor(features, dtype=torch.float32)
    number = torch.arange(len(features))
    return VisualView(features, number // columns, number % columns, n_layers, **parts)


def drawn(n: int = 16, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors in a plane."""
    angle = torch.tensor(degrees) * torch.pi / 180
    return torch.stack([angle.cos(), angle.sin()], 1)


def kept(method, view: VisualView, n: int) -> list[int]:
    return policy(method).choose(view, n).kept.tolist()


# What holds for all -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_a_method_says_what_it_is(name):
    method = policy(name)
    assert method.name == name and method.label and method.source and method.formula
    assert all(need in VisualView.__dataclass_fields__ for need in method.needs)
    assert method == policy(method)


def test_what_cannot_be_is_said():
    with pytest.raises(AnalysisError, match="no method for visual tokens called 'none'"):
        policy("none")
    view = grid(drawn())
    for n in (0, 17):
        with pytest.raises(AnalysisError, match=f"Of 16 visual tokens, {n} cannot be kept"):
            policy("random").choose(view, n)
    with pytest.raises(AnalysisError, match="attention on the picture cannot be read"):
        policy("fastv").choose(view, 4)
    two = replace(view, n_layers=1, attention={1: torch.rand(2, 3, 16)})
    assert "this model has 1" in policy("fastv").unsupported(two)


# Controls ---------------------------------------------------------------------------------------------


def test_random_keeps_what_it_kept_and_another_seed_another():
    view = grid(drawn(64))
    ten, twenty = (set(kept("random", view, n)) for n in (10, 20))
    assert len(ten) == 10 and ten < twenty
    assert ten != set(kept(Random(seed=1), view, 10))
    counts = torch.zeros(64)
    for seed in range(400):
        counts[kept(Random(seed), view, 16)] += 1
    assert counts.min() > 60 and counts.max() < 140  # 100 each, six standard deviations are 52


def test_down_sampling_averages_four_patches_at_their_mean_place():
    view = grid(drawn(16))
    stage = policy("downsampling").choose(view, 4).stages[0]
    square = view.features.reshape(2, 2, 2, 2, 6).mean((1, 3)).reshape(4, 6)
    torch.testing.assert_close(stage.mixed(view.features), square)
    assert stage.kept.tolist() == [0, 2, 8, 10]
    assert stage.mean_of(torch.arange(16)).tolist() == [2.5, 4.5, 10.5, 12.5]
    assert stage.mean_of(view.row).tolist() == [0.5, 0.5, 2.5, 2.5]
    assert stage.mean_of(view.column).tolist() == [0.5, 2.5, 0.5, 2.5]


def test_down_sampling_keeps_whole_blocks_only():
    view = grid(drawn(16))
    whole = policy("downsampling").choose(view, 16).stages[0]
    assert torch.equal(whole.mixed(view.features), view.features)
    with pytest.raises(AnalysisError, match="Blocks of this grid leave 1, 4, 16 tokens"):
        policy("downsampling").choose(view, 5)
    wide = grid(drawn(15), columns=5)  # 3 x 5 in blocks of 2: 2 x 3, those at the edge smaller
    stage = policy("downsampling").choose(wide, 6).stages[0]
    torch.testing.assert_close(stage.mixed(wide.features)[5], wide.features[14])
    torch.testing.assert_close(stage.mixed(wide.features)[2], wide.features[[4, 9]].mean(0))


def test_down_sampling_does_not_mix_crops():
    crop = torch.tensor([0] * 4 + [1] * 4)
    place = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0, 1] * 4)
    view = VisualView(drawn(8), *place, 8, crop=crop)
    stage = policy("downsampling").choose(view, 2).stages[0]
    torch.testing.assert_close(stage.mixed(view.features), view.features.reshape(2, 4, 6).mean(1))


# Methods ----------------------------------------------------------------------------------------------


def test_fastv_takes_the_last_query_of_the_layer_before_and_the_mean_over_heads():
    attention = torch.zeros(2, 3, 16)
    attention[:, 0, 5] = 0.9  # an earlier query
    attention[0, -1, 3] = 0.5  # mean .25
    attention[:, -1, 7] = 0.3
    attention[1, -1, 9] = 0.7  # mean .35
    view = grid(drawn(), attention={1: attention, 2: attention.flip(2)})
    choice = FastV().choose(view, 2)
    assert choice.kept.tolist() == [7, 9] and choice.layer == 2
    assert kept("fastv", view, 4) == [0, 3, 7, 9]  # all others are equal
    assert FastV(k=3).choose(view, 1).kept.tolist() == [6]


def test_divprune_starts_at_the_loneliest_and_spreads():
    # nearest neighbours: 10, 10, 30, 30, 60 degrees; the fifth is alone
    view = grid(at(0, 10, 40, 70, 130))
    assert kept("divprune", view, 1) == [4]
    # farthest from 130: 0; then 70, whose nearest is 60 away, before 40 (40 away)
    assert kept("divprune", view, 2) == [0, 4]
    assert kept("divprune", view, 3) == [0, 3, 4]
    assert kept("divprune", view, 4) == [0, 2, 3, 4]
    # alone in the middle, though nearer on average than the two pairs
    assert kept("divprune", grid(at(0, 1, 100, 101, 50)), 1) == [4]


def test_divprune_takes_copies_last_and_the_earlier_of_two():
    base = drawn(5)
    view = grid(torch.cat([base, 3 * base]))  # cosine is blind to length
    assert kept("divprune", view, 5) == [0, 1, 2, 3, 4]
    assert kept("divprune", view, 6) == [0, 1, 2, 3, 4, 5]


def test_cosine_of_nothing_is_zero():
    assert cosines(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).tolist() == [[0, 0], [0, 1]]


def pivots_and_copies(**changed) -> VisualView:
    """Four pivots along one axis, four copies, and eight tokens along axes of their own; the text as the pivots."""
    states = torch.eye(9)[[0] * 8 + [*range(1, 9)]]
    keys = torch.ones(16, 3)
    keys[:4] = 5.0
    parts = {"keys": {1: keys}, "states": {2: states}}
    text = {"text_keys": {1: torch.zeros(4, keys.shape[1])}, "text_states": {2: states[:4]}}
    return grid(states, **parts | text | changed)


def test_dart_copies_of_a_pivot_go_first():
    view = pivots_and_copies()
    assert kept("dart", view, 12) == [0, 1, 2, 3, *range(8, 16)]
    assert policy("dart").choose(view, 12).layer == 2


def test_dart_keeps_pivots_by_the_l1_norm():
    keys = torch.zeros(16, 4)
    keys[3] = 1.0  # L1 4, L2 2
    keys[5, 0] = 3.0  # L1 3, L2 3
    view = pivots_and_copies(keys={1: keys})
    assert kept("dart", view, 1) == [3]
    assert kept("dart", view, 2) == [3, 5]


def test_dart_pivots_add_in_the_order_of_falling_norm_and_the_first_ones_more():
    states = torch.cat([at(0, 90), at(170, 280, 100, 20)])
    keys = torch.tensor([[1.0], [2.0], [0], [0], [0], [0]])
    view = grid(
        states,
        keys={1: keys},
        states={2: states},
        text_keys={1: torch.zeros(1, 1)},
        text_states={2: at(280)},
    )
    dart = replace(policy("dart"), image_pivots=2, text_pivots=1)
    # token 1, at 90 degrees, has the longer key: the token at 280 is farthest from it, at 170 from token 0
    assert dart.choose(view, 3).kept.tolist() == [0, 1, 3]
    assert dart.choose(view, 4).kept.tolist() == [0, 1, 2, 3]
    # then the text's pivot at 280: 100 is farthest from it
    assert dart.choose(view, 5).kept.tolist() == [0, 1, 2, 3, 4]
    for n in range(1, 7):
        assert len(dart.choose(view, n).kept) == n


def test_a_determinantal_choice_takes_one_of_two_equal_tokens():
    features = torch.cat([torch.eye(4), torch.eye(4)])
    question = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    view = grid(features, question=question)
    # the copies of the most relevant tokens come after the less relevant originals
    assert kept("cdpruner_like", view, 1) == [3]
    assert kept("cdpruner_like", view, 3) == [1, 2, 3]
    for n in range(1, 9):
        chosen = kept("cdpruner_like", view, n)
        assert len({i % 4 for i in chosen}) == min(n, 4) and len(chosen) == n


def test_the_greedy_choice_has_the_largest_gain_in_determinant():
    x = drawn(7, 5).double()
    kernel = x @ x.T
    chosen = determinantal(kernel, 5)
    for t in range(5):
        sets = [[*chosen[:t], j] for j in range(7)]  # with one twice: 0
        gains = [torch.linalg.det(kernel[one][:, one]).item() for one in sets]
        assert chosen[t] == max(range(7), key=gains.__getitem__)


def test_a_determinantal_choice_goes_on_past_the_rank():
    view = grid(drawn(144, 16), columns=12, question=drawn(3, 16, seed=1))
    assert len(determinantal(cosines(view.features), 144)) == 16
    for n in (16, 17, 100, 144):
        assert len(set(kept("cdpruner_like", view, n))) == n


def test_relevance_is_negated_as_released_and_not_in_the_other():
    parts = {"patch_embeddings": at(0, 30, 60, 90), "text_embedding": at(0)[0], "question": at(0)}
    view = grid(at(0, 30, 60, 90), **parts)
    assert kept("cdpruner", view, 1) == [3]
    assert kept("cdpruner_like", view, 1) == [0]
    assert replace(policy("cdpruner"), negated=False).choose(view, 1).kept.tolist() == [0]
    with pytest.raises(AnalysisError, match="no text tower"):
        policy("cdpruner").choose(replace(view, text_embedding=None), 1)


@pytest.mark.parametrize("name", ["visionzip", "visionzip_received"])
def test_visionzip_adds_the_mean_of_the_rest_to_its_targets(name):
    heads = torch.zeros(2, 8)
    heads[0, 1], heads[1, 6], heads[0, 2], heads[1, 2] = 0.9, 0.8, 0.45, 0.4  # sums .9, .8, .85
    keys = at(0, 0, 0, 80, 90, 10, 0, 85)
    parts = {"cls_attention": heads, "tower_attention": heads[:, None].expand(2, 8, 8)}
    view = grid(drawn(8), tower_keys=keys, **parts)
    zipped = replace(policy(name), contextual=0.5)
    stage = zipped.choose(view, 4).stages[0]
    # dominant 1 and 2; of the rest 0 3 4 5 6 7 every third is a target: 0 and 5... by keys 0 and 10 degrees
    assert stage.kept.tolist() == [0, 1, 2, 5]
    f = view.features
    expected = torch.stack([f[0] + f[6], f[1], f[2], f[5] + (f[3] + f[4] + f[7]) / 3])
    torch.testing.assert_close(stage.mixed(f), expected)
    assert policy(name).choose(view, 8).kept.tolist() == list(range(8))
    alone = policy(name).choose(view, 3).stages[0]  # less than one contextual token
    assert alone.kept.tolist() == [1, 2, 6]
    torch.testing.assert_close(alone.mixed(f), f[[1, 2, 6]])


def queries_of(kinds: str) -> torch.Tensor:
    """Queries (N, 4, 4): s spans three directions, l lies along one, w spans three but faintly."""
    spans = torch.eye(4)
    line = torch.zeros(4, 4)
    line[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    return torch.stack([{"s": 3 * spans, "l": 0.1 * line, "w": 0.01 * spans}[kind] for kind in kinds])


def test_entropyprune_of_the_paper_counts_directions():
    view = grid(drawn(4), queries={1: queries_of("slwl")})
    score = policy("entropyprune").score(view)
    # centred unit vectors span 3 directions evenly; a line is one direction
    three = torch.log(torch.tensor(3.0)) / torch.log(torch.tensor(4.0))
    torch.testing.assert_close(score, torch.tensor([three, 0, three, 0]), atol=1e-6, rtol=0)
    assert kept("entropyprune", view, 2) == [0, 2]


def test_entropyprune_as_released_is_no_entropy():
    view = grid(drawn(4), queries={1: queries_of("slwl")})
    score = policy("entropyprune_released").score(view)
    nine, tiny, line = 9 / 4, 1e-4 / 4, 0.01
    by_hand = torch.tensor([-3 * nine * math.log(nine), -line * math.log(line), -3 * tiny * math.log(tiny)])
    torch.testing.assert_close(score[:3], by_hand / math.log(4))
    assert kept("entropyprune_released", view, 2) == [1, 3]


def test_a_token_whose_heads_agree_has_no_entropy():
    view = grid(drawn(2), queries={1: torch.ones(2, 4, 3)})
    assert policy("entropyprune").score(view).tolist() == [0, 0]


# Several stages ---------------------------------------------------------------------------------------


def test_counts_are_the_published_ones_and_lie_between_them():
    lists = (LAST, EARLIER)
    assert stage_counts(576, 17, *lists) == (66, 30, 17)
    assert stage_counts(576, 26, *lists) == (238, 48, 26)
    assert stage_counts(576, 36, *lists) == (303, 110, 36)
    assert stage_counts(576, 110, *lists) == (300, 200, 110)
    assert stage_counts(576, 20, *lists) == (123, 36, 20)  # a third of the way
    assert stage_counts(576, 16, *lists) == (66, 30, 16)
    assert stage_counts(576, 576, *lists) == (576, 576, 576)
    for n in range(1, 145):
        first, second, last = stage_counts(144, n, *lists)
        assert 144 >= first >= second >= last == n


def test_layers_keep_their_depth_and_may_fall_together():
    assert same_depth((3, 7, 16, 20), 32) == (3, 7, 16, 20)
    assert same_depth((3, 7, 16, 20), 8) == (1, 2, 4, 5)  # .75, 1.75, 4, 5
    assert same_depth((3, 7, 16, 20), 2) == (1, 1, 1, 1)
    # TransPrune, SparseVLM and MustDrop, after these layers; before the cuts 7, 9, 12 and so on, of 32
    assert last_with_all((6, 8, 11), 32) == (6, 8, 11)
    assert last_with_all((6, 8, 11), 8) == (1, 1, 2)
    assert last_with_all((2, 6, 15), 8) == (0, 1, 3)
    assert last_with_all((2, 6, 10, 14), 8) == (0, 1, 2, 3)
    assert last_with_all((2, 6, 10, 14), 2) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["sparsevlm", "transprune", "mustdrop"])
@pytest.mark.parametrize(("n_layers", "cuts"), [(32, None), (8, None), (2, 1)])
def test_cuts_on_one_layer_are_one_stage(name, n_layers, cuts):
    """Tokens still go step after step; the model sees what the last step on a layer leaves."""
    view, method = everything(n_layers), policy(name)
    steps, choice = method.stages(view, 6), method.choose(view, 6)
    layers = [s.layer for s in steps if s.layer]
    expected = {"sparsevlm": (3, 7, 16), "transprune": (7, 9, 12), "mustdrop": (3, 7, 11, 15)}[name]
    assert layers == [*same_depth(expected, n_layers)]
    inside = [s for s in choice.stages if s.layer]
    assert [s.layer for s in inside] == sorted(set(layers)) and len(inside) == (cuts or len(set(layers)))
    for stage in inside:
        last = [s for s in steps if s.layer == stage.layer][-1]
        assert torch.equal(stage.kept, last.kept)


def test_raters_are_the_words_that_visual_tokens_point_at():
    features = 4 * torch.eye(3)[[0, 0, 1, 0]]
    question = torch.eye(3)
    assert rating(features, question).tolist() == [True, False, False]
    assert rating(torch.zeros(4, 3), question).all()


def test_sparsevlm_follows_its_raters_through_its_stages():
    features = 4 * torch.eye(4)[torch.zeros(16, dtype=torch.int64)]
    layers = {}
    for layer, order in {0: range(16), 1: range(16), 3: [*range(15, -1, -1)]}.items():
        rows = torch.rand(2, 4, 16, generator=torch.Generator().manual_seed(layer))  # words that do not rate
        rows[:, 0] = torch.tensor([*order]) / 100
        layers[layer] = rows
    view = grid(features, attention=layers, question=torch.eye(4))
    choice = policy("sparsevlm").choose(view, 3)
    assert [s.layer for s in choice.stages] == [1, 2, 4]
    # 3 of 16 lies close to 110 of 576: 8 and 5 before
    assert [s.kept.tolist() for s in choice.stages] == [[*range(8, 16)], [*range(11, 16)], [11, 12, 13]]


def test_a_transition_is_length_times_turn():
    given = torch.tensor([[1.0, 0], [1, 0], [2, 0]])
    made = torch.tensor([[1.0, 0], [0, 3], [-2, 0]])
    # turns 0, 1, 2; lengths 1, 3, 1
    weight = torch.tensor([0.0, 1, 2]).exp()
    expected = torch.tensor([1.0, 3, 1]) * weight / weight.sum()
    torch.testing.assert_close(transitions(((given, made),)), expected)
    torch.testing.assert_close(transitions(((given, made), (given, made))), 2 * expected)
    assert transitions(((torch.zeros(2, 3), torch.zeros(2, 3)),)).tolist() == [0, 0]


def test_transprune_adds_both_shares():
    n = 16
    given = torch.eye(2)[torch.zeros(n, dtype=torch.int64)]
    made = given * torch.ones(n, 1)
    made[5] *= 4  # T: 4 against 1, no turns
    attention = torch.ones(1, 2, n)
    attention[:, :, 9] = 9.0  # I: 9 against 1
    view = grid(
        drawn(n),
        n_layers=32,
        sublayers={i: ((given, made), (given, made)) for i in range(6, 12)},
        attention={i: attention for i in (6, 8, 11)},
    )
    method = policy("transprune")
    assert method.layers_read(32) == (6, 7, 8, 9, 10, 11)
    choice = method.choose(view, 2)
    assert [len(s.kept) for s in choice.stages] == [14, 10, 2]  # 87.5, 62.5, 12.5 %
    assert [s.layer for s in choice.stages] == [7, 9, 12]
    assert choice.kept.tolist() == [5, 9] and method.choose(view, 1).kept.tolist() == [9]


def test_mustdrop_merges_a_window_of_like_tokens_and_keeps_the_key_set():
    features = torch.eye(36)
    corner = [0, 1, 2, 6, 7, 8, 12, 13, 14]
    features[corner] = features[0] + 0.01 * torch.eye(36)[corner]
    cls = torch.zeros(1, 36)
    cls[0, 8], cls[0, 35], cls[0, 20] = 0.5, 0.9, 0.3
    attention = torch.full((1, 2, 36), 0.001)
    attention[:, :, 30:33] = 0.2
    attention[:, :, 35] = 0.0
    view = grid(features, columns=6, cls_attention=cls, attention={i: attention for i in range(4)})
    choice = policy("mustdrop").choose(view, 5)
    merged = choice.stages[0]
    assert len(merged.kept) == 28 and 8 in merged.kept and not set(corner) - {8} & set(merged.kept.tolist())
    window = merged.mixed(features)[merged.kept.tolist().index(8)]
    torch.testing.assert_close(window, features[corner].mean(0))
    assert [s.layer for s in choice.stages] == [0, 1, 2, 3, 4]
    # the key set, 3 of 36 by attention of the class token: 35, 20 and the window (.5 / 9); then the attended
    assert choice.kept.tolist() == [8, 20, 30, 31, 35]
    # no window merges where the number would not be left
    assert len(policy("mustdrop").choose(view, 30).stages[0].kept) == 36


def test_mustdrop_limits_the_sum_and_the_largest_weight():
    rows = torch.tensor([[0.4, 0.0004, 0.5, 0.0], [0.6, 0.0004, 0.4, 0.002]])
    score = policy("mustdrop").attended(rows)
    assert (score < 1).tolist() == [False, True, False, False]
    torch.testing.assert_close(score[1].item(), 0.4, atol=0.03, rtol=0)
    torch.testing.assert_close(score[3].item(), 2.0)


def tower_layer(attention, values=None) -> TowerLayer:
    attention = torch.tensor(attention)
    values = torch.ones(len(attention), 2) if values is None else values
    return TowerLayer(attention, torch.zeros(2), values)


def test_flowcut_score_by_hand():
    values = torch.tensor([[1.0, 0], [1, 1], [0, -3]])
    layer = TowerLayer(torch.tensor([0.1, 0.2, 0.1]), torch.tensor([1.0, 0]), values)
    like = torch.tensor([1.0, 1, 0]).softmax(0)
    expected = (torch.tensor([0.25, 0.5, 0.25]) + like) * torch.tensor([1.0, 2, 3])
    torch.testing.assert_close(flow(layer, torch.tensor([0.25, 0.5, 0.25]), torch.arange(3)), expected)


def test_flowcut_drops_more_where_attention_is_concentrated():
    even, point = torch.full((16,), 1 / 16), torch.eye(16)[0]
    assert leaving(even, 12, 4) == 0
    assert leaving(point, 12, 4) == 6  # 12 / 2 * (1 - 0)
    half = torch.tensor([0.25] * 4 + [0.0] * 12)
    assert leaving(half, 8, 1) == 6  # 8 * (1 - (ln 4 / ln 16)^2)
    assert leaving(point, 3, 1) == 3


def test_flowcut_remembers_and_ends_exactly():
    # alone, the last layer says token 3; half of the first layer's says token 0
    view = grid(
        drawn(4), tower_layers=(tower_layer([0.97, 0.01, 0.01, 0.01]), tower_layer([0.2, 0.2, 0.2, 0.4]))
    )
    assert kept("flowcut", view, 1) == [0]
    assert kept(
        replace(policy("flowcut"), memory=0.0), replace(view, tower_layers=view.tower_layers[1:]), 1
    ) == [3]
    for n in range(1, 5):
        assert len(kept("flowcut", view, n)) == n


# Sensitivity, crops, merging --------------------------------------------------------------------------


def test_sensitivity_of_a_linear_map_is_the_mean_length_of_its_images():
    matrix = torch.tensor([[3.0, 0], [0, 4], [0, 0]])
    directions = torch.eye(2)
    found = sensitivity(lambda x: x @ matrix.T, drawn(4, 2), directions, 0.01)
    torch.testing.assert_close(found, torch.full((4,), 3.5), rtol=1e-3, atol=0)
    square = sensitivity(lambda x: x**2, torch.tensor([[1.0], [-3.0]]), torch.ones(5, 1), 0.01)
    torch.testing.assert_close(square, torch.tensor([2.0, 6.0]), rtol=1e-3, atol=0)  # 2 |x|, not 4 |x|


def test_zeroth_order_takes_the_sensitive_and_then_what_is_unlike_them():
    # the projector cubes: sensitivity grows with the input; tokens 0 and 1 are alike, 2 stands across
    inputs = torch.tensor([[3.0], [2.9], [1.5], [0.1]])
    view = grid(at(0, 5, 90, 90), projector_inputs=inputs, projector=lambda x: x**3)
    assert kept("zeroth_order", view, 1) == [0]
    assert kept("zeroth_order", view, 2) == [0, 2]
    assert len(kept("zeroth_order", view, 4)) == 4
    # sensitivities 1, .64, .54, 0: opposite counts twice, 1.07, and across a little more than once, .70
    inputs = torch.tensor([[3.0], [2.4], [2.2], [0.1]])
    view = grid(at(0, 95, 180, 90), projector_inputs=inputs, projector=lambda x: x**3)
    assert kept("zeroth_order", view, 2) == [0, 2]


def crops() -> VisualView:
    """The whole picture in 2 x 2 tokens, and two crops of 2 x 2 beside each other."""
    crop = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    row = torch.tensor([0, 0, 1, 1] * 3)
    column = torch.tensor([0, 1, 0, 1] * 2 + [2, 3, 2, 3])
    return VisualView(drawn(12), row, column, 8, crop=crop)


def test_hired_gives_crops_what_the_whole_picture_shows_there():
    first = torch.tensor([[0.1, 0.9, 0.1, 0.8] + [1.0] * 8])  # both in the right half: crop 2
    deep = torch.tensor([[4.0, 3, 2, 1, 9, 9, 9, 9, 1, 4, 2, 3]])
    view = replace(crops(), first_cls_attention=first, cls_attention=deep)
    assert crop_at(view, torch.arange(4)).tolist() == [1, 2, 1, 2]
    assert kept("hired", view, 4) == [0, 1, 9, 11]
    spread = replace(view, first_cls_attention=torch.tensor([[0.9, 0.8, 0.1, 0.1] + [0.0] * 8]))
    assert kept("hired", spread, 4) == [0, 1, 4, 9]
    for n in range(1, 13):
        assert len(kept("hired", view, n)) == n
    with pytest.raises(AnalysisError, match="without crops"):
        policy("hired").choose(replace(view, crop=None), 4)


def test_globalcom2_shares_by_the_sums_of_the_whole_picture():
    """Sums 10 ln 3 and 0 inside the crops: weights .75 and .25, so shares of the ratio 1.25 and .75."""
    score = torch.zeros(2, 12)
    score[:, 1], score[0, 3] = 10 * math.log(3) - 5, 10.0  # the right half, crop 2; .5 of the other head's 10
    view = replace(crops(), cls_logits=score)
    counts = [4 * 0.5, 4 * 0.5 * 0.75, 4 * 0.5 * 1.25]
    assert counts == [2, 1.5, 2.5]
    # the whole picture by its own scores; of 1.5 and 2.5 the first is rounded up; in crop 2 what lies near
    # the whole picture's bright right column
    chosen = kept("globalcom2", view, 6)
    assert chosen[:2] == [1, 3] and [sum(lo <= i < lo + 4 for i in chosen) for lo in (4, 8)] == [2, 2]
    # at 8 the ratio is 2 / 3: 2.67, 2 and 3.33
    chosen = kept("globalcom2", view, 8)
    assert [sum(lo <= i < lo + 4 for i in chosen) for lo in (0, 4, 8)] == [3, 2, 3]
    with pytest.raises(AnalysisError, match="without crops"):
        policy("globalcom2").choose(replace(view, crop=None), 4)


def test_globalcom2_adds_both_scores_at_length_1():
    view = crops()
    whole = torch.tensor([1.0, 3.0, 5.0, 7.0])
    over = spread_over(view, whole)
    # 2 x 2 tokens over 2 x 4 places: columns at -.25 (the edge), .25, .75 and 1.25 of the whole picture's
    assert over.tolist() == [1, 3, 5, 7, 1, 1.5, 5, 5.5, 2.5, 3, 6.5, 7]
    local = torch.tensor([4.0, 4.1, 4.0, 4.0])
    view = replace(view, cls_logits=torch.cat([whole, local, torch.zeros(4)])[None])
    # alone the crop's own scores say 5, which is token 1 of it; the whole picture, whose lower row is strong, 7
    assert kept("globalcom2", view, 12) == list(range(12))
    chosen = kept("globalcom2", view, 3)
    assert 7 in chosen and 5 not in chosen


def test_vflowopt_reads_the_rows_of_what_gets_attention():
    """Received .3, .5, .1, .1 of a mean of .25: rows 0 and 1 count, the others' longing for 3 does not."""
    rows = torch.tensor([[0.1, 0.5, 0.4, 0], [0.7, 0.2, 0, 0.1], [0.3, 0.6, 0, 0.1], [0.1, 0.7, 0, 0.2]])
    score = global_rows(torch.stack([rows, rows]), 1.0)
    torch.testing.assert_close(score, rows[:2].mean(0))
    assert torch.equal(global_rows(torch.full((1, 4, 4), 0.25), 1.0), torch.full((4,), 0.25))
    assert torch.equal(global_rows(rows[None], 1.5), rows[1])  # .5 alone is above .375
    view = grid(drawn(4), 2, tower_attention=rows[None], grey_entropy=torch.tensor([0.0, 0, 0, 5]))
    assert kept("vflowopt_released", view, 1) == [0] and kept("vflowopt", view, 1) == [3]
    torch.testing.assert_close(
        policy("vflowopt").ranking(view), score + torch.tensor([0.0, 0, 0, 5]).softmax(0)
    )


def test_vflowopt_gathers_the_next_best_of_each_cell():
    """Of 16 tokens 6 are kept: two stay, and the next ten fall into the four quarters of the picture."""
    importance = torch.tensor([0.9, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 30, 20])
    view = grid(drawn(16), tower_attention=importance[None, None].expand(2, 16, 16))
    method = replace(policy("vflowopt_released"), recycled=0.7)
    stage = method.choose(view, 6).stages[0]
    # 15 and 16 stay; the next ten are 4 to 13: 4 5 | 6 7 | 8 9 12 13 | 10 11
    assert stage.kept.tolist() == [5, 7, 11, 13, 14, 15]
    f = view.features
    expected = [f[[4, 5]], f[[6, 7]], f[[10, 11]], f[[8, 9, 12, 13]], f[[14]], f[[15]]]
    torch.testing.assert_close(stage.mixed(f), torch.stack([one.mean(0) for one in expected]))
    # where the next best fill fewer cells, more stay: all of them stand in the upper half
    upper = torch.tensor([float(16 - i) for i in range(16)])
    few = method.choose(replace(view, tower_attention=upper[None, None].expand(1, 16, 16)), 6).stages[0]
    assert (few.mix > 0).sum(1).tolist().count(1) == len(few.kept) - int(((few.mix > 0).sum(1) > 1).sum())
    assert len(few.kept) == 6 and few.kept.tolist()[:2] == [0, 1]
    assert torch.equal(policy("vflowopt_released").choose(view, 9).stages[0].mix.max(1).values, torch.ones(9))


def test_the_cells_of_the_whole_picture_are_those_of_its_crops():
    assert grid_cells(crops(), 2).tolist() == [0, 1, 2, 3, 0, 0, 2, 2, 1, 1, 3, 3]


def test_shares_sum_exactly_and_go_by_the_largest_remainder():
    most = torch.tensor([100, 100, 100])
    assert shares(10, torch.tensor([5, 3, 2]), most) == [5, 3, 2]
    assert shares(10, torch.tensor([1, 1, 1]), most) == [4, 3, 3]
    assert shares(7, torch.tensor([5, 3, 2]), most) == [4, 2, 1]  # 3.5, 2.1, 1.4
    assert shares(10, torch.tensor([5, 3, 2]), torch.tensor([2, 100, 100])) == [2, 5, 3]  # 8 in 3 to 2
    assert shares(5, torch.tensor([1, 0, 0]), torch.tensor([3, 4, 4])) == [3, 1, 1]
    assert shares(0, torch.tensor([1, 0, 0]), most) == [0, 0, 0]


def test_bipartite_merges_the_strongest_edges_weighted_by_size():
    view = grid(drawn(6), tower_keys=at(0, 5, 90, 120, 200, 300))
    stage = policy("bipartite").choose(view, 5).stages[0]
    assert stage.kept.tolist() == [1, 2, 3, 4, 5]
    torch.testing.assert_close(stage.mixed(view.features)[0], view.features[:2].mean(0))
    # 2 goes to 3 (30 degrees) before 4 to 3 (80)
    two = policy("bipartite").choose(view, 4).stages[0]
    assert two.kept.tolist() == [1, 3, 4, 5] and two.mix[1].nonzero()[:, 0].tolist() == [2, 3]


def test_bipartite_keeps_the_mean_of_all_and_loses_no_token():
    view = grid(drawn(16), tower_keys=drawn(16, seed=3))
    for name in ("bipartite", "pitome"):
        for n in range(1, 17):
            stage = policy(name).choose(view, n).stages[0]
            assert ((stage.mix > 0).sum(0) == 1).all()
            size = (stage.mix > 0).sum(1, keepdim=True)
            torch.testing.assert_close((size * stage.mixed(view.features)).sum(0), view.features.sum(0))


def test_where_each_token_went_is_told():
    view = grid(drawn(6), tower_keys=at(0, 5, 90, 120, 200, 300))
    assert policy("bipartite").choose(view, 4).goes_into.tolist() == [1, 1, 3, 3, 4, 5]
    assert Choice(4, (Stage(0, torch.tensor([0, 3])),)).goes_into.tolist() == [0, -1, -1, 3]
    assert policy("drop_all").choose(view, 0).goes_into.tolist() == [-1] * 6


def test_a_group_counts_by_its_size():
    groups = Groups(torch.tensor([[1.0, 1, 1, 0], [0, 0, 0, 1]]), torch.tensor([0, 3]))
    one = merged(groups, torch.ones(2, 2), torch.tensor([0]), torch.tensor([1]), 1)
    assert one.place.tolist() == [3]
    assert one.mean(torch.tensor([[1.0], [1], [1], [5]])).tolist() == [[2.0]]


def test_pitome_protects_the_lonely():
    keys = at(0, 100, 1, 190, 2, 280, 3, 3)
    view = grid(drawn(8), tower_keys=keys)
    for n in (7, 6):
        chosen = policy("pitome").choose(view, n).stages[0]
        assert {1, 3, 5} <= set(chosen.kept.tolist())
        shared = ((chosen.mix > 0) & (chosen.mix < 1)).any(0).nonzero()[:, 0].tolist()
        assert shared and set(shared) <= {0, 2, 4, 6, 7}
    by_hand = math.expm1(0 - 0.9)  # across; with itself 1 - margin
    torch.testing.assert_close(
        energy(torch.eye(2), 0.9), torch.full((2,), (0.1 + by_hand) / 2), rtol=0, atol=2e-6
    )


def test_keys_that_repeat_an_earlier_one_do_not_count():
    assert distinct(at(0, 10, 90, 95, 50), 0.8) == 3  # 50 is 40 from both: cosine .77
    assert distinct(at(0, 10, 90, 95, 50), 0.7) == 2


def test_correlation_gives_a_crop_that_repeats_itself_less_and_takes_outliers_first():
    keys = torch.eye(12)
    keys[4:8] = keys[4]  # crop 1 is one patch four times
    attention = torch.zeros(1, 12)
    attention[0, 10] = 0.9
    view = replace(crops(), tower_keys=keys, cls_attention=attention)
    chosen = kept("correlation_guided", view, 9)  # 4, 1 and 4 of 9
    assert chosen == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    # 1.33, .33 and 1.33: the first of equal remainders is rounded up, and its crop sampled evenly
    assert kept("correlation_guided", view, 3) == [0, 2, 10]
    for n in range(1, 13):
        assert len(kept("correlation_guided", view, n)) == n


def test_correlation_samples_the_rest_evenly():
    attention = torch.zeros(1, 16)
    attention[0, 5], attention[0, 6] = 0.9, 0.5
    view = grid(drawn(), tower_keys=torch.eye(16), cls_attention=attention)
    assert kept("correlation_guided", view, 1) == [5]
    # without 5 and 6 fourteen are left: every seventh, 0 and 9
    assert kept("correlation_guided", view, 4) == [0, 5, 6, 9]


def test_pagerank_follows_attention_more_than_one_step():
    # all attend to 1 and 1 to 2, a little to themselves: 2 gets from one token only, but from the important one
    a = torch.tensor([[0.1, 0.9, 0, 0], [0, 0.1, 0.9, 0], [0.5, 0, 0.5, 0], [0, 0.9, 0, 0.1]])
    view = grid(drawn(4), tower_attention=a[None])
    score = policy("pagerank").score(view)
    torch.testing.assert_close(score @ a, score, atol=1e-5, rtol=0)
    assert score.argmax() == 2 and a.sum(0).argmax() == 1
    two = replace(view, tower_attention=torch.stack([a, torch.full((4, 4), 5.0)]))
    mean_square = (score.square() + 1 / 16) / 2
    torch.testing.assert_close(policy("pagerank").score(two), mean_square.sqrt())


def test_random_inside_leaves_two_layers_all_and_draws_as_random():
    view = grid(drawn())
    inside, before = (policy(name).choose(view, 5) for name in ("random_inside", "random"))
    assert (inside.layer, before.layer) == (2, 0) and torch.equal(inside.kept, before.kept)


def test_random_after_the_horizon_keeps_a_part_of_the_diverse():
    view = grid(drawn(144), columns=12)
    choice = policy("random_after_horizon").choose(view, 9)
    first, last = choice.stages
    assert (first.layer, last.layer) == (0, 5) and set(last.kept.tolist()) < set(first.kept.tolist())
    assert first.kept.tolist() == kept("divprune", view, len(first.kept))
    assert len(first.kept) == 68  # 36 of 576: 96 + 188 * 26 / 28 = 270.6, a quarter of it
    other = replace(policy("random_after_horizon"), seed=1).choose(view, 9)
    assert not torch.equal(other.kept, last.kept)


def test_drop_all_leaves_none():
    view = grid(drawn())
    choice = policy("drop_all").choose(view, 0)
    assert choice.kept.tolist() == [] and choice.layer == 5
    assert choice.stages[0].mixed(view.features).shape == (0, 6)
    with pytest.raises(AnalysisError, match="keeps none"):
        policy("drop_all").choose(view, 1)


# What holds for all, with every part ------------------------------------------------------------------


def everything(n_layers: int = 8) -> VisualView:
    """A view with all parts: the whole picture in 4 x 4 tokens and two crops of 4 x 4 beside each other."""
    g = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    weights = lambda *shape: draw(*shape).softmax(-1)  # noqa: E731
    n, layers = 48, range(n_layers)
    number = torch.arange(16)
    matrix = draw(5, 6)
    return VisualView(
        features=draw(n, 6),
        row=(number // 4).repeat(3),
        column=torch.cat([number % 4, number % 4, 4 + number % 4]),
        n_layers=n_layers,
        crop=torch.arange(3).repeat_interleave(16),
        tower_attention=weights(2, n, n),
        cls_attention=weights(2, n),
        cls_logits=draw(2, n),
        first_cls_attention=weights(2, n),
        tower_keys=draw(n, 4),
        tower_layers=tuple(TowerLayer(weights(n), draw(n, 4), draw(n, 4)) for _ in range(3)),
        grey_entropy=draw(n),
        keys={i: draw(n, 4) for i in layers},
        text_keys={i: draw(7, 4) for i in layers},
        queries={i: draw(n, 3, 4) for i in layers},
        states={i: draw(n, 6) for i in layers},
        text_states={i: draw(7, 6) for i in layers},
        attention={i: weights(2, 5, n) for i in layers},
        question=draw(5, 6),
        patch_embeddings=draw(n, 5),
        text_embedding=draw(5),
        sublayers={i: ((draw(n, 6), draw(n, 6)), (draw(n, 6), draw(n, 6))) for i in layers},
        projector_inputs=draw(n, 5),
        projector=lambda x: torch.tanh(x @ matrix),
    )


EVERYTHING = everything()
USE_CROPS = {"downsampling", "mustdrop", "correlation_guided", "vflowopt", "vflowopt_released"}
"""Methods that use crops where there are some."""


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"drop_all"}))
def test_every_number_is_kept_exactly_and_stages_lie_in_each_other(name):
    method = policy(name)
    for n in range(1, 49):
        if method.refuses(EVERYTHING, n):
            continue
        choice = method.choose(EVERYTHING, n)
        assert len(choice.kept) == n and choice.n == 48
        before, layer = set(range(48)), -1
        for stage in choice.stages:
            places = stage.kept.tolist()
            assert places == sorted(set(places)) and set(places) <= before and stage.layer > layer
            assert stage.kept.dtype == torch.int64 and 0 <= stage.layer <= 8
            if stage.mix is not None:
                assert method.merges and stage.mix.shape == (len(places), 48)
                assert (stage.mix[torch.arange(len(places)), stage.kept] > 0).all()
            before, layer = set(places), stage.layer


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"drop_all"}))
def test_keeping_all_changes_nothing(name):
    for stage in policy(name).choose(EVERYTHING, 48).stages:
        assert torch.equal(stage.mixed(EVERYTHING.features), EVERYTHING.features)
        assert stage.mean_of(torch.arange(48)).tolist() == list(range(48))


@pytest.mark.parametrize("name", POLICIES)
def test_a_method_reads_no_more_than_it_says(name):
    """Without the parts that it does not name it chooses the same; without one that it names it says why."""
    method = policy(name)
    read = method.layers_read(8)
    by_layer = {"keys", "text_keys", "queries", "states", "text_states", "attention", "sublayers"}
    empty = VisualView.__dataclass_fields__
    always = {"features", "row", "column", "n_layers", *({"crop"} if name in USE_CROPS else set())}
    parts = {
        part: {i: getattr(EVERYTHING, part)[i] for i in read}
        if part in by_layer
        else getattr(EVERYTHING, part)
        for part in empty
        if part in always or part in method.needs
    }
    small = VisualView(**parts)
    n = method.fewest if name == "drop_all" else 12
    assert torch.equal(method.choose(small, n).kept, method.choose(EVERYTHING, n).kept)
    for part in method.needs:
        without = replace(
            EVERYTHING, **{part: {} if part in by_layer else () if part == "tower_layers" else None}
        )
        with pytest.raises(AnalysisError, match=f"{re.escape(method.label)} cannot run here. .+"):
            method.choose(without, n)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"drop_all", "downsampling"}))
def test_a_picture_of_one_colour_gives_numbers(name):
    """All tokens equal: no division by nothing, and exactly as many as were chosen."""
    flat = replace(
        EVERYTHING,
        **{
            part: torch.ones_like(getattr(EVERYTHING, part))
            for part in ("features", "tower_keys", "patch_embeddings", "projector_inputs", "cls_attention")
        },
        queries={i: torch.ones(48, 3, 4) for i in range(8)},
        states={i: torch.ones(48, 6) for i in range(8)},
    )
    for n in (1, 12, 47):
        stage = policy(name).choose(flat, n).stages[-1]
        assert stage.mixed(flat.features).isfinite().all()
