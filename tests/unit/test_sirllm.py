"""SirLLM between rounds: where rounds begin, what fades, and that it keeps what a cache fed round by round keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analysis.errors import AnalysisError
from analysis.models.tokenization import encode
from analysis.pruning_effects.eviction.context_run import read_context
from analysis.pruning_effects.eviction.planned import Planned, plan_settings
from analysis.pruning_effects.eviction.policies.sirllm import SirLLM
from analysis.pruning_effects.eviction.policies.sirllm_released import SirLLMReleased
from analysis.pruning_effects.eviction.rounds import round_starts, rounds_since
from analysis.pruning_effects.eviction.sweep import sweep_eviction
from analysis.pruning_effects.eviction.texts import encode_texts

EPS = 2.0**-23
ROUNDS = (
    "USER: Who painted the boat red last summer, and who helped?\n",
    "USER: And the mast?\n",
    "USER: Tell me again which colour the sails had before the storm came over the bay.\n",
    "USER: When did the harbour master come back, what did he say to the children on the pier, and why did "
    "nobody write any of it down in the long green book that lay on his table?",
)
TALK, AFTER = "".join(ROUNDS), "\nASSISTANT: He came in May."
KINDS = (SirLLM, SirLLMReleased)


def work_on(model, text, methods, kept=0.5):
    with model.lock, torch.inference_mode():
        texts = encode_texts(model, text, AFTER)
        plan = plan_settings(model, texts.context, list(methods), [kept])
        return read_context(model, texts.context.ids, plan, texts.continuation.ids)


def scores_of(work):
    """Scores of each planned method, in order, the full cache left out."""
    return [work.scores[p.method][0, 0].double().numpy() for p in work.plan.settings[1:]]


def first_tokens(model, pieces):
    """First token of each piece, by counting the tokens that end before it."""
    tokens = encode(model.tokenizer, "".join(pieces))
    borders = np.cumsum([len(piece) for piece in pieces[:-1]])
    return [int((tokens.end <= border).sum()) for border in borders]


def meant(log_p, ids):
    """-ln p of every token by what came before it; nothing for the first."""
    return [None] + [-float(log_p[t - 1, ids[t]]) for t in range(1, len(ids))]


@pytest.fixture(scope="module")
def dense(llama):
    ids = torch.from_numpy(encode(llama.tokenizer, TALK).token_id)
    with torch.inference_mode():
        logits = llama.model(ids[None], use_cache=False).logits[0].double()
    return ids.tolist(), logits.log_softmax(-1)


def by_definition(kind, dense, firsts, decay):
    """Scores by plain loops over rounds: what each round adds, then the decay as rounds pass."""
    ids, log_p = dense
    again = [-float(log_p[t, ids[t]]) for t in range(len(ids))]
    own = meant(log_p, ids)
    cache = []
    for begin, end in zip([0, *firsts], [*firsts, len(ids)], strict=True):
        cache = [decay * score for score in cache]
        if kind is SirLLM:
            later = own[begin + 1 : end]
            cache += [max(later), *later]
        else:
            cache += [max(again[begin:end]), *again[begin : end - 1]]
    return np.array(cache)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [1.0, 0.7, 0.2, 0.0])
def test_scores_fade_round_by_round(kind, decay, llama, dense):
    work = work_on(llama, TALK, [kind(decay=decay, round_mark="USER:")])
    firsts = first_tokens(llama, ROUNDS)
    assert len(firsts) == 3 and work.plan.settings[1].method.starts == tuple(firsts)
    expected = by_definition(kind, dense, firsts, decay)
    (got,) = scores_of(work)
    np.testing.assert_allclose(got, expected, atol=64 * EPS * max(1, expected.max()))
    if decay == 0.2:  # other rules that sound alike are far away
        ages = rounds_since(len(expected), tuple(firsts))
        plain = by_definition(kind, dense, firsts, 1.0)
        for wrong in (
            plain * decay ** (3 - ages),
            plain * decay ** (ages + 1),
            plain * decay ** np.minimum(ages, 1),
        ):
            assert np.abs(got - wrong).max() > 1


def streamed(scores, firsts, decay, budget):
    """Tokens left when the cache is evicted before each round, its own scores decayed then; by SirLLM's steps."""
    n, cache = len(scores), {}
    for begin, end in zip([0, *firsts], [*firsts, n], strict=True):
        cache = {t: decay * score for t, score in cache.items()}
        cache |= {t: float(scores[t]) for t in range(begin, end)}
        if len(cache) <= budget:
            continue
        ranked = sorted(cache, key=lambda t: (-cache[t], t))
        kept = set(ranked[: budget - 4]) | set(range(4))
        for t in sorted(cache, reverse=True):
            if len(kept) < budget:
                kept.add(t)
        cache = {t: cache[t] for t in kept}
    return cache


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("kept", [0.7, 0.4, 0.2])
def test_one_eviction_keeps_what_a_stream_of_rounds_keeps(kind, decay, kept, llama, dense):
    method = kind(decay=decay, round_mark="USER:")
    work = work_on(llama, TALK, [method], kept)
    firsts, n = first_tokens(llama, ROUNDS), len(dense[0])
    left = streamed(by_definition(kind, dense, firsts, 1.0), firsts, decay, int(kept * n))
    got = set(work.kept_by(work.plan.settings[1])[0, 0].nonzero()[:, 0].tolist())
    assert len(got) == int(kept * n) == len(left) and set(range(4)) <= got
    (scores,) = scores_of(work)
    border = min((scores[t] for t in got if t >= 4), default=0.0)
    close = 64 * EPS * max(1, scores.max())
    assert all(abs(scores[t] - border) <= close for t in got ^ set(left)), "only ties may be broken otherwise"


