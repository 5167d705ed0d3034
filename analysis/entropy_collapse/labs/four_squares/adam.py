"""Adam, written out: the optimiser of torch brings a second of imports that nobody can cancel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-8


class Adam:
    """Adam with its usual constants and no weight decay (Kingma and Ba 2015).

    Parameters
    ----------
    parameters : iterable of torch.Tensor
        What is trained.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.count = 0

    def step(self, loss: Tensor, learning_rate: float) -> None:
        """Follow the gradient of a loss once.

        Parameters
        ----------
        loss : torch.Tensor
            A scalar that depends on the parameters.
        learning_rate : float
            Of this step.
        """
        gradients = torch.autograd.grad(loss, self.parameters)
        self.count += 1
        rate = learning_rate / (1 - _FIRST**self.count)
        unbias = (1 - _SECOND**self.count) ** 0.5
        with torch.no_grad():
            for p, g, mean, square in zip(self.parameters, gradients, self.mean, self.square, strict=True):
                mean.lerp_(g, 1 - _FIRST)
                square.mul_(_SECOND).addcmul_(g, g, value=1 - _SECOND)
                p.addcdiv_(mean, square.sqrt().div_(unbias).add_(_SMALL), value=-rate)
