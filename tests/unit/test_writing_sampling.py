"""The next token: every sampler and their order against definitions in plain numpy, and noise that repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analysis.errors import AnalysisError
from analysis.token_entropy import truncation
from analysis.writing.sampler_chain import ORDERS, SAMPLERS, in_order, parse_samplers
from analysis.writing.sampling import Drawn, draw, kept_alone, noise

FIVE = [0.4, 0.3, 0.15, 0.1, 0.05]
LADDER = torch.tensor([2.0, 1.0, 0.0, -1.0]).log_softmax(-1)


def log(p) -> torch.Tensor:
    return torch.tensor(p, dtype=torch.float64).log().float()


def one(log_probs: torch.Tensor, *steps, **options) -> Drawn:
    return draw(log_probs[None], parse_samplers(steps), [0], 5, **options)


def kept(log_probs: torch.Tensor, *steps, **options) -> list[int]:
    """Ids that a chain leaves: all that are ever drawn, by asking for each one alone."""
    n = one(log_probs, *steps, **options).n_kept[0, -1]
    seen = {
        int(
            draw(log_probs[None], parse_samplers([*steps, ("temperature", 1e9)]), [sample], 5, **options).ids[
                0
            ]
        )
        for sample in range(200)
    }
    assert len(seen) == n
    return sorted(seen)


# Definitions ------------------------------------------------------------------------------------------


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def entropy(p: np.ndarray) -> float:
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum())


def by_hand(name: str, setting: float, z: np.ndarray) -> set[int]:
    """Indices that one sampler keeps of scores, one token at a time."""
    p = softmax(z)
    best_first = sorted(range(len(z)), key=lambda i: (-z[i], i))
    if name == "top-k":
        last = z[best_first[min(int(setting), len(z)) - 1]]
        return {i for i in range(len(z)) if z[i] >= last}
    if name in ("top-p", "typical"):
        order, mass, left = best_first, 0.0, set()
        if name == "typical":
            order = sorted(range(len(z)), key=lambda i: (abs(-math.log(p[i]) - entropy(p)), i))
        for i in order:
            left.add(i)
            mass += p[i]
            if mass >= setting:
                return left
        return left
    if name == "min-p":
        return {i for i in range(len(z)) if p[i] >= setting * p.max()}
    if name == "epsilon":
        return {i for i in range(len(z)) if p[i] >= setting} | {best_first[0]}
    if name == "eta":
        limit = min(setting, math.sqrt(setting) * math.exp(-entropy(p)))
        return {i for i in range(len(z)) if p[i] >= limit} | {best_first[0]}
    if name == "top-h-paper":
        left = [best_first[0]]
        for i in best_first[1:]:
            if entropy(p[[*left, i]]) > setting * entropy(p):
                break
            left.append(i)
        return set(left)
    assert name == "top-h"
    front = best_first[:100]
    q = p[front] / p[front].sum()
    parts = np.cumsum(-q * np.log(q))
    return {front[0]} | {i for i, part in zip(front, parts, strict=True) if part <= setting * parts[-1]}


CUTTERS = {
    "top-k": 7,
    "top-p": 0.77,
    "min-p": 0.11,
    "typical": 0.63,
    "epsilon": 0.013,
    "eta": 0.031,
    "top-h": 0.41,
    "top-h-paper": 0.43,
}


def chain_by_hand(z: np.ndarray, steps) -> tuple[list[int], list[float], np.ndarray]:
    """Counts and masses after every step, and the distribution at the end."""
    model, left, z = softmax(z), np.arange(len(z)), z.copy()
    counts, masses = [], []
    for name, setting in steps:
        if name == "temperature":
            z = z / setting
        else:
            keep = sorted(by_hand(name, setting, z[left]))
            left = left[keep]
        counts.append(len(left))
        masses.append(model[left].sum())
    q = np.zeros(len(z))
    q[left] = softmax(z[left])
    return counts, masses, q


def scores(seed: int, n: int, spread: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, n).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("name", CUTTERS)
@pytest.mark.parametrize("seed", range(5))
def test_each_sampler_keeps_what_its_definition_says(name, seed):
    z = scores(seed, 40 + 120 * seed, 0.7 + seed / 2)
    left = truncation.left_by(name, CUTTERS[name], torch.from_numpy(z).log_softmax(-1))
    assert set(left.nonzero()[:, 0].tolist()) == by_hand(name, CUTTERS[name], z)


@pytest.mark.parametrize(
    "steps",
    [
        (("temperature", 1.7), ("min-p", 0.11), ("top-p", 0.9)),
        (("min-p", 0.11), ("top-p", 0.9), ("temperature", 1.7)),
        (("top-p", 0.9), ("typical", 0.7), ("eta", 0.03), ("temperature", 0.6), ("top-k", 4)),
        (("top-h", 0.6), ("top-h-paper", 0.8)),
        (("temperature", 0.7), ("top-h-paper", 0.6), ("epsilon", 0.05)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_is_its_steps_one_after_the_other(steps, seed):
    z = scores(seed + 10, 300, 1.5)
    counts, masses, q = chain_by_hand(z, steps)
    log_probs = torch.from_numpy(z).log_softmax(-1).float()
    for sample in range(5):
        drawn = draw(log_probs[None], parse_samplers(steps), [sample], 3)
        assert drawn.n_kept[0].tolist() == counts
        np.testing.assert_allclose(drawn.mass_kept[0], masses, rtol=1e-5)
        np.testing.assert_allclose(drawn.drawn_prob[0], q[drawn.ids[0]], rtol=1e-4)
        assert q[drawn.ids[0]] > 0


@pytest.mark.parametrize("seed", range(4))
def test_the_chain_of_transformers_keeps_what_transformers_keeps(seed):
    """All of its samplers in its order, over a vocabulary wide enough to be sorted by its front."""
    import transformers as tf

    z = torch.from_numpy(scores(seed + 50, 20_000, 2.5)).float()
    steps = {
        "temperature": (0.8 + 0.3 * seed, tf.TemperatureLogitsWarper),
        "top-h": (0.95, tf.TopHLogitsWarper),
        "top-k": (60, tf.TopKLogitsWarper),
        "top-p": (0.93, tf.TopPLogitsWarper),
        "min-p": (0.02, tf.MinPLogitsWarper),
        "typical": (0.9, tf.TypicalLogitsWarper),
        "epsilon": (0.004, tf.EpsilonLogitsWarper),
        "eta": (0.02, tf.EtaLogitsWarper),
    }
    if seed % 2:
        steps.pop("top-h"), steps.pop("top-k")  # then nucleus sampling meets thousands
    chain = [(name, setting) for name, (setting, _) in steps.items()]
    assert tuple(chain) == in_order(chain)
    theirs, counts = z.double()[None], []  # its sums of thousands round a token away in float32
    for setting, warper in steps.values():
        theirs = warper(setting)(torch.zeros(1, 1, dtype=torch.long), theirs)
        counts.append(int(torch.isfinite(theirs).sum()))
    q = theirs.softmax(-1)[0]
    drawn = draw(z.log_softmax(-1).expand(30, -1), parse_samplers(chain), range(30), 0)
    assert drawn.n_kept.tolist() == [counts] * 30
    np.testing.assert_allclose(drawn.drawn_prob, q[drawn.ids], rtol=1e-4)


# Values by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "first", "last"), [(2.0, 4, 2), (0.5, 1, 2)])
def test_the_order_matters(temperature, first, last):
    chain = [("temperature", temperature), ("min-p", 0.2)]
    assert one(LADDER, *chain).n_kept[0, -1] == first
    assert one(LADDER, *in_order(chain, "llama.cpp")).n_kept[0, -1] == last
    assert in_order(reversed(chain)) == tuple(chain)


def test_the_orders_hold_every_sampler():
    for order in ORDERS.values():
        assert sorted(order) == sorted(SAMPLERS)
    assert ORDERS["transformers"][:2] == ("repetition-penalty", "temperature")
    assert ORDERS["llama.cpp"][-1] == "temperature"


def test_ties():
    tied = log([0.4, 0.2, 0.2, 0.2])
    assert kept(tied, ("top-k", 2)) == [0, 1, 2, 3]
    assert kept(tied, ("top-p", 0.6)) == [0, 1]
    flat = log([0.25] * 4)
    assert kept(flat, ("typical", 0.5)) == [0, 1]
    assert kept(flat, ("min-p", 1.0)) == [0, 1, 2, 3]
    assert kept(flat, ("top-h-paper", 0.5)) == [0, 1]


@pytest.mark.parametrize(("share", "paper", "library"), [(0.4, 1, 1), (0.5, 2, 1), (0.8, 3, 3), (0.9, 3, 4)])
def test_both_rules_of_top_h(share, paper, library):
    alone = kept_alone(log(FIVE), [("top-h-paper", share), ("top-h", share)])
    assert [k.count for k in alone] == [paper, library]
    assert [k.mass for k in alone] == pytest.approx([sum(FIVE[:paper]), sum(FIVE[:library])])


def test_locally_typical_can_cut_the_first_choice():
    assert kept(LADDER, ("typical", 0.2)) == [1]
    assert kept(LADDER, ("typical", 0.25)) == [0, 1]


def test_a_wide_vocabulary_is_sorted_whole_only_where_that_decides(monkeypatch):
    wide = torch.from_numpy(scores(3, 6000, 1.0)).log_softmax(-1)
    for name, settings in {"top-p": (0.3, 0.99), "typical": (0.05, 0.9), "top-h-paper": (0.3, 0.99)}.items():
        for setting in settings:
            few = truncation.left_by(name, setting, wide)
            with monkeypatch.context() as patch:
                patch.setattr(truncation, "FRONT", 6000)
                assert torch.equal(few, truncation.left_by(name, setting, wide)), (name, setting)
    flat = torch.zeros(6000)
    assert truncation.left_by("top-p", 0.1, flat).nonzero()[:, 0].tolist() == list(range(600))


# Temperature and the greedy choice --------------------------------------------------------------------


def test_greedy_takes_the_smallest_id_of_equals():
    rows = torch.stack([log([0.2, 0.4, 0.4]), log([0.4, 0.2, 0.4]), log([0.1, 0.1, 0.8])])
    for steps in ((), (("temperature", 0),)):
        drawn = draw(rows, parse_samplers(steps), [0, 1, 2], 9)
        assert drawn.ids.tolist() == [1, 0, 2] and drawn.drawn_prob.tolist() == [1, 1, 1]
        assert drawn.n_kept.tolist() == [[1] * len(steps)] * 3
    assert one(log([0.2, 0.4, 0.4]), ("temperature", 0)).mass_kept.item() == pytest.approx(0.4)


def test_temperature_0_takes_the_best_of_what_is_left():
    assert one(LADDER, ("typical", 0.2), ("temperature", 0)).ids.tolist() == [1]
    assert one(LADDER, ("temperature", 0), ("typical", 0.2)).ids.tolist() == [0]


@pytest.mark.parametrize("temperature", [1e9, 1.0, 1e-3, 1e-30, 1e-307])
def test_any_temperature_gives_a_distribution(temperature):
    drawn = one(LADDER, ("temperature", temperature))
    assert drawn.n_kept.tolist() == [[4]] and 0 < drawn.drawn_prob[0] <= 1
    if temperature == 1e9:
        assert drawn.drawn_prob[0] == pytest.approx(0.25)
    if temperature < 0.01:
        assert drawn.ids[0] == 0 and drawn.drawn_prob[0] == 1


def test_what_is_drawn_is_distributed_as_it_says():
    """p = .64, .16, .16, .04 at T = 2 are as 4 to 2 to 2 to 1; two tokens alone would not tell a wrong race."""
    q, n = np.array([4, 2, 2, 1]) / 9, 4000
    drawn = draw(
        log([0.64, 0.16, 0.16, 0.04]).expand(n, 4), parse_samplers([("temperature", 2.0)]), range(n), 0
    )
    shares = np.bincount(drawn.ids, minlength=4) / n
    np.testing.assert_array_less(abs(shares - q), 4 * np.sqrt(q * (1 - q) / n))
    np.testing.assert_allclose(drawn.drawn_prob, q[drawn.ids], rtol=1e-6)


# Repetition -------------------------------------------------------------------------------------------


def test_the_penalty_is_the_librarys():
    from transformers import RepetitionPenaltyLogitsProcessor

    z = torch.tensor([2.0, -1.0, 0.5, -3.0, 1.0])
    seen = torch.tensor([0, 0, 1, 3, 99])
    expected = RepetitionPenaltyLogitsProcessor(1.5)(seen[None], z[None].clone())[0].softmax(-1)
    found = torch.zeros(5)
    for sample in range(300):
        drawn = draw(
            z.log_softmax(-1)[None],
            parse_samplers([("repetition-penalty", 1.5)]),
            [sample],
            5,
            seen[None],
            shift=z.logsumexp(-1)[None],
        )
        found[drawn.ids[0]] = drawn.drawn_prob[0]
    seen_often = expected > 0.02
    assert torch.allclose(found[seen_often], expected[seen_often], rtol=1e-5)
    assert drawn.n_kept.tolist() == [[5]] and drawn.mass_kept.tolist() == [[1.0]]


def test_without_the_logits_the_penalty_lowers_what_was_written():
    """ln p times 2 is p squared: .5, .25, .25 with the first seen is .25, .25, .25."""
    chain = parse_samplers([("repetition-penalty", 2.0)])
    drawn = draw(log([0.5, 0.25, 0.25])[None], chain, [0], 1, torch.tensor([[0]]))
    assert drawn.drawn_prob[0] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="history"):
        draw(LADDER[None], chain, [0], 1)


def test_rows_have_histories_of_their_own():
    chain = parse_samplers([("repetition-penalty", 100.0), ("temperature", 0)])
    histories = [torch.tensor([0]), torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64)]
    assert draw(LADDER.expand(3, 4), chain, [0, 0, 0], 1, histories).ids.tolist() == [1, 2, 0]


# What cannot be drawn ---------------------------------------------------------------------------------


def test_padding_of_the_head_is_never_drawn_and_keeps_its_probability():
    padded = log([0.1, 0.2, 0.1, 0.6])
    drawn = one(padded, ("temperature", 1.0), ("top-p", 0.5), n_ids=3)
    assert drawn.n_kept.tolist() == [[3, 1]]
    np.testing.assert_allclose(drawn.mass_kept, [[0.4, 0.2]], rtol=1e-6)
    assert drawn.ids.tolist() == [1] and drawn.drawn_prob.tolist() == [1.0]
    assert one(padded, n_ids=3).ids.tolist() == [1]


def test_an_impossible_token_stays_impossible_at_any_temperature():
    floor = torch.tensor([-10_000.5, -0.1, -2.35, -torch.inf])
    for sample in range(50):
        drawn = draw(floor[None], parse_samplers([("temperature", 1e9)]), [sample], 2)
        assert drawn.ids[0] in (1, 2) and drawn.n_kept[0, 0] == 2


@pytest.mark.parametrize("value", [-torch.inf, torch.nan, torch.inf])
@pytest.mark.parametrize("steps", [(), (("temperature", 0.8),)])
def test_a_row_without_a_probability_is_said(value, steps):
    with pytest.raises(AnalysisError, match="no token a probability at position 5"):
        one(torch.full((4,), value), *steps)


def test_log_probs_are_not_changed():
    before = LADDER.clone()
    one(before, ("temperature", 0.3), ("top-p", 0.5), n_ids=3)
    assert torch.equal(before, LADDER)


# Noise ------------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_alone_in_a_batch_and_again():
    z = torch.from_numpy(scores(1, 64 * 500, 2.0).reshape(64, 500)).log_softmax(-1).float()
    chain = parse_samplers([("temperature", 0.9), ("top-p", 0.95)], seed=11)
    together = torch.stack([draw(z[t].expand(8, 500), chain, range(8), t).ids for t in range(64)])
    alone = torch.stack(
        [
            torch.cat([draw(z[t][None], chain, [s], t).ids for s in (5, 0, 7, 2, 1, 3, 6, 4)])
            for t in reversed(range(64))
        ]
    )
    assert torch.equal(together[:, [5, 0, 7, 2, 1, 3, 6, 4]], alone.flip(0))
    other = torch.stack(
        [draw(z[t].expand(8, 500), parse_samplers(chain.steps, 12), range(8), t).ids for t in range(64)]
    )
    assert (other != together).float().mean() > 0.5
    assert all(len(set(column.tolist())) > 5 for column in together.T)


def test_rows_at_their_own_positions():
    chain = parse_samplers([("temperature", 5.0)])
    z = torch.from_numpy(scores(2, 500, 1.0)).log_softmax(-1).float()
    rows = draw(z.expand(3, 500), chain, [4, 4, 9], [7, 8, 7]).ids.tolist()
    assert rows == [int(draw(z[None], chain, [s], t).ids[0]) for s, t in ((4, 7), (4, 8), (9, 7))]


def test_noise_is_uniform_and_belongs_to_its_three_numbers():
    u = noise(3, 4, 5, 20_000)
    assert u.min() > 0 and u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=5 / math.sqrt(12 * 20_000))
    assert torch.equal(noise(3, 4, 5, 100), u[:100]), "a shorter vocabulary has the same numbers"
    for other in ((4, 4, 5), (3, 5, 5), (3, 4, 6), (4, 3, 5), (5, 4, 3)):
        both = torch.stack([u, noise(*other, 20_000)])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 5 / math.sqrt(20_000)


def test_a_rounding_in_the_probabilities_changes_next_to_nothing():
    z = torch.from_numpy(scores(5, 400 * 300, 2.0).reshape(400, 300)).log_softmax(-1).float()
    shaken = z * (1 + 1e-6 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0)))
    chain = parse_samplers([("temperature", 0.8)])
    same = draw(z, chain, range(400), 1).ids == draw(shaken, chain, range(400), 1).ids
    assert same.float().mean() > 0.99


# What is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 1e10),
        ("top-k", 0),
        ("top-k", 2.5),
        ("top-p", 0),
        ("top-p", 1.01),
        ("min-p", -1),
        ("typical", 0),
        ("top-h", 1.5),
        ("top-h-paper", math.nan),
        ("epsilon", 1),
        ("eta", 0),
        ("repetition-penalty", 0),
        ("repetition-penalty", -1),
        ("mirostat", 5),
        ("temperature", "warm"),
        ("temperature", None),
        "temperature",
        7,
        (["temperature"], 1.0),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(step):
    with pytest.raises(AnalysisError) as caught:
        parse_samplers([step])
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message and caught.value.hint


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, None])
def test_a_seed_that_cannot_be(seed):
    with pytest.raises(AnalysisError, match="seed"):
        parse_samplers([], seed)


def test_what_is_allowed_works():
    for info in SAMPLERS.values():
        for setting in (info.least, info.default, info.most):
            (step,) = parse_samplers([(info.name, setting)], 2**64 - 1).steps
            assert step == (info.name, setting) and isinstance(step[1], float)
            drawn = one(LADDER, step, history=torch.tensor([[0]]))
            assert 1 <= drawn.n_kept[0, 0] <= 4
    again = parse_samplers(parse_samplers([("top-k", 3)], 4), 9)
    assert again.steps == (("top-k", 3.0),) and again.seed == 4
    assert parse_samplers(()).is_greedy and parse_samplers([("temperature", 0)]).is_greedy


def test_what_each_would_leave_alone():
    alone = kept_alone(log(FIVE), [("temperature", 0.5), ("top-k", 2), ("min-p", 0.3)], 2)
    assert [(k.sampler, k.count, k.keeps_actual) for k in alone] == [
        ("Temperature 0.5", 5, True),
        ("Top-k 2", 2, False),
        ("Min-p 0.3", 3, True),
    ]
    assert [k.mass for k in alone] == pytest.approx([1.0, 0.7, 0.85])
    assert kept_alone(log(FIVE), [("top-k", 2)])[0].keeps_actual is None
