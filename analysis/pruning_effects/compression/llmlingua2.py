"""LLMLingua-2: a token classifier that was trained to say which words to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.models.adapter_files import NO_ADAPTER
from analysis.paths import clean_path
from analysis.pruning_effects.compression.answers import MethodUnavailableError
from analysis.pruning_effects.compression.passage import Passage, Scored
from analysis.pruning_effects.compression.pieces import words

MOST_IDS = 512
"""Ids the encoder reads at a time, its two special ones among them."""
_CUTS = frozenset(".\n")


def _unavailable(reason: str) -> MethodUnavailableError:
    return MethodUnavailableError(
        f"LLMLingua-2 is not available: {reason}.",
        "Give the folder of its token classifier with config.json, tokenizer and safetensors weights.",
    )


def load_classifier(folder: str | None) -> tuple[Any, Any]:
    """Open a token classifier with two classes from a local folder.

    Parameters
    ----------
    folder : str or None
        Where ``save_pretrained`` wrote it. Nothing is fetched.

    Returns
    -------
    tuple
        transformers' model and tokenizer.

    Raises
    ------
    MethodUnavailableError
        If there is no folder, no such model in it, or it has another number of classes.
    """
    if not folder or not folder.strip():
        raise _unavailable("its weights are not part of this package and no folder was given")
    where = Path(clean_path(folder)).expanduser()
    if not where.is_dir():
        raise _unavailable(f"there is no folder {folder}")
    if not (where / "config.json").is_file() or not any(where.glob("*.safetensors")):
        raise _unavailable(f"the folder {folder} has no config.json or no safetensors weights")
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    try:
        architectures = json.loads((where / "config.json").read_text(encoding="utf-8")).get("architectures")
        if not any("TokenClassification" in str(name) for name in architectures or ()):
            raise _unavailable("the folder holds another kind of model")
        tokenizer = AutoTokenizer.from_pretrained(str(where), trust_remote_code=False, local_files_only=True)
        model = AutoModelForTokenClassification.from_pretrained(
            str(where),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            **NO_ADAPTER,
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        line = str(error).strip().partition("\n")[0][:160]
        raise _unavailable(f"the folder could not be opened ({line})") from error
    if model.config.num_labels != 2:
        raise _unavailable(f"the classifier has {model.config.num_labels} classes instead of 2")
    if not tokenizer.is_fast:
        raise _unavailable("its tokenizer does not say which characters a token covers")
    return model.eval(), tokenizer


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids that the classifier's tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    return full[:at], full[at + len(bare) :]


def chunks(ends: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Stretches of a token sequence, cut after a token that ends in a dot or line break.

    Parameters
    ----------
    ends : numpy.ndarray of bool, shape (n,)
        Where a stretch may end.
    most : int
        Tokens a stretch may have; without a cut inside it is filled up.

    Returns
    -------
    list of (int, int)
        Without gaps from 0 to n.
    """
    out, begin, n = [], 0, len(ends)
    while begin < n:
        end = min(begin + most, n)
        if end < n and ends[begin:end].any():
            end = begin + int(np.flatnonzero(ends[begin:end])[-1]) + 1
        out.append((begin, end))
        begin = end
    return out


def llmlingua2(passage: Passage) -> Scored:
    """Probability that a word is kept, from a trained token classifier.

    Parameters
    ----------
    passage : Passage
        The text and the folder of the classifier.

    Returns
    -------
    Scored
        Softmax probability of class 1 per piece of the classifier's own tokenizer, averaged
        over the pieces of a word; every token of the model has its word's.

    Raises
    ------
    MethodUnavailableError
        If the classifier is not there.

    Notes
    -----
    Deviations: words are ours (see :func:`~.pieces.words`); the most probable words that fit the
    token budget stay, where the original keeps those above a percentile of probabilities
    repeated by token; no forced tokens and digits. Special tokens are those of the
    classifier's own tokenizer, which the released code gets wrong for XLM-R (its issue 181).

    References
    ----------
    Pan et al. 2024, arXiv:2403.12968; code: microsoft/LLMLingua, release 0.2.2.
    """
    classifier, tokenizer = load_classifier(passage.classifier)
    device = passage.reader.model.anatomy.head.weight.device
    classifier = classifier.to(device)
    text = passage.text
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids, spans = encoded["input_ids"], encoded["offset_mapping"]
    lead, trail = _around(tokenizer)
    room = min(MOST_IDS, int(getattr(classifier.config, "max_position_embeddings", MOST_IDS) or MOST_IDS))
    is_cut = np.array([b > a and text[b - 1] in _CUTS for a, b in spans], bool)
    probability = np.empty(len(ids))
    for begin, end in chunks(is_cut, room - len(lead) - len(trail)):
        passage.report(begin / len(ids), "LLMLingua-2")
        piece = torch.tensor([[*lead, *ids[begin:end], *trail]], device=device)
        logits = classifier(input_ids=piece).logits[0, len(lead) : len(lead) + end - begin].float()
        probability[begin:end] = torch.softmax(logits, -1)[:, 1].cpu().numpy()
    starts = np.array([a for a, _ in words(text)])
    middles = [(a + b - 1) // 2 for a, b in spans]  # a piece may begin with the space before its word
    word = np.searchsorted(starts, middles, side="right") - 1
    sums = np.bincount(word, weights=probability, minlength=len(starts))
    count = np.bincount(word, minlength=len(starts))
    with np.errstate(invalid="ignore"):
        per_word = np.where(count > 0, sums / count, np.nan)
    begins = np.maximum(np.maximum.accumulate(passage.tokens.start), 0)
    values = per_word[np.searchsorted(starts, begins, side="right") - 1]
    return Scored(values.astype(np.float32), "probability of being kept")
