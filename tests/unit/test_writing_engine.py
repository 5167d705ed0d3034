"""Writing with a model of two tokens, whose tree and all its numbers are known by hand."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import analysis as an
from analysis.errors import AnalysisError, BrokenFileError, InvalidTextError, TooLongError
from analysis.kv_cache.stream import Stream, cache_kind
from analysis.models.tokenization import encode, tokens_of_ids
from analysis.results.decoded import decode
from analysis.writing.beginning import token_ids
from analysis.writing.caches import Caches, cache_memory, caches
from analysis.writing.results import Prompt
from analysis.writing.writing_file import writing_bytes, writing_from_bytes
from tests import budget
from tests.tiny_models.chain import AFTER, A, B, chain_model, entropy_after, varentropy_after

NEAR = budget.rounding(60.0)
PROMPT = Prompt("A", (A,), stop_ids=(1,))
DRAWN = (("temperature", 1.0),)


@pytest.fixture(scope="module")
def chain():
    return chain_model()


@pytest.fixture(scope="module")
def greedy(chain):
    return an.write(chain, PROMPT, n_new=8)


def states_kept(model):
    """Copies of all keys and values in the store, by the address of the tensor."""
    return {
        id(held): (held, held.clone())
        for stream in caches(model).kept
        for layer in stream.cache.layers
        for held in (layer.keys, layer.values)
    }


# The tree by hand -------------------------------------------------------------------------------------


def test_greedy_text_and_all_its_numbers(chain, greedy):
    """After A comes B (3/4), after B comes A (2/3)."""
    branch = greedy.branches[0]
    assert branch.ids.tolist() == [B, A] * 4 and branch.ended == "limit"
    last = [A, B] * 4
    numbers = branch.numbers
    np.testing.assert_allclose(numbers.entropy, [entropy_after(t) for t in last], atol=NEAR)
    np.testing.assert_allclose(numbers.surprisal, [-math.log(3 / 4), -math.log(2 / 3)] * 4, atol=NEAR)
    varentropy = np.array([varentropy_after(t) for t in last])
    assert (abs(numbers.varentropy - varentropy) <= budget.of_varentropy(varentropy, NEAR)).all()
    assert numbers.rank.tolist() == [1] * 8 and numbers.max_prob == pytest.approx(
        [3 / 4, 2 / 3] * 4, abs=NEAR
    )
    assert numbers.top_ids[:2, :2].tolist() == [[B, A], [A, B]]
    assert branch.after.entropy == pytest.approx(entropy_after(A), abs=NEAR)
    assert numbers.n_kept.shape == (8, 0) and numbers.drawn_prob.tolist() == [1.0] * 8


def test_entry_t_is_about_token_t(greedy):
    tokens = greedy.tokens()
    assert tokens.token_id.tolist() == [A] + [B, A] * 4
    assert np.isnan(tokens.entropy[0]) and tokens.rank[0] == 0 and tokens.context.tolist() == list(range(9))
    assert tokens.entropy[1] == pytest.approx(entropy_after(A), abs=NEAR)
    assert tokens.entropy[2] == pytest.approx(entropy_after(B), abs=NEAR)
    assert greedy.text() == "ABABABABA" and greedy.written() == "BABABABA"


def test_a_branch_leaves_where_it_is_told(chain, greedy):
    """A B | B: then greedily A B A ..."""
    two = an.branch(chain, greedy, at=2, token=B, n_new=3)
    branch = two.branches[1]
    assert two.text() == "ABBABA" and (branch.parent, branch.at, branch.forced) == (0, 2, 1)
    assert branch.numbers.surprisal == pytest.approx(
        [-math.log(1 / 3)] + [-math.log(p) for p in (2 / 3, 3 / 4, 2 / 3)], abs=NEAR
    )
    assert branch.numbers.rank.tolist() == [2, 1, 1, 1] and np.isnan(branch.numbers.drawn_prob[0])
    assert two.branches[0] is greedy.branches[0] and len(greedy.branches) == 1
    assert two.tokens(0).token_id.tolist() == greedy.tokens().token_id.tolist()
    three = an.branch(chain, two, at=4, token=A, n_new=2)
    assert three.text() == "ABBAABA" and (three.branches[2].parent, three.branches[2].at) == (1, 4)
    assert [branch.id for branch, _ in three.lineage(2)] == [0, 1, 2]
    early = an.branch(chain, three, at=1, token=A, n_new=1)
    assert early.text() == "AAB" and early.branches[3].parent is None
    typed = an.branch(chain, early, of=0, at=3, token="BB", n_new=1)
    assert typed.text() == "ABABBA" and typed.branches[4].forced == 2


def test_what_if_takes_the_tokens_that_did_not_come(chain, greedy):
    found = an.what_if(chain, greedy, at=3, k=1, n_new=2)
    assert found.text() == "ABAABA"[:4] + "BA" and len(found.branches) == 2
    many = an.what_if(chain, greedy, at=3, k=3, n_new=2)
    assert [b.ids[0] for b in many.branches[1:]] == greedy.branches[0].numbers.top_ids[2, 1:4].tolist()
    after = an.what_if(chain, greedy, at=9, k=2, n_new=1)
    assert after.branches[1].ids.tolist()[0] == B and after.branches[1].at == 9
    with pytest.raises(AnalysisError, match="Only 1 to"):
        an.what_if(chain, greedy, at=3, k=10)


def test_going_on_is_as_if_it_had_not_stopped(chain):
    whole = an.write(chain, PROMPT, n_new=12, samplers=DRAWN, seed=4)
    part = an.write(chain, PROMPT, n_new=5, samplers=DRAWN, seed=4)
    more = an.go_on(chain, part, n_new=7)
    assert more.path().tolist() == whole.path().tolist() and len(more.branches) == 1
    for name in ("entropy", "surprisal", "drawn_prob", "final_states"):
        assert np.array_equal(
            getattr(more.branches[0].numbers, name), getattr(whole.branches[0].numbers, name)
        )


def test_going_on_side_by_side_is_as_if_nothing_had_stopped(chain):
    """B ends a sample: those that go on do so together, with the numbers they would have had."""
    stopping = replace(PROMPT, stop_ids=(B,))
    whole = an.write_samples(chain, stopping, 8, n_new=9, seed=3).writing
    part = an.write_samples(chain, stopping, 8, n_new=2, seed=3).writing
    while left := [b.id for b in part.branches if b.ended == "limit" and len(b) < 9]:
        more = an.go_on(chain, part, of=left, n_new=min(2, 9 - len(part.branches[left[0]])))
        assert all(more.branches[b.id] is b for b in part.branches if b.id not in left)
        part = more
    assert len({len(b) for b in whole.branches}) > 1
    for one, other in zip(whole.branches, part.branches, strict=True):
        assert one.ended == other.ended and one.after.entropy == other.after.entropy
        for name, values in vars(one.numbers).items():
            assert np.array_equal(values, getattr(other.numbers, name), equal_nan=values.dtype.kind == "f"), (
                name
            )


def test_rows_that_lost_their_caches_are_read_again_together(chain):
    whole = an.write_samples(chain, PROMPT, 3, n_new=7, seed=3).writing
    part = an.write_samples(chain, PROMPT, 3, n_new=4, seed=3).writing
    caches(chain).kept.clear()
    part = an.go_on(chain, part, of=[2, 0], n_new=3)
    assert [len(b) for b in part.branches] == [7, 4, 7]
    for number in (0, 2):
        assert part.path(number).tolist() == whole.path(number).tolist()
        np.testing.assert_allclose(
            part.branches[number].numbers.entropy, whole.branches[number].numbers.entropy, atol=NEAR
        )


def test_branches_that_are_not_alike_go_on_one_after_the_other(chain, greedy):
    w = an.branch(chain, greedy, at=3, token=A, n_new=2)
    w = an.branch(chain, w, of=0, at=3, token=A, n_new=2, samplers=DRAWN)
    seen = []
    more = an.go_on(chain, w, of=[0, 1, 2], n_new=2, on_token=lambda _so_far, n: seen.append(n))
    assert seen == [1, 2] * 3
    for number in range(3):
        one = an.go_on(chain, w, of=number, n_new=2)
        assert one.path(number).tolist() == more.path(number).tolist()


def test_what_the_samplers_left_is_kept_beside_the_model_s_own(chain):
    """At temperature 1/2 squares are drawn from: 9/10 of B after A. The model's own numbers do not move."""
    w = an.write(chain, PROMPT, n_new=30, samplers=(("temperature", 0.5), ("top-k", 1)), seed=1)
    numbers = w.branches[0].numbers
    assert w.branches[0].ids.tolist() == [B, A] * 15 and numbers.drawn_prob.tolist() == [1.0] * 30
    assert numbers.n_kept[:, 1].tolist() == [1] * 30
    assert numbers.mass_kept[:, 1] == pytest.approx([3 / 4, 2 / 3] * 15, abs=NEAR)
    w = an.write(chain, PROMPT, n_new=60, samplers=(("temperature", 0.5),), seed=1)
    path, numbers = w.path(), w.branches[0].numbers
    squares = {
        t: {u: p**2 / sum(q**2 for q in AFTER[t].values()) for u, p in AFTER[t].items()} for t in AFTER
    }
    pairs = list(zip(path[:-1].tolist(), path[1:].tolist(), strict=True))
    assert numbers.drawn_prob == pytest.approx([squares[t][u] for t, u in pairs], abs=NEAR)
    assert numbers.surprisal == pytest.approx([-math.log(AFTER[t][u]) for t, u in pairs], abs=NEAR)
    assert {(A, B), (B, A), (B, B)} <= set(pairs)


