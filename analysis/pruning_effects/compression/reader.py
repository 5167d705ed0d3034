"""The model as a reader of token ids: how surprising is each, given those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from analysis.errors import UnsupportedModelError
from analysis.forward.attention_probe import require_attention
from analysis.forward.body_pass import run_pass
from analysis.forward.plan import plan_run, require_fit
from analysis.forward.recorder import Recorder
from analysis.forward.row_check import RowCheck
from analysis.forward.unavailable import different_rows
from analysis.forward.vocabulary_head import distribution, rows_per_block
from analysis.models.loading import LanguageModel
from analysis.models.tokenization import encode
from analysis.progress import Progress


def _anchor(tokenizer: Any) -> list[int]:
    """What parts documents for this tokenizer: end of text, else beginning of text, else end."""
    ends = [i for i in tokenizer.all_special_ids if tokenizer.convert_ids_to_tokens(i) == "<|endoftext|>"]
    found = [i for i in (*ends, tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
    return [int(i) for i in found[:1]]


class Reader:
    """Reads ids with one model. Its caller holds the model (:meth:`~analysis.models.loading.LanguageModel.held`).

    Parameters
    ----------
    model : LanguageModel
        Whose probabilities count.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        tokenizer = model.tokenizer
        added = encode(tokenizer, "a")
        self.lead = [int(i) for i in added.token_id[: int(np.argmax(added.start >= 0))]]
        """What the tokenizer puts before a text by itself."""
        self.anchor = [i for i in _anchor(tokenizer) if i < model.anatomy.head.vocab_size]
        """A token to read a text after, so that its first token is predicted too; none if there is none."""
        self._fitting = 0

    def ids(self, text: str) -> list[int]:
        """Ids of a text, nothing added; empty for an empty one."""
        encoded = self.model.tokenizer(
            text, add_special_tokens=False, split_special_tokens=False, verbose=False
        )
        return [int(i) for i in encoded["input_ids"]]

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self.ids(text))

    def require_room(self, n_tokens: int) -> None:
        """Refuse what the model cannot read at once.

        Raises
        ------
        TooLongError
            If it is longer than the model's context, or than memory allows.
        """
        self.model.require_room("Context, question and answer", n_tokens)
        if n_tokens > self._fitting:
            require_fit(
                self.model, plan_run(self.model, n_tokens, attention=False), window=None, attention=False
            )
            self._fitting = n_tokens

    def surprisal(self, ids: list[int], first: int, report: Progress, what: str = "reading") -> np.ndarray:
        """-ln p of each token from ``first`` on, given all tokens before it.

        Parameters
        ----------
        ids : list of int
            Tokens to read.
        first : int
            The first one asked about. Token 0 has nothing before it and gives NaN.
        report : callable
            Told once per layer and block of the vocabulary head.
        what : str
            What to say there.

        Returns
        -------
        numpy.ndarray, float32, shape (len(ids) - first,)
            nats.
        """
        self.require_room(len(ids))
        out = np.full(len(ids) - first, np.nan, np.float32)
        rows = range(max(first, 1) - 1, len(ids) - 1)
        if not len(rows):
            return out
        n_layers, head = self.model.info.n_layers, self.model.anatomy.head
        tensor = torch.tensor(ids)
        states = run_pass(
            self.model, tensor, [], lambda layer: report(0.9 * layer / n_layers, what)
        ).final_states
        block = rows_per_block(head)
        for begin in range(rows.start, rows.stop, block):
            end = min(begin + block, rows.stop)
            log_probs, _ = distribution(head.logits(states[begin:end]))
            target = tensor[begin + 1 : end + 1, None].to(log_probs.device)
            found = -log_probs.gather(1, target)[:, 0]
            out[begin + 1 - first : end + 1 - first] = found.cpu().numpy()
            report(0.9 + 0.1 * (end - rows.start) / len(rows), what)
        return out

    def received(self, ids: list[int], report: Progress, what: str = "reading") -> np.ndarray:
        """Attention every token gets, averaged over the queries that can see it, heads and layers.

        Returns
        -------
        numpy.ndarray, float64, shape (len(ids),)
            In [0, 1].

        Raises
        ------
        UnsupportedModelError
            If attention cannot be measured, or differs from the library's on this text.
        """
        self.require_room(len(ids))
        n_layers, tensor = self.model.info.n_layers, torch.tensor(ids)
        support = require_attention(self.model, tensor, keys=False)
        check = None if support.by_maps else RowCheck(self.model, tensor)
        recorder = Recorder(support.layers, check=check)
        run_pass(self.model, tensor, [], lambda layer: report(layer / n_layers, what), recorder)
        if check is not None and not check.passed():
            raise UnsupportedModelError(
                f"Attention cannot be measured on this text. {different_rows(check)}",
                "Choose another method.",
            )
        return recorder.result().received.mean((0, 1), dtype=np.float64)
