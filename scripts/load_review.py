"""Put load on the record of a review: `python scripts/load_review.py --clients 200 --seconds 60`.

Makes a run of some slides, serves its record on a port of this machine, and lets that many clients
at once look, decide, tick, draw, sign and add, on the same few slides. Afterwards every answer of
200 to a change must have its events in the record, and the chain must hold. Prints what was
answered, the median and the 95th percentile of the time of an answer, and exits with 1 if
anything was lost or went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from pathology.batch import rescore_run
from pathology.review.api_actions import router
from pathology.review.context import ReviewContext, open_context
from pathology.review.security import Policy, SecurityMiddleware
from pathology.review.state import CHECKS
from pathology.review.users import Role, User
from pathology.review.verify import Verification, verify
from pathology.runs import SlideFolder, write_cases, write_results
from pathology.runs.layout import SLIDES

TICKED = dict.fromkeys(CHECKS, True)
NOTE = "looked at the glass slide"


@dataclass
class Load:
    """What was asked, and what was answered."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changed: int = 0

    def lost(self, found: Verification) -> int:
        """Events that were confirmed and are not in the record."""
        return max(0, self.changed - found.events)


def make_run(folder: Path, slides: int, cells: int) -> Path:
    path = Path(__file__).with_name("benchmark_rescore.py")
    spec = importlib.util.spec_from_file_location("benchmark_rescore_for_load", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: cannot be loaded")
    benchmark: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.write_run(folder / "drawn", cells)
    quick = ["scoring.bootstrap_replicates=20"]
    (first,) = rescore_run(folder / "drawn", folder / "run", overrides=quick)
    run, results = folder / "run", []
    for k in range(slides):
        there = SlideFolder(root=run, slide_id=f"s{k}")
        shutil.copytree(run / SLIDES / first.slide_id, there.path)
        results.append(first.model_copy(update={"slide_id": f"s{k}", "path": f"s{k}.svs"}))
        there.write_result(results[-1])
    shutil.rmtree(run / SLIDES / first.slide_id)
    write_cases(run, write_results(run, results))
    return run


class Client:
    """One reader in a hurry."""

    def __init__(self, http: httpx.AsyncClient, load: Load, slides: int, seed: int) -> None:
        self.http, self.load, self.slides = http, load, slides
        self.chance = random.Random(seed)  # noqa: S311 - load, not secrets
        self.headers: dict[str, str] = {}

    async def run(self, token: str, until: float) -> None:
        """Sign in, and act until the time is up."""
        answer = await self.ask("POST", "login", "/api/login", json={"token": token})
        if answer is None:
            return
        self.headers = {"X-CSRF-Token": answer["csrf"]}
        await self.step(token)
        while time.monotonic() < until:
            await self.step(token)

    async def step(self, token: str) -> None:
        """Look at a slide, and perhaps do something with it."""
        place = f"/api/slides/s{self.chance.randrange(self.slides)}"
        seen = await self.ask("GET", "look", f"{place}/review")
        if seen is None:
            return
        what, body = self.choose(seen, token)
        if what:
            body = {"expected": seen["version"], **body}
            after = await self.ask("POST", what, f"{place}/{what}", json=body)
            if after is not None:
                # A signature here always brings a checklist of its own.
                self.load.changed += 2 if what == "sign" else 1

    def choose(self, seen: dict[str, Any], token: str) -> tuple[str, dict[str, Any]]:
        """Choose what to do, and say it as a request; nothing where only looking."""
        if seen["status"] in ("signed", "addendum"):
            text = f"addendum {self.chance.random()}"
            return ("addendum", {"text": text}) if self.chance.random() < 0.5 else ("", {})
        draw = self.chance.random()
        decided = seen["decision"] is not None and not seen["decision"]["stale"]
        if draw < 0.02 and decided:
            # A note of its own, so that the checklist is recorded with the signature.
            note = f"{NOTE} {self.chance.random()}"
            return "sign", {"token": token, "checklist": TICKED, "note": note}
        if draw < 0.04:
            side = self.chance.uniform(200, 900)
            ring = [[0, 0], [side, 0], [side, side], [0, side], [0, 0]]
            shape = {"type": "Polygon", "coordinates": [ring]}
            kind = {"classification": {"name": "Exclude"}}
            feature = {"type": "Feature", "geometry": shape, "properties": kind}
            return "regions", {"features": [feature]}
        if draw < 0.5:
            return "decision", {"kind": "agree"}
        return ("checklist", {"checklist": TICKED, "note": NOTE}) if draw < 0.6 else ("", {})

    async def ask(self, method: str, what: str, path: str, **options: Any) -> dict[str, Any] | None:
        """Send a request and count its answer."""
        start = time.perf_counter()
        try:
            answer = await self.http.request(method, path, headers=self.headers, **options)
        except httpx.HTTPError as error:
            self.load.problems.append(f"{what}: {type(error).__name__} {error}")
            return None
        self.load.seconds.append(time.perf_counter() - start)
        self.load.answers[what, answer.status_code] += 1
        if answer.status_code not in (200, 409):
            self.load.problems.append(f"{what}: {answer.status_code} {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 else None


def put_load(context: ReviewContext, server: uvicorn.Server, clients: int, seconds: float) -> Load:
    load = Load()
    port, slides = context.policy.port, len(context.rows)

    async def everyone() -> None:
        until = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits
        ) as http:
            # One browser per client: cookies are not shared.
            shells = [_Shell(http) for _ in range(clients)]
            runs = [
                Client(shell, load, slides, k).run(context.sessions.token, until)  # type: ignore[arg-type]
                for k, shell in enumerate(shells)
            ]
            await asyncio.gather(*runs)

    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        asyncio.run(everyone())
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    return load


class _Shell:
    """Share connections and keep cookies apart."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.cookie = http, ""

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**options.pop("headers", {}), "Cookie": self.cookie}
        answer = await self.http.request(method, path, headers=headers, **options)
        self.http.cookies.clear()
        given = answer.headers.get("set-cookie")
        if given:
            self.cookie = given.split(";")[0]
        return answer


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(run: Path, clients: int, seconds: float) -> tuple[Load, Verification]:
    user = User(name="Load", role=Role.SENIOR_READER)
    port = free_port()
    context = open_context(run, local=user, policy=Policy(host="127.0.0.1", port=port))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.include_router(router)
    config = uvicorn.Config(
        SecurityMiddleware(app, context.policy),
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="off",
        ws="none",
        # Clients drop a connection after 5 s without use; the server must not be the first.
        timeout_keep_alive=120,
    )
    try:
        load = put_load(context, uvicorn.Server(config), clients, seconds)
    finally:
        context.close()
    return load, verify(run)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--cells", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), options.slides, options.cells)
        load, found = serve(run, options.clients, options.seconds)
    for (what, status), n in sorted(load.answers.items()):
        print(f"{what:12} {status}  {n:,}")
    times = sorted(load.seconds)
    middle, high = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"{len(times):,} answers; median {1000 * middle:.0f} ms, 95 % in {1000 * high:.0f} ms")
    print(f"{found.events:,} events, {load.changed:,} confirmed, {load.lost(found)} lost")
    print("the chain holds" if found.ok else f"broken: {found.problem}")
    for problem in load.problems[:10]:
        print(problem)
    return 0 if found.ok and not load.problems and not load.lost(found) else 1


if __name__ == "__main__":
    sys.exit(main())
