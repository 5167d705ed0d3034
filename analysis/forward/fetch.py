"""What a pass left on the device comes over together, when the pass is over.

Asking for one number of a layer stops a GPU until all that was queued before is done.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def fetch(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Arrays of tensors, waiting for their devices once.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Of any device.

    Returns
    -------
    dict of str to numpy.ndarray
        Those of tensors on the CPU share their memory.
    """
    host: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.is_cuda:  # pinned, or each copy would wait for the one before
            place = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            host[name] = place.copy_(tensor, non_blocking=True)
        else:
            host[name] = tensor.cpu()
    for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
        torch.cuda.synchronize(device)
    return {name: x.numpy().copy() if x.is_pinned() else x.numpy() for name, x in host.items()}
