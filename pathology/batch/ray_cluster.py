"""The little that is asked of Ray: join a cluster, see what it has, start and end processes.

Ray is imported here and nowhere else, and only when a run asks for it.
"""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from pathology.batch.messages import Job
from pathology.batch.ray_worker import RayWorker
from pathology.batch.readers import ReaderFactory
from pathology.config import Config
from pathology.errors import UsageError

__all__ = ["RayCluster", "RayProcess"]

#: How often Ray is started on this machine before that is given up.
_START_ATTEMPTS = 3


@dataclass(eq=False, kw_only=True)
class RayProcess:
    """One process on a node, as the command sees it.

    Parameters
    ----------
    handle
        Ray's handle of the actor.
    pending
        The answer that is waited for: to ``open`` or to a slide.
    job
        The slide that it works on.
    progress
        The answer to the last question how far it is.
    node, device
        Where it runs, once it has said so.
    """

    handle: Any
    pending: Any
    job: Job | None = None
    progress: Any = None
    node: str = ""
    device: str = ""

    @property
    def ready(self) -> bool:
        """Whether its model is loaded and it waits for a slide."""
        return self.pending is None


class RayCluster:
    """Join a cluster for one run.

    Parameters
    ----------
    address
        ``auto`` or ``host:port``; None takes ``RAY_ADDRESS``, or starts Ray on this machine.

    Raises
    ------
    UsageError
        If Ray is not installed or the cluster does not answer.
    """

    def __init__(self, address: str | None) -> None:
        # No program of ours speaks to the outside; Ray's reports of its use are off.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if address is not None and address.startswith("ray://"):
            raise UsageError(
                f"--ray-address {address}: Ray Client is not supported",
                fix="Run the command on a node of the cluster, with --ray-address auto.",
            )
        self._ray = _import_ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._join(address)

    def lost_errors(self) -> tuple[type[BaseException], ...]:
        """Return what Ray raises when a process or its node has gone."""
        return (self._ray.exceptions.RayError,)

    def nodes(self) -> list[dict[str, float]]:
        """Return the resources of each living node, such as ``CPU`` and ``GPU``."""
        return [dict(node["Resources"]) for node in self._ray.nodes() if node["Alive"]]

    def launch(
        self, factory: ReaderFactory, config: Config, device: str, *, cpus: int, gpus: int
    ) -> RayProcess:
        """Start a process; it loads the model as soon as a node has room for it."""
        actor = self._ray.remote(RayWorker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            # One thread for the slide, one to say how far it is. A process that has gone is not
            # started again by Ray: this program does that, and gives its slide to another one.
            max_concurrency=2,
            max_restarts=0,
            max_task_retries=0,
        )
        handle = actor.remote(factory, config, device, os.getcwd())  # noqa: PTH109
        return RayProcess(handle=handle, pending=handle.open.remote())

    def finished(self, references: list[Any], seconds: float) -> list[Any]:
        """Return those of the answers that are there, after waiting for the first one."""
        if not references:
            return []
        ready, _ = self._ray.wait(references, num_returns=1, timeout=seconds)
        if not ready:
            return []
        more, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return list(more or ready)

    def answer(self, reference: Any) -> Any:
        """Return an answer that is there, or raise what became of its process."""
        return self._ray.get(reference)

    def end(self, process: RayProcess) -> None:
        """End a process at once; nothing to do for one that has gone."""
        try:
            self._ray.kill(process.handle)
        except self.lost_errors():
            return

    def leave(self) -> None:
        """Leave the cluster; one that was started for this run ends."""
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()

    def _join(self, address: str | None) -> None:
        alone = address is None and not os.environ.get("RAY_ADDRESS")
        # A dashboard opens ports that nobody asked for.
        extra = {"include_dashboard": False} if alone else {}
        # Ray gives itself 30 s to start on this machine, which a busy one may not keep.
        for _ in range(_START_ATTEMPTS if alone else 1):
            try:
                self._ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, **extra
                )
                return
            except Exception as error:  # noqa: BLE001 - Ray raises all kinds, the bare one too
                problem = error
                if alone:
                    self._ray.shutdown()
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        where = (
            "Ray does not start here"
            if alone
            else f"no cluster answers at {address or 'RAY_ADDRESS'}"
        )
        raise UsageError(
            f"--executor ray: {where} ({lines[0]})",
            fix="Start one with `ray start --head`, and give its address; a cluster with a token "
            "wants RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.",
        ) from problem


def _import_ray() -> Any:
    try:
        with warnings.catch_warnings():
            # Of Ray's own making; they say nothing about slides.
            warnings.simplefilter("ignore")
            import ray
            import ray.exceptions
    except ImportError as error:
        raise UsageError(
            f"--executor ray needs Ray ({error})", fix="pip install 'her2-ihc[ray]'"
        ) from error
    return ray