# Samples ----------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_alone_and_among_others(chain):
    eight = an.write_samples(chain, PROMPT, 8, n_new=20, seed=7)
    assert len({tuple(b.ids) for b in eight.writing.branches}) > 4
    for i in (0, 5):
        again = an.branch(chain, eight.writing, of=i, at=1, n_new=20, samplers=DRAWN, seed=7, sample=i)
        assert again.path().tolist() == eight.writing.path(i).tolist()
    assert [
        b.ids.tolist() for b in an.write_samples(chain, PROMPT, 2, n_new=20, seed=7).writing.branches
    ] == [eight.writing.branches[i].ids.tolist() for i in range(2)]
    assert eight.entropy[3] == pytest.approx(eight.writing.branches[3].numbers.entropy.mean(), abs=NEAR)


def test_finished_samples_leave_and_the_others_do_not_change(chain):
    """B is made a stop token: each sample ends with its first B, and has no number more."""
    stopping = replace(PROMPT, stop_ids=(B,))
    free = an.write_samples(chain, PROMPT, 8, n_new=20, seed=3)
    short = an.write_samples(chain, stopping, 8, n_new=20, seed=3)
    lengths = set()
    for i in range(8):
        path = free.writing.path(i).tolist()
        end = path.index(B) + 1 if B in path else len(path)
        branch = short.writing.branches[i]
        assert short.writing.path(i).tolist() == path[:end] and len(branch.numbers.entropy) == end - 1
        assert branch.ended == ("stop" if B in path else "limit")
        lengths.add(end)
    assert len(lengths) > 2
    past = an.go_on(chain, short.writing, of=0, n_new=1)
    assert len(past.branches[0]) == len(short.writing.branches[0]) + 1


