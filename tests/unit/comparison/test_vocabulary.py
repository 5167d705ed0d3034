"""Vocabularies are matched by bytes and names, never by number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.vocabulary import Vocabulary, ids_of_a, match_vocabularies, vocabulary_of
from tests.tiny_models.splitters import byte_fallback
from tests.tiny_models.tokenizer import BOS_ID, EOS_ID, byte_tokenizer

NONE = frozenset()


def made(*pieces, roles=None, twins=None):
    return Vocabulary(tuple(p.encode() for p in pieces), roles or {}, twins or {})


def matched(a, b):
    found = match_vocabularies(a, b)
    shared = 0 if found.b_of_a is None else int((found.b_of_a >= 0).sum())
    assert found.b_of_a is None or (shared == found.n_shared and len(found.b_of_a) == len(a))
    assert (found.only_a, found.only_b) == (len(a) - found.n_shared, len(b) - found.n_shared)
    if found.b_of_a is not None:  # no two ids of A are one of B
        partners = found.b_of_a[found.b_of_a >= 0]
        assert len(set(partners.tolist())) == len(partners)
    return found


def test_the_same_tokens_at_the_same_ids():
    found = matched(made("a", "b", ""), made("a", "b", ""))
    assert (found.kind, found.n_shared, found.b_of_a) == ("identical", 3, None) and "3 tokens" in found.why


def test_the_same_tokens_at_other_ids():
    found = matched(made("a", "b", "c"), made("c", "a", "b"))
    assert found.kind == "permuted" and found.b_of_a.tolist() == [1, 2, 0]
    assert ids_of_a(np.array([0, 1, 2, 0]), found).tolist() == [2, 0, 1, 2]


def test_as_many_tokens_prove_nothing():
    found = matched(made("a", "b", "cd"), made("a", "b", "ef"))
    assert found.kind == "different" and found.b_of_a is None and "2 of A's 3" in found.why


def test_padding_matches_padding_at_its_place_and_nothing_else():
    same = matched(made("a", "b", "", ""), made("b", "a", "", ""))
    assert same.kind == "permuted" and same.b_of_a.tolist() == [1, 0, 2, 3]
    more = matched(made("a", "b"), made("a", "b", "", ""))
    assert (more.kind, more.n_shared, more.only_a, more.only_b) == ("extended", 2, 0, 2)
    token = matched(made("a", "b", "c"), made("a", "b", ""))
    assert token.kind == "extended" and token.b_of_a.tolist() == [0, 1, -1]


def test_added_tokens_extend():
    found = matched(made("a", "b", "ab"), made("a", "b", "ab", "abab", "ba"))
    assert (found.kind, found.only_a, found.only_b) == ("extended", 0, 2) and "at least" in found.why
    back = matched(made("a", "b", "ab", "abab", "ba"), made("a", "b", "ab"))
    assert back.kind == "extended" and back.b_of_a.tolist() == [0, 1, 2, -1, -1]
    assert ids_of_a(np.array([2, 0]), back).tolist() == [2, 0]
    assert ids_of_a(np.array([2, 4, 0]), found).tolist() == [2, -5, 0]


def test_a_vocabulary_inside_another_one_that_was_not_made_from_it_is_different():
    """Its tokens are all there, but at other ids: another tokenizer, which splits texts otherwise."""
    assert matched(made("a", "b"), made("c", "ab", "a", "b")).kind == "different"
    assert matched(made("a", "b", "x"), made("a", "b", "y")).kind == "different"


def test_special_tokens_match_by_name_and_by_id_or_role():
    bos, eos = frozenset({"bos_token_id"}), frozenset({"eos_token_id"})
    one = made("a", "b", "<s>", roles={2: bos})
    same_role = matched(one, made("<s>", "a", "b", roles={0: bos}))
    assert same_role.kind == "permuted" and same_role.b_of_a.tolist() == [1, 2, 0]
    other_role = matched(one, made("<s>", "a", "b", roles={0: eos}))
    assert other_role.kind == "extended" and other_role.b_of_a.tolist() == [1, 2, -1]
    same_id = matched(one, made("b", "a", "<s>", roles={2: eos}))
    assert same_id.kind == "permuted" and same_id.b_of_a.tolist() == [1, 0, 2]
    as_text = matched(one, made("<s>", "a", "b"))
    assert as_text.b_of_a is None or as_text.b_of_a[2] == -1  # letters that read like it


def test_a_chat_model_has_the_vocabulary_of_its_base_model():
    """Other roles, or none: at the same ids the same names are the same tokens."""
    base = made("a", "<turn>", roles={1: NONE})
    chat = made("a", "<turn>", roles={1: frozenset({"eos_token_id"})})
    assert matched(base, chat).kind == "identical"
    assert matched(base, replace(chat, roles={})).kind == "identical"


def test_several_ids_with_the_same_bytes_match_by_their_spelling_or_not_at_all():
    one = made("A", "A", "b", twins={0: "A", 1: "<0x41>"})
    other = made("b", "A", "A", twins={1: "<0x41>", 2: "A"})
    found = matched(one, other)
    assert found.kind == "permuted" and found.b_of_a.tolist() == [2, 1, 0]
    single = matched(one, made("b", "A"))
    assert single.b_of_a.tolist() == [-1, -1, 0] and (single.only_a, single.only_b) == (2, 1)


def test_what_a_vocabulary_says_of_a_tokenizer():
    tokenizer = byte_tokenizer()
    found = vocabulary_of(tokenizer, len(tokenizer) + 3)
    assert len(found) == len(tokenizer) + 3 and found.pieces[-3:] == (b"", b"", b"")
    assert found.roles == {BOS_ID: frozenset({"bos_token_id"}), EOS_ID: frozenset({"eos_token_id"})}
    assert found.pieces[BOS_ID] == b"<s>" and b" the" in found.pieces and not found.twins
    assert len(vocabulary_of(tokenizer, 10)) == 10
    fallback = vocabulary_of(byte_fallback(), len(byte_fallback()))
    doubled = {spelling for spelling in fallback.twins.values() if fallback.pieces.count(b"A") == 2}
    assert {"A", "<0x41>"} <= doubled and "<0xE6>" not in doubled


def test_models_are_matched_by_their_heads(llama):
    found = match_vocabularies(llama, llama)
    assert (found.kind, found.n_shared) == ("identical", llama.info.vocab_size)
    bare = vocabulary_of(llama.tokenizer, len(llama.tokenizer))
    assert match_vocabularies(llama, bare).kind == "extended"


def test_tokenizers_of_other_kinds_are_different():
    a, b = (vocabulary_of(t, len(t)) for t in (byte_tokenizer(), byte_fallback()))
    assert matched(a, b).kind == "different"


@pytest.mark.embedded
def test_a_small_vocabulary_within_the_embedded_one_is_different(smollm2):
    a, small = vocabulary_of(smollm2.tokenizer, 49152), vocabulary_of(byte_tokenizer(), 292)
    assert match_vocabularies(a, a).kind == "identical"
    assert match_vocabularies(a, small).kind == match_vocabularies(small, a).kind == "different"
    order = np.random.default_rng(0).permutation(49152)
    other = Vocabulary(
        tuple(a.pieces[i] for i in order),
        {new: a.roles[old] for new, old in enumerate(order.tolist()) if old in a.roles},
        {new: a.twins[old] for new, old in enumerate(order.tolist()) if old in a.twins},
    )
    found = match_vocabularies(a, other)
    shared = np.flatnonzero(found.b_of_a >= 0)
    np.testing.assert_array_equal(order[found.b_of_a[shared]], shared)
    unknown = {
        i for i, roles in a.roles.items() if not roles and order[i] != i
    }  # a name at another id, no role
    assert found.kind == "extended" and set(np.flatnonzero(found.b_of_a < 0).tolist()) == unknown
