"""Weights between those that a training started from and those that it learned."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["blend"]


def blend(learned: nn.Module, start: nn.Module, share: float) -> nn.Module:
    """Return a network whose weights lie between two networks' weights.

    What a training learns from one kind of pictures costs some of what the network could do with
    others. Weights between the old and the new ones often keep most of both (Wortsman et al.,
    Robust fine-tuning of zero-shot models, CVPR 2022:7949-7961).

    Parameters
    ----------
    learned
        The network after the training.
    start
        The network before it, of the same architecture.
    share
        Share of the old weights, 0 to 1.

    Returns
    -------
    torch.nn.Module
        A copy of ``learned``; weights that are equal in both stay bit for bit, and so do whole
        numbers (how many batches a normalisation has seen).

    Raises
    ------
    ValueError
        If the networks' weights do not go together.

    Examples
    --------
    >>> old, new = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.constant_(old.weight, 1.0), nn.init.constant_(new.weight, 3.0)
    >>> blend(new, old, 0.25).weight.item()
    2.5
    """
    between = copy.deepcopy(learned)
    before, after = start.state_dict(), between.state_dict()
    if {name: part.shape for name, part in before.items()} != {
        name: part.shape for name, part in after.items()
    }:
        raise ValueError("the two networks have other weights")
    with torch.no_grad():
        for name, part in after.items():
            if part.is_floating_point():
                # From the new weights on: where nothing was learned, nothing is rounded.
                part += share * (before[name].to(part) - part)
    return between