def test_many_samples_are_written_in_groups(chain, monkeypatch):
    import analysis.writing.samples as module

    whole = an.write_samples(chain, PROMPT, 5, n_new=6, seed=2)
    monkeypatch.setattr(module, "rows_per_block", lambda _head: 2)
    shares = []
    groups = an.write_samples(
        chain, PROMPT, 5, n_new=6, seed=2, on_progress=lambda share, _what: shares.append(share)
    )
    assert [b.ids.tolist() for b in groups.writing.branches] == [
        b.ids.tolist() for b in whole.writing.branches
    ]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)


# Stopping ---------------------------------------------------------------------------------------------


def test_cancelling_leaves_what_was_written(chain, greedy):
    seen = []

    def on_token(so_far, n):
        seen.append((n, len(so_far().branches[0])))
        if n == 3:
            raise an.Cancelled

    w = an.write(chain, PROMPT, n_new=8, on_token=on_token)
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert w.branches[0].ended == "stopped" and w.path().tolist() == greedy.path().tolist()[:4]
    assert w.branches[0].after.entropy == pytest.approx(entropy_after(B), abs=NEAR)
    assert an.go_on(chain, w, n_new=5).path().tolist() == greedy.path().tolist()
    s = an.write_samples(chain, PROMPT, 3, n_new=8, seed=7, on_token=on_token)
    assert [len(b) for b in s.writing.branches] == [3, 3, 3]
    with pytest.raises(an.Cancelled):  # nothing was written yet
        an.write(chain, PROMPT, on_progress=lambda _share, what: (_ for _ in ()).throw(an.Cancelled()))


