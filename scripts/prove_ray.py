"""Score slides on two Ray nodes, kill a worker and then a node, and compare every byte.

Two `ray start` on this machine are the nodes. The tables and the slides' files must equal those of
a local run. Without SLIDES, small slides are painted and read without a network; with them, the
bundled model reads them.

Run it so: python scripts/prove_ray.py --slides 40
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathology.batch import SilentObserver, score_folder
from pathology.cells.reader import TileReader
from pathology.config import Config, load_config
from pathology.pipeline import Progress
from pathology.runs import SlideResult
from pathology.synthesis.tiff import write_pyramid
from pathology.testing.fake_model import FakeModel
from pathology.tiling import InputSpec

#: What may differ between two runs: it says when and where they ran.
VARYING = ("run.json", "log.jsonl")
QUICK = (
    "tiling.tile_px=256",
    "scoring.bootstrap_replicates=50",
    "report.overview_px=300",
    # One thread each, so that both nodes have room for processes on a small machine.
    "inference.cpu_threads=1",
)


@dataclass(frozen=True, kw_only=True)
class FakeFactory:
    """Load the model without a network."""

    name: str = "fake/1.0.0"

    @property
    def sha256(self) -> str:
        """SHA-256 of what stands for weights."""
        return FakeModel().sha256

    @property
    def spec(self) -> InputSpec:
        """What the model wants to see."""
        return FakeModel().spec

    def devices(self, device: str) -> tuple[str, ...]:
        """Return the CPU."""
        del device
        return ("cpu",)

    def open(self, device: str, config: Config) -> TileReader:
        """Load nothing."""
        del device
        return FakeModel(config)


def paint(folder: Path, count: int) -> None:
    """Write small slides with enough cells for a score, each with its own noise and staining."""
    folder.mkdir()
    stain = load_config().stain
    y, x = np.mgrid[:448, :448]
    radius = np.hypot(x % 32 - 15.5, y % 32 - 15.5) / 2
    inside = (x >= 48) & (x < 400) & (y >= 48) & (y < 400)
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.02, x.shape)
        blue = np.where(inside, 0.12 + 0.7 * np.clip(4.5 - radius, 0, 1) + noise, 0)
        ring = np.clip(1.25 - np.abs(radius - 6.5), 0, 1)
        brown = np.where(inside, 0.3 * (number % 4) * ring, 0)
        od = blue[..., None] * np.array(stain.haematoxylin) + brown[..., None] * np.array(stain.dab)
        pixels = np.clip(np.round(240 * 10**-od), 0, 255).astype(np.uint8)
        path = folder / f"slide-{number:03d}.tif"
        write_pyramid(path, pixels, mpp=0.5, levels=2, compression="deflate")


class Node:
    """One `ray start`: a node of the cluster, with all its processes below this one."""

    def __init__(self, *words: str, folder: Path, patience_s: float) -> None:
        program = Path(sys.executable).with_name("ray")
        command = [str(program), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
        environment = {**os.environ, "RAY_TMPDIR": str(folder)}
        said = folder / f"said-{len(list(folder.iterdir()))}"
        end = time.monotonic() + patience_s
        # Ray gives a node 30 s to start, which a busy machine may not keep: then once more.
        while True:
            with said.open("wb") as file:
                self.process = subprocess.Popen(
                    [*command, *words],
                    env=environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            while b"Ray runtime started" not in said.read_bytes() and self.process.poll() is None:
                time.sleep(0.5)
            if self.process.poll() is None:
                return
            if time.monotonic() > end:
                raise SystemExit(f"a node did not start: {said.read_text()}")

    def kill(self) -> int:
        """End everything on the node at once, as a power cut does; return how many processes."""
        below = [*descendants(self.process.pid), self.process.pid]
        for pid in below:
            kill(pid)
        self.process.wait()
        return len(below)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def parents() -> dict[int, int]:
    """Return the parent of every process of this machine."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = int(fields[1])
    return found


def descendants(pid: int) -> list[int]:
    tree, below = parents(), [pid]
    for one in below:
        below += [child for child, parent in tree.items() if parent == one]
    return below[1:]


def workers(node: Node) -> list[int]:
    """Return the processes of a node that hold a model."""
    found = []
    for pid in descendants(node.process.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::RayWorker"):
            found.append(pid)
    return found


class Killer(SilentObserver):
    """Kill a worker of the first node, and later the whole second node."""

    def __init__(self, first: Node, second: Node, count: int) -> None:
        self.first, self.second, self.count = first, second, count
        self.done = 0
        self.killed: list[str] = []

    def slide_finished(self, result: SlideResult) -> None:
        """Count."""
        self.done += 1
        if result.status == "failed":
            print(f"failed: {result.slide_id} {result.error}")

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Kill, in the middle of a slide."""
        del slide_id
        # In the middle of a slide, not between two.
        if progress.stage == "open":
            return
        if not self.killed and self.done >= self.count // 4:
            found = workers(self.first)
            if found:
                kill(found[0])
                self.killed.append(f"worker {found[0]} after {self.done} slides")
        elif len(self.killed) == 1 and self.done >= self.count // 2:
            self.killed.append(f"node of {self.second.kill()} processes after {self.done} slides")

    def note(self, message: str) -> None:
        """Print what a person would see."""
        print(f"note: {message}")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in VARYING and not path.name.startswith(".")
    }


def prove(inputs: list[str], place: Path, args: argparse.Namespace) -> bool:
    model = "her2-cells" if args.inputs else FakeFactory()
    config = load_config(overrides=[*(() if args.inputs else QUICK), "inference.cpu_threads=1"])
    begin = time.monotonic()
    score_folder(inputs, place / "local", config=config, model=model, device="cpu")
    local_s = time.monotonic() - begin
    address = f"127.0.0.1:{args.port}"
    # Ray's sockets have short names only: not below a long folder.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:
        head = ("--head", f"--port={args.port}", "--include-dashboard=false")
        first = Node(*head, folder=Path(short), patience_s=args.patience)
        second = Node(f"--address={address}", folder=Path(short), patience_s=args.patience)
        count = len(list((place / "local" / "slides").iterdir()))
        observer = Killer(first, second, count)
        begin = time.monotonic()
        try:
            results = score_folder(
                inputs,
                place / "ray",
                config=config,
                model=model,
                device="cpu",
                executor="ray",
                ray_address=address,
                observer=observer,
            )
        finally:
            for node in (second, first):
                node.kill()
        ray_s = time.monotonic() - begin
    one, other = digests(place / "local"), digests(place / "ray")
    different = sorted(
        name for name in one.keys() | other.keys() if one.get(name) != other.get(name)
    )
    scored = sum(result.status == "scored" for result in results)
    print(
        f"{len(results)} slides, {scored} scored: "
        f"local {local_s:.0f} s, two Ray nodes {ray_s:.0f} s"
    )
    print(f"killed: {', '.join(observer.killed) or 'NOTHING'}")
    print(f"{len(one)} files compared; different: {', '.join(different) or 'none'}")
    return not different and len(observer.killed) == 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="*")
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--port", type=int, default=6399)
    parser.add_argument("--patience", type=float, default=180, help="seconds for a node to start")
    args = parser.parse_args()
    # A secret of this cluster's own: its nodes and this program know it, nobody else does.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        inputs = args.inputs
        if not inputs:
            paint(place / "slides", args.slides)
            inputs = [str(place / "slides")]
        return 0 if prove(inputs, place, args) else 1


if __name__ == "__main__":
    sys.exit(main())
