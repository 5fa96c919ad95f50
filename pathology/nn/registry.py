"""Networks by name, so that a bundle's manifest can say which one its weights belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from pathology.errors import ModelError
from pathology.nn.cellnet import CellNet

__all__ = ["NETWORKS", "build_network"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {"cellnet": CellNet}


def build_network(name: str, **args: Any) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name
        A key of :data:`NETWORKS`.
    **args
        Keyword arguments of that network.

    Returns
    -------
    torch.nn.Module
        The network, in training mode.

    Raises
    ------
    ModelError
        If the name is unknown or the arguments do not fit.

    Examples
    --------
    >>> build_network("cellnet").stride
    2
    """
    if name not in NETWORKS:
        raise ModelError(f"unknown network {name!r}", fix=f"Known: {', '.join(sorted(NETWORKS))}.")
    try:
        return NETWORKS[name](**args)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"network {name!r}: arguments {sorted(args)} do not fit: {error}"
        ) from error