def test_others_have_their_turn_between_tokens(chain):
    """The model's lock is free whenever ``on_token`` is called."""
    free = []

    def on_token(_so_far, _n):
        def take():
            free.append(chain.lock.acquire(blocking=False))
            chain.lock.release()

        other = threading.Thread(target=take)
        other.start()
        other.join()

    an.write(chain, PROMPT, n_new=3, on_token=on_token)
    assert free == [True] * 3


def test_a_stop_text_ends_it_where_it_is_complete(chain, greedy):
    w = an.write(chain, PROMPT, n_new=8, stop=("BAB",))
    assert w.written() == "BAB" and w.branches[0].ended == "stop"
    assert an.write(chain, PROMPT, n_new=8, stop=("XX",)).path().tolist() == greedy.path().tolist()
    for wrong in ("BAB", ("",)):
        with pytest.raises(AnalysisError, match="stop text"):
            an.write(chain, PROMPT, n_new=8, stop=wrong)


def test_a_stop_text_stays_with_its_branch_and_may_begin_before_it_goes_on(chain, greedy):
    w = an.write(chain, PROMPT, n_new=2, stop=("BAB",))
    assert w.written() == "BA" and w.branches[0].stop == ("BAB",) and w.branches[0].ended == "limit"
    w = an.go_on(chain, w, n_new=6)
    assert w.written() == "BAB" and w.branches[0].ended == "stop"
    w = an.go_on(chain, w, n_new=6)
    assert w.written() == "BABAB", "what was complete before does not end it again"
    other = an.branch(chain, w, at=2, token=B, n_new=6)
    assert other.written(1) == "BBAB" and other.branches[1].stop == ("BAB",)
    free = an.go_on(chain, w, n_new=4, stop=())
    assert free.written() == "BABABABAB" and free.branches[0].stop == ()
    assert an.what_if(chain, w, at=3, k=1, n_new=6).branches[1].stop == ("BAB",)


def test_a_stop_token_that_a_person_chose_ends_it_too(chain):
    w = an.write(chain, replace(PROMPT, stop_ids=(5, B)), n_new=8)
    w = an.branch(chain, w, at=1, token=A, n_new=8)
    assert w.written() == "AB"
    w = an.branch(chain, w, at=1, token=5, n_new=8)
    assert w.branches[2].ids.tolist() == [5] and w.branches[2].ended == "stop"
    assert np.isfinite(w.branches[2].after.entropy)
    assert len(an.go_on(chain, w, of=2, n_new=2).branches[2]) == 3


def test_a_full_context_ends_it():
    model = chain_model(context_length=6)
    w = an.write(model, PROMPT, n_new=64)
    assert len(w.path()) == 6 and w.branches[0].ended == "context"
    assert an.trace_written(model, w).spec.n_tokens == 6
    more = an.go_on(model, w, n_new=2)
    assert len(more.path()) == 6 and more.branches[0].ended == "context"
    with pytest.raises(TooLongError, match="no room"):
        an.write(model, Prompt("A", (A,) * 6))


