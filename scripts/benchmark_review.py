"""Measure the review page over loopback: first picture, squares at 40x, and 1,000,000 cells.

    python scripts/benchmark_review.py [--cells 1000000] [--side 20000] [--squares 60]

Makes a slide and a table of cells in a temporary folder, serves them as ``her2 review`` does
(without its record) and asks as a browser asks. Prints medians and the 95th percentile.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "review_page"))


def make_slide(path: Path, side: int) -> None:
    """Write a JPEG pyramid of tissue-like noise at 0.25 µm/px."""
    from pathology.synthesis.tiff import write_pyramid

    rng = np.random.default_rng(1)
    patch = rng.normal(200, 22, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    copies = -(-side // 512)
    write_pyramid(path, np.tile(patch, (copies, copies, 1))[:side, :side], mpp=0.25, levels=6)


def make_run(root: Path, *, side: int, cells: int) -> tuple[object, str]:
    """Write the run of one slide."""
    from serving import random_cells, write_cells

    from pathology.review.run import ReviewRun
    from pathology.runs import SlideResult, encode_backdrop, write_results
    from pathology.runs.blocks import BoxBlock, GridBlock, SpacingBlock

    file, name = root / "big.tif", "big-0123456789"
    make_slide(file, side)
    folder = root / "run" / "slides" / name
    folder.mkdir(parents=True)
    write_cells(folder / "cells.parquet", random_cells(cells, side_um=side / 4))
    (folder / "backdrop.jpg").write_bytes(
        encode_backdrop(np.full((1000, 1000, 3), 220, dtype=np.uint8))
    )
    result = SlideResult(
        slide_id=name, path=str(file), status="not_scorable", reasons=("too_few_cells",),
        mpp=0.25, mpp_source="header", size_px=(side, side), spacing=SpacingBlock(x=0.25, y=0.25),
        grid=GridBlock(box=BoxBlock(x=0, y=0, width=side, height=side), tile_px=512, block_x=1,
                       block_y=1),
    )  # fmt: skip
    (folder / "result.json").write_bytes(result.to_json())
    write_results(root / "run", [result])
    return ReviewRun.open(root / "run"), name


def serve(run: object) -> tuple[object, int]:
    """Serve a run in a thread, and return the server and its port."""
    import uvicorn
    from serving import NoGuard, OpenGate
    from starlette.middleware import Middleware

    from pathology.review.app import create_app

    app = create_app(run, security=OpenGate(), guard=Middleware(NoGuard))  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, server.servers[0].sockets[0].getsockname()[1]


class Client:
    """Ask on one connection that stays open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ms(self, path: str) -> float:
        """Return how long an answer took, body included."""
        start = time.perf_counter()
        self.connection.request("GET", path, headers={"x-user": "b"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return 1000 * (time.perf_counter() - start)


def show(what: str, times: list[float]) -> None:
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{what:<46} median {statistics.median(times):8.1f} ms   95 % {late:8.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=20_000, help="of the slide, px")
    parser.add_argument("--squares", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, name = make_run(Path(folder), side=options.side, cells=options.cells)
        server, port = serve(run)
        client, at = Client(port), f"/api/slides/{name}"
        first = [client.ms("/api/worklist"), client.ms(at), client.ms(f"{at}/backdrop.jpg")]
        top = (options.side - 1).bit_length()
        first.append(client.ms(f"{at}/tiles/{top - 4}/0_0.jpg"))
        print(f"{'first picture: list, slide, overview, square':<46} sum    {sum(first):8.1f} ms")
        rng = np.random.default_rng(2)
        most = options.side // 512
        places = rng.integers(0, most, (options.squares, 2)).tolist()
        show("square of 512 px at 40x, each for the first time",
             [client.ms(f"{at}/tiles/{top}/{x}_{y}.jpg") for x, y in places])  # fmt: skip
        started = time.perf_counter()
        client.ms(f"{at}/cells?left=0&top=0&right=1&bottom=1")
        print(f"{'copy of the cells, once per slide':<46} {time.perf_counter() - started:14.1f} s")
        side_um = options.side / 4
        for words, width in (("40x", 360), ("20x", 720), ("10x", 1440), ("whole slide", side_um)):
            corners = rng.uniform(0, max(1, side_um - width), (20, 2)).tolist()
            show(f"cells of a view at {words}", [
                client.ms(f"{at}/cells?left={x:.0f}&top={y:.0f}&right={x + width:.0f}"
                          f"&bottom={y + 0.6 * width if width < side_um else side_um:.0f}")
                for x, y in corners
            ])  # fmt: skip
        server.should_exit = True  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
