"""Calibration: one temperature, so that of the pairs scored 0.7 about seven in ten are right.

The promise: labels do not change, only how sure the model says it is. The temperature goes into the last layer, so the
exported model needs nothing beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monitor.sentiment.training.network import Network


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes `labels` [texts] most likely under `logits` [texts, 3] (Guo et al. 2017, section 4.2)."""
    candidates = torch.exp(torch.linspace(-1.5, 2.0, 351))
    losses = torch.stack([nn.functional.cross_entropy(logits / each, labels) for each in candidates])
    return float(candidates[losses.argmin()])


def apply(network: Network, value: float) -> None:
    """Divide all later logits of `network` by `value`."""
    with torch.no_grad():
        network.out.weight.div_(value)
        network.out.bias.div_(value)
