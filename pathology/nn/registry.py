"""Networks by name, so that a bundle's manifest can say which one its weights belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from pathology.errors import ModelError
from pathology.nn.cellnet import CellNet

__all__ = ["KINDS", "NETWORKS", "build_network"]


def _tilenet(**args: Any) -> nn.Module:
    # Imported when it is used: torchvision takes seconds to import, and cell models do without it.
    from pathology.nn.tilenet import TileNet

    return TileNet(**args)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"cellnet": CellNet, "tilenet": _tilenet}
#: The kind of model that each network makes.
KINDS: dict[str, str] = {"cellnet": "cells", "tilenet": "tiles"}


def build_network(name: str, *, kind: str | None = None, **args: Any) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name
        A key of :data:`NETWORKS`.
    kind
        The kind of model it is for, ``cells`` or ``tiles``; None does not check.
    **args
        Keyword arguments of that network.

    Returns
    -------
    torch.nn.Module
        The network, in training mode.

    Raises
    ------
    ModelError
        If the name is unknown, the network makes models of another kind, or the arguments do not
        fit.

    Examples
    --------
    >>> build_network("cellnet").stride
    2
    """
    if name not in NETWORKS:
        raise ModelError(f"unknown network {name!r}", fix=f"Known: {', '.join(sorted(NETWORKS))}.")
    if kind is not None and KINDS[name] != kind:
        raise ModelError(
            f"network {name!r} makes models of kind {KINDS[name]!r}, not {kind!r}",
            fix=f"Use {', '.join(sorted(key for key, value in KINDS.items() if value == kind))}.",
        )
    try:
        return NETWORKS[name](**args)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"network {name!r}: arguments {sorted(args)} do not fit: {error}"
        ) from error