def test_a_decay_moves_what_is_kept_towards_the_last_round(llama):
    methods = [SirLLM(decay=decay, round_mark="USER:") for decay in (1.0, 0.5, 0.0)]
    work = work_on(llama, TALK, methods, 0.4)
    last = first_tokens(llama, ROUNDS)[-1]
    counts = [int(work.kept_by(one)[0, 0, last:].sum()) for one in work.plan.settings[1:]]
    assert counts[0] < counts[1] <= counts[2]


def test_without_rounds_nothing_changes(llama):
    plain, one_round = work_on(
        llama, TALK, [SirLLM(), SirLLM(decay=0.5, round_mark="NOBODY:")]
    ).plan.settings[1:]
    work = work_on(llama, TALK, [plain.method, one_round.method])
    first, second = scores_of(work)
    np.testing.assert_array_equal(first, second)
    assert "one round, and nothing fades" in one_round.method.remark(10, 0.5, 2)
    assert SirLLM().remark(10, 0.5, 2) == ""


def test_the_sweep_says_how_many_rounds_there_were(llama):
    sweep = sweep_eviction(llama, TALK, AFTER, [SirLLM(decay=0.9, round_mark="USER:")], [0.5])
    assert sweep.settings[1].remark == "4 rounds; each new one multiplies the scores of those before by 0.9."


@pytest.mark.parametrize("decay", [-0.1, 1.1, math.nan, math.inf])
def test_a_decay_is_from_0_to_1(decay):
    with pytest.raises(AnalysisError, match="decay ratio"):
        SirLLM(decay=decay, round_mark="USER:")


def test_a_decay_without_rounds_is_not_swallowed():
    with pytest.raises(AnalysisError, match="needs rounds"):
        SirLLM(decay=0.9)
    assert SirLLM(decay=0.9, starts=(3,)).decay == 0.9


# Where rounds begin -----------------------------------------------------------------------------------


def letters(text, added=0):
    """A tokenizer of single letters, after some added tokens."""
    n = len(text)
    start, end = np.arange(n), np.arange(1, n + 1)
    return np.r_[[-1] * added, start].astype(int), np.r_[[-1] * added, end].astype(int)


@pytest.mark.parametrize(
    ("text", "mark", "places"),
    [
        ("A: x A: y A: z", "A:", [5, 10]),
        ("system A: x A: y", "A:", [7, 12]),  # what stands before the first mark is a round
        ("  A: x A: y", "A:", [7]),  # nothing but space does not
        ("A: x A: A: y", "A:", [8]),  # nor does a mark with nothing behind it
        ("A: x A: y A: \n", "A:", [5]),
        ("one\n\ntwo\n\n\n\nthree\n\n", "\n\n", [3, 10]),
        ("one\r\n\r\ntwo", "\n\n", [3]),
        ("one\ntwo", "\n\n", []),
        ("a.b.c", ".", [1, 3]),  # a mark is not a pattern
        ("", "A:", []),
    ],
)
@pytest.mark.parametrize("added", [0, 2])
def test_where_rounds_begin(text, mark, places, added):
    assert round_starts(text, *letters(text, added), mark) == tuple(place + added for place in places)


def test_the_token_that_holds_the_beginning_of_a_mark_begins_the_round():
    text = "one.\n\ntwo\n\nthree"
    start, end = np.array([0, 3, 6, 9, 11]), np.array([3, 6, 9, 11, 16])  # one | .\n\n | two | \n\n | three
    assert round_starts(text, start, end, "\n\n") == (1, 3)


def test_ages_of_tokens():
    assert rounds_since(7, (2, 5)).tolist() == [2, 2, 1, 1, 1, 0, 0]
    assert rounds_since(3, ()).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="at least one character"):
        round_starts("text", *letters("text"), "")


def test_a_round_of_one_token_keeps_its_own_surprisal(llama, dense):
    ids, log_p = dense
    work = work_on(llama, TALK, [SirLLM(decay=0.5, starts=(1, 6, 7))])
    (scores,) = scores_of(work)
    own = meant(log_p, ids)
    assert scores[6] == pytest.approx(0.5 * own[6], abs=1e-5)
    assert scores[1] == pytest.approx(0.25 * max(own[2:6]), abs=1e-5)
    assert scores[0] == pytest.approx(0.125 * max(own[1:]), abs=1e-5)
    assert Planned(work.plan.settings[1].method, 0.5) == work.plan.settings[1]
