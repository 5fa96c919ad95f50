"""Choose where slides are read."""

from __future__ import annotations

from typing import Literal, cast, get_args

from pathology.batch.executor import LocalExecutor
from pathology.batch.jobs import Executor
from pathology.batch.observer import Observer
from pathology.batch.readers import ReaderFactory
from pathology.config import Config
from pathology.errors import UsageError

__all__ = ["ExecutorKind", "make_executor", "parse_executor"]

ExecutorKind = Literal["local", "ray"]


def parse_executor(text: str) -> ExecutorKind:
    """Read the name of an executor.

    Raises
    ------
    UsageError
        If there is none of this name.

    Examples
    --------
    >>> parse_executor("ray")
    'ray'
    """
    for kind in get_args(ExecutorKind):
        if kind == text:
            return cast(ExecutorKind, kind)
    raise UsageError(f"--executor {text}: there is no such executor", fix="Give local or ray.")


def make_executor(
    kind: ExecutorKind,
    *,
    factory: ReaderFactory,
    config: Config,
    device: str,
    observer: Observer,
    ray_address: str | None = None,
) -> Executor:
    """Make what reads the slides; nothing is started.

    Parameters
    ----------
    kind
        ``local`` or ``ray``.
    factory, config, device, observer
        As for :class:`LocalExecutor`.
    ray_address
        Of a running cluster, such as ``auto`` or ``10.0.0.1:6379``; None takes ``RAY_ADDRESS``, or
        starts Ray on this machine.

    Raises
    ------
    UsageError
        If an address is given without Ray.
    """
    if kind == "local":
        if ray_address is not None:
            raise UsageError("--ray-address is for --executor ray", fix="Give both or neither.")
        return LocalExecutor(factory=factory, config=config, device=device, observer=observer)
    from pathology.batch.ray_executor import RayExecutor

    return RayExecutor(
        factory=factory, config=config, device=device, observer=observer, address=ray_address
    )
