"""The policy: a transformer of one layer, small enough to be trained in front of a class.

It never touches torch's global random state: weights and samples come from a generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.entropy_collapse.labs.four_squares.task import LENGTH, N_TOKENS

WIDTH, N_HEADS, HIDDEN = 48, 4, 192
_HEAD = WIDTH // N_HEADS


class Policy(nn.Module):
    """One pre-norm layer of causal attention and an MLP; a learned vector per position.

    Parameters
    ----------
    generator : torch.Generator
        Source of the first weights.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()

        def weight(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(
                torch.empty(shape, dtype=torch.float32).normal_(0.0, scale, generator=generator)
            )

        self.token = weight(N_TOKENS, WIDTH, scale=0.3)
        self.position = weight(LENGTH, WIDTH, scale=0.3)
        self.qkv = weight(3 * WIDTH, WIDTH, scale=WIDTH**-0.5)
        self.out = weight(WIDTH, WIDTH, scale=WIDTH**-0.5)
        self.up = weight(HIDDEN, WIDTH, scale=WIDTH**-0.5)
        self.up_bias = nn.Parameter(torch.zeros(HIDDEN))
        self.down = weight(WIDTH, HIDDEN, scale=HIDDEN**-0.5)
        self.head = weight(N_TOKENS, WIDTH, scale=0.02)
        self.gains = nn.Parameter(torch.ones(3, WIDTH))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the token after each one.

        Parameters
        ----------
        ids : torch.Tensor
            int64, shape (B, T): the prompt and all written tokens but the last.

        Returns
        -------
        torch.Tensor
            float32, shape (B, T, V); entry t predicts written token t.
        """
        batch, length = ids.shape
        state = self.token[ids] + self.position[:length]
        q, k, v = (
            part.view(batch, length, N_HEADS, _HEAD).transpose(1, 2)
            for part in functional.linear(self._norm(state, 0), self.qkv).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self._finish(state, mixed.transpose(1, 2).reshape(batch, length, WIDTH))

    def _norm(self, state: Tensor, at: int) -> Tensor:
        return functional.rms_norm(state, (WIDTH,), self.gains[at], 1e-6)

    def _finish(self, state: Tensor, mixed: Tensor) -> Tensor:
        state = state + functional.linear(mixed, self.out)
        inner = functional.gelu(functional.linear(self._norm(state, 1), self.up, self.up_bias))
        state = state + functional.linear(inner, self.down)
        return functional.linear(self._norm(state, 2), self.head)

    def step(self, ids: Tensor, at: int, keys: Tensor, values: Tensor) -> Tensor:
        """Logits after one more token; its key and value are written into the cache.

        Parameters
        ----------
        ids : torch.Tensor
            int64, shape (B,): the token at position ``at``.
        at : int
            Its position; 0 is the prompt.
        keys, values : torch.Tensor
            float32, shape (B, heads, T, width of a head): the cache, filled up to ``at``.
        """
        state = self.token[ids] + self.position[at]
        q, k, v = functional.linear(self._norm(state, 0), self.qkv).view(-1, 3, N_HEADS, _HEAD).unbind(1)
        keys[:, :, at], values[:, :, at] = k, v
        scores = (keys[:, :, : at + 1] @ q.unsqueeze(-1)).squeeze(-1) * _HEAD**-0.5
        mixed = (scores.softmax(-1).unsqueeze(2) @ values[:, :, : at + 1]).squeeze(2)
        return self._finish(state, mixed.reshape(-1, WIDTH))


Temper = Callable[[Tensor], Tensor | float]
"""From log-probabilities, shape (B, V), to the temperature each row is sampled at."""


@torch.no_grad()
def sample(
    policy: Policy, prompts: Tensor, generator: torch.Generator, *, temper: Temper | float = 1.0
) -> Tensor:
    """Written tokens, sampled one after the other.

    Parameters
    ----------
    policy : Policy
        Who writes.
    prompts : torch.Tensor
        int64, shape (B,): the numbers.
    generator : torch.Generator
        Source of the samples.
    temper : float or callable, default 1
        Temperature, or a rule that gives one per row.

    Returns
    -------
    torch.Tensor
        int64, shape (B, T).
    """
    batch = len(prompts)
    keys, values = torch.empty(2, batch, N_HEADS, LENGTH, _HEAD).unbind()
    written = torch.empty(batch, LENGTH, dtype=torch.long)
    uniform = torch.rand(LENGTH, batch, 1, generator=generator)
    token = prompts
    for at in range(LENGTH):
        logits = policy.step(token, at, keys, values)
        temperature = temper if isinstance(temper, float) else temper(logits.log_softmax(-1))
        ladder = (logits / temperature).softmax(-1).cumsum(-1)
        token = (ladder < uniform[at] * ladder[:, -1:]).sum(-1)
        written[:, at] = token
    return written


@dataclass(frozen=True)
class Predictions:
    """What a policy says about written tokens."""

    logprobs: Tensor
    """float32, (B, T, V), nats: at the temperature of the run."""
    written: Tensor
    """int64, (B, T)."""

    @property
    def logprob(self) -> Tensor:
        """Log-probability of each written token; (B, T)."""
        return self.logprobs.gather(-1, self.written.unsqueeze(-1)).squeeze(-1)

    @property
    def entropy(self) -> Tensor:
        """Entropy at each written token over the whole vocabulary, nats; (B, T)."""
        return -(self.logprobs.exp() * self.logprobs).sum(-1)


def predict(policy: Policy, prompts: Tensor, written: Tensor, temperature: float = 1.0) -> Predictions:
    """Log-probabilities of a policy where tokens were written; keeps gradients.

    Parameters
    ----------
    policy : Policy
        Who is asked.
    prompts, written : torch.Tensor
        int64, shapes (B,) and (B, T).
    temperature : float, default 1
        Logits are divided by it.
    """
    ids = torch.cat([prompts.unsqueeze(1), written[:, :-1]], 1)
    return Predictions((policy(ids) / temperature).log_softmax(-1), written)