def test_what_cannot_be_done_is_said(chain, greedy):
    with pytest.raises(InvalidTextError, match="empty"):
        an.write(chain, Prompt("", ()))
    with pytest.raises(AnalysisError, match="No tokens"):
        an.write(chain, PROMPT, n_new=0)
    with pytest.raises(AnalysisError, match="No samples"):
        an.write_samples(chain, PROMPT, 0)
    for at in (0, 10):
        with pytest.raises(AnalysisError, match="goes from 1 to 9"):
            an.branch(chain, greedy, at=at)
    with pytest.raises(AnalysisError, match="no token 320"):
        an.branch(chain, greedy, at=2, token=320)
    with pytest.raises(InvalidTextError, match="no text"):
        an.branch(chain, greedy, at=2, token="")
    with pytest.raises(AnalysisError, match="no branch 1"):
        an.branch(chain, greedy, of=1, at=2)
    with pytest.raises(AnalysisError, match="written by other"):
        an.branch(chain, replace(greedy, model="other"), at=2)
    with pytest.raises(AnalysisError, match="no branch 3"):
        greedy.tokens(3)


def test_a_typed_word_is_spelt_as_typed(chain):
    """A tokenizer that puts a space in front of every text has " sea" and "sea", and takes the one that was typed."""
    names = ["<unk>", "▁", "▁sea", "sea", "\n", "▁lion", "."]
    backend = Tokenizer(models.Unigram([(name, -1.0 - i / 9) for i, name in enumerate(names)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    other = replace(
        chain, tokenizer=PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"), found={}
    )
    spelt = {text: [names[i] for i in token_ids(other, text)] for text in ("sea", " sea", " sea lion", " ")}
    assert spelt == {"sea": ["sea"], " sea": ["▁sea"], " sea lion": ["▁sea", "▁lion"], " ": ["▁"]}
    assert token_ids(chain, "AB") == (A, B)
    with pytest.raises(InvalidTextError, match="surrogate"):
        token_ids(chain, "\ud83d")


def test_caches_go_with_their_model():
    model = chain_model()
    an.write(model, PROMPT, n_new=2)
    store, memory = weakref.ref(caches(model)), cache_memory(model)
    assert store() is not None and memory.held == 3 * 16 * 4 * 2 and memory.count == 1
    del model
    gc.collect()
    assert store() is None


# Caches -----------------------------------------------------------------------------------------------


def test_a_branch_changes_nobody_s_cache(chain):
    w = an.write(chain, PROMPT, n_new=8)
    before = states_kept(chain)
    w = an.branch(chain, w, at=3, token=A, n_new=4)
    an.what_if(chain, w, of=0, at=5, k=2, n_new=4)
    assert before and all(torch.equal(held, copy) for held, copy in before.values())
    again = an.branch(chain, w, of=0, at=9, token=None, n_new=2)
    assert again.text() == "ABABABABABA"


def test_caches_are_bounded_and_the_oldest_goes_first(chain):
    store = Caches(limit=0)
    streams = []
    with torch.inference_mode():
        for letter in (2, 3, 4):
            stream = Stream(chain, cache_kind(chain))
            stream.read(torch.tensor([[letter, A, B]]))
            streams.append(stream)
    store.limit = 2 * streams[0].n_bytes
    assert streams[0].n_bytes == 3 * 16 * 4 * 2
    for stream in streams[:2]:
        store.keep(stream)
    kind = cache_kind(chain)
    assert store.beginning(kind, torch.tensor([[2, A, A]])).ids.tolist() == [
        [2, A]
    ]  # and now it is the newest
    store.keep(streams[2])
    assert store.kept == [streams[0], streams[2]] and store.held == store.limit
    assert store.beginning(kind, torch.tensor([[3, A, A]])) is None
    longer = streams[2].cut(3)
    with torch.inference_mode():
        longer.read(torch.tensor([[A]]))
    store.limit *= 4
    store.keep(longer)
    assert store.kept == [streams[0], longer]  # what it begins with serves no longer
    memory = cache_memory(chain)
    assert memory.held == caches(chain).held
    assert memory.count == sum(len(stream.ids) for stream in caches(chain).kept)
    store.limit = 1
    store.keep(streams[1])
    assert store.kept == [streams[1]]  # the newest stays, however much it takes


def test_rows_are_found_in_what_several_have_read(chain):
    """Four rows read together: all go on as they are; some, or a beginning that they share, are copied."""
    store, kind = Caches(), cache_kind(chain)
    texts = torch.tensor([[2, A, A], [2, A, B], [2, B, A], [2, B, B]])
    with torch.inference_mode():
        stream = Stream(chain, kind, 4)
        stream.read(texts)
    key = stream.cache.layers[0].keys

    def found(*ids):
        begun = store.beginning(kind, torch.tensor(ids))
        expected = key[rows_read(begun.ids), :, : len(begun)]
        torch.testing.assert_close(begun.cache.layers[0].keys, expected, atol=NEAR, rtol=0)
        return begun.ids.tolist()

    def rows_read(ids):
        return [[row[: ids.shape[1]] for row in texts.tolist()].index(one) for one in ids.tolist()]

    store.keep(stream)
    assert found([2, B, A, 5]) == [[2, B, A]]
    assert found([2, B, B, 5], [2, A, A, 6]) == [[2, B, B], [2, A, A]]
    assert found([2, B, 7], [2, B, 8]) == [[2, B], [2, B]]
    assert found([2, B, 7], [2, 7, 7]) == [[2], [2]]
    assert store.beginning(kind, torch.tensor([[2, A, A], [3, A, A]])) is None
    assert store.kept == [stream]
    assert found(*[[*row, 5] for row in texts.tolist()]) == texts.tolist() and store.kept == []


def test_a_lost_cache_is_read_again_and_says_how_far_it_is(chain, greedy):
    one = an.branch(chain, greedy, at=4, token=A, n_new=4)
    caches(chain).kept.clear()
    said = []
    other = an.branch(
        chain,
        greedy,
        at=4,
        token=A,
        n_new=4,
        on_progress=lambda share, what: said.append((share, what.split()[0])),
    )
    assert said[0] == (pytest.approx(0.1), "reading") and said[-1] == (pytest.approx(1.0), "token")
    assert one.path().tolist() == other.path().tolist()
    np.testing.assert_allclose(one.branches[1].numbers.entropy, other.branches[1].numbers.entropy, atol=NEAR)


# Ids, text, files -------------------------------------------------------------------------------------


def test_bytes_spell_what_a_decoder_spells():
    rng = np.random.default_rng(0)
    some = np.frombuffer("a日🙂é".encode() + b"\xff\x80\xed\xa0", np.uint8)
    for _ in range(2000):
        data = rng.choice(some, rng.integers(1, 9)).tobytes()
        cuts = np.sort(rng.integers(0, len(data) + 1, 3))
        pieces = [bytes(p) for p in np.split(np.frombuffer(data, np.uint8), cuts)]
        spelt = decode(pieces, ["?"] * 4)
        assert spelt.text == data.decode("utf-8", "replace")
        assert "".join(t for t in spelt.cell_text if t != "?") == spelt.text
        assert spelt.n_bytes.sum() == len(data) and set(np.diff(spelt.cell)) <= {0, 1}
        for t, piece in enumerate(pieces):
            assert (spelt.start[t] < 0) == (not piece)
    two = decode([b"A\xe6", b"\x97", b"\xa5B", b"C"], ["1", "2", "3", "4"])
    assert two.text == "A日BC" and two.start.tolist() == [0, 1, 1, 3] and two.end.tolist() == [2, 2, 3, 4]
    assert two.cell.tolist() == [0, 0, 0, 1] and two.cell_text == ("A日B", "C")


def test_text_and_cells_of_ids_are_those_of_the_text(llama):
    text = "Naïve 🙂👩‍🚀 café:\t今日は.  He </s> read"
    encoded = encode(llama.tokenizer, text)
    spelt, again = tokens_of_ids(llama.tokenizer, encoded.token_id)
    assert spelt == text and again.cell_text == encoded.cell_text
    for name in ("token_id", "start", "end", "n_bytes", "is_special", "cell"):
        assert getattr(again, name).tolist() == getattr(encoded, name).tolist(), name


def test_ids_are_read_as_they_are(llama, tmp_path):
    """The tokenizer would join h and e, and begin the last character anew."""
    vocabulary = llama.tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in ("h", "e", "Ġ", "t", "Ã", "<s>", "Ã")]
    run = an.trace_ids(llama, ids)
    assert run.tokens.token_id.tolist() == ids and run.text == "he t\ufffd<s>\ufffd"
    assert an.trace(llama, "he t").tokens.token_id.tolist() != ids[:4]
    assert run.tokens.is_special.tolist() == [False] * 5 + [True, False]
    assert "ids given" in run.spec.subtitle and len(run.spec.ids_sha256) == 64
    with torch.inference_mode():
        logits = llama.model(input_ids=torch.tensor([ids])).logits[0].double()
    surprisal = -logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0]
    np.testing.assert_allclose(run.tokens.surprisal[1:], surprisal, atol=budget.rounding(logits))
    again = an.load_trace(run.save(tmp_path / "a.trace"))
    assert again.spec == run.spec and again.text == run.text
    for wrong, said in (
        ([], "no tokens"),
        ([3, -1], "no token -1"),
        ([3, 400], "400"),
        ([3], "single token"),
    ):
        with pytest.raises(InvalidTextError, match=said):
            an.trace_ids(llama, wrong)


def test_a_file_holds_the_whole_tree(chain, greedy, tmp_path):
    w = an.branch(
        chain, greedy, at=4, token="AA", n_new=3, samplers=(("temperature", 0.7), ("top-p", 0.9)), seed=5
    )
    w = an.check_written(chain, w)
    w = replace(w, branches=(w.branches[0], replace(w.branches[1], stop=("\n\n", "日"))))
    back = an.load_writing(w.save(tmp_path / "tree.writing"))
    assert (
        back.prompt == w.prompt
        and back.names == w.names
        and back.notes == w.notes
        and back.text() == w.text()
    )
    for one, other in zip(w.branches, back.branches, strict=True):
        for name in ("parent", "at", "ended", "samplers", "sample", "forced", "checks", "name", "stop"):
            assert getattr(one, name) == getattr(other, name)
        for name, values in vars(one.numbers).items():
            assert np.array_equal(values, getattr(other.numbers, name), equal_nan=values.dtype.kind == "f"), (
                name
            )
        assert np.array_equal(one.after_state, other.after_state) and one.after.entropy == other.after.entropy
    assert np.array_equal(back.tokens().entropy, w.tokens().entropy, equal_nan=True)
    assert an.go_on(chain, back, n_new=2).path().tolist() == an.go_on(chain, w, n_new=2).path().tolist()
    data = writing_bytes(w)
    older = writing_from_bytes(data.replace(b'\\"stop\\": ', b'\\"st0p\\": '))
    assert [b.stop for b in older.branches] == [(), ()]  # before stop texts were kept
    for broken in (
        b"",
        b"abc",
        data[:-9],
        data.replace(b'\\"at\\": 4', b'\\"at\\": 0'),
        (tmp_path / "no").name.encode(),
    ):
        with pytest.raises(BrokenFileError):
            writing_from_bytes(broken)
    with pytest.raises(BrokenFileError, match="format 9"):
        writing_from_bytes(data.replace(b'\\"schema\\": 1', b'\\"schema\\": 9'))
    with pytest.raises(BrokenFileError, match="cannot be opened"):
        an.load_writing(tmp_path / "none.writing")


def test_a_check_that_fails_says_so(chain, greedy):
    good = an.check_written(chain, greedy)
    assert [check.passed for check in good.branches[0].checks] == [True] * 4
    numbers = greedy.branches[0].numbers
    for name, change in (("entropy", 2e-4), ("surprisal", 2e-4), ("varentropy", 4e-4), ("rank", 1)):
        wrong = replace(
            numbers, **{name: getattr(numbers, name) + np.asarray(change, getattr(numbers, name).dtype)}
        )
        moved = replace(greedy, branches=(replace(greedy.branches[0], numbers=wrong),))
        failed = [c.name for c in an.check_written(chain, moved).branches[0].checks if not c.passed]
        assert len(failed) == 1 and name in failed[0]
