"""A tiny run and a client of its pages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException, Request
from starlette.middleware import Middleware

from pathology.cells.table import CellTable
from pathology.provenance import SlideIdentity
from pathology.review.app import create_app
from pathology.review.gate import Visitor
from pathology.review.run import ReviewRun
from pathology.runs import CellWriter, SlideResult, TileRow, write_results, write_tiles
from pathology.runs.blocks import BoxBlock, GridBlock, SpacingBlock
from pathology.synthesis.tiff import write_pyramid
from pathology.wsi import open_slide

HOSTILE = "<script>alert(1)</script>-0123456789"


class OpenGate:
    """Let everyone in who says so; keep back what the test names."""

    def __init__(self, *, withheld: frozenset[str] = frozenset(), blinded: bool = False) -> None:
        self.withheld, self.blinded = withheld, blinded

    def enter(self, request: Request) -> Visitor:
        if request.headers.get("x-user") is None:
            raise HTTPException(401, {"message": "Log in first.", "fix": ""})
        return Visitor(user=request.headers["x-user"], role="reader", blinded=self.blinded)

    def is_withheld(self, visitor: Visitor, slide_id: str) -> bool:  # noqa: ARG002
        return slide_id in self.withheld

    def states(self, visitor: Visitor) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def signed(self, visitor: Visitor) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def order(self, visitor: Visitor) -> Sequence[str] | None:  # noqa: ARG002
        return None

    def reviewed(self, slide_id: str) -> SlideResult | None:  # noqa: ARG002
        return None


class NoGuard:
    """Pass everything on."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def random_cells(n: int, *, side_um: float, seed: int = 0) -> CellTable:
    """Return cells at random places."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        name: rng.random(n, dtype=np.float32)
        for name in ("tumour_probability", "cytoplasm_od", "membrane_od", "membrane_od_stained",
                     "membrane_completeness")
    }  # fmt: skip
    return CellTable(
        tile_id=np.zeros(n, dtype=np.int64),
        x_um=rng.uniform(0, side_um, n).astype(np.float32),
        y_um=rng.uniform(0, side_um, n).astype(np.float32),
        area_um2=np.full(n, 90, dtype=np.float32),
        cell_class=rng.choice(np.array([0, 0, 0, 3, 4], dtype=np.uint8), n),
        outline_r=rng.integers(20, 40, (n, 32), dtype=np.uint8),
        ray_od=rng.integers(0, 99, (n, 32), dtype=np.uint8),
        intensity=np.zeros(n, dtype=np.uint8),
        complete=np.zeros(n, dtype=np.bool_),
        pattern=rng.integers(0, 5, n, dtype=np.uint8),
        **values,
    )


def write_cells(path: Path, cells: CellTable) -> None:
    """Write cells; every tumour cell counts."""
    with CellWriter(path) as writer:
        writer.write(cells)


def tiny_run(root: Path) -> ReviewRun:
    """Write one slide of 300 × 200 px with 500 cells, and its run."""
    file = root / "<b>tiny.tif"
    pixels = np.full((200, 300, 3), 235, dtype=np.uint8)
    pixels[50:150, 60:240] = (150, 110, 160)
    write_pyramid(file, pixels, mpp=0.5, levels=1)
    with open_slide(file) as slide:
        quickhash = slide.info.quickhash
    out, slide_id = root / "run", "tiny-0123456789"
    folder = out / "slides" / slide_id
    folder.mkdir(parents=True)
    write_cells(folder / "cells.parquet", random_cells(500, side_um=100))
    write_tiles(
        folder / "tiles.parquet",
        [TileRow(tile_id=0, x_px=0, y_px=0, width_px=300, height_px=200, status="failed",
                 tissue_fraction=0.5)],
    )  # fmt: skip
    result = SlideResult(
        slide_id=slide_id,
        path=str(file),
        status="not_scorable",
        reasons=("too_few_cells",),
        case_id="<i>C1</i>",
        mpp=0.5,
        mpp_source="header",
        size_px=(300, 200),
        spacing=SpacingBlock(x=0.5, y=0.5),
        grid=GridBlock(
            box=BoxBlock(x=0, y=0, width=300, height=200), tile_px=256, block_x=1, block_y=1
        ),
        identity=SlideIdentity(
            size=file.stat().st_size, mtime_ns=0, quickhash=quickhash, inputs_sha256="0" * 64
        ),
    )
    (folder / "result.json").write_bytes(result.to_json())
    write_results(out, [result])
    return ReviewRun.open(out)


def client(run: ReviewRun, gate: OpenGate | None = None) -> Any:
    """Return a client that is logged in."""
    with warnings.catch_warnings():
        # Starlette warns about the client library that it prefers; both work.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

        app = create_app(run, security=gate or OpenGate(), guard=Middleware(NoGuard))
        return TestClient(app, headers={"x-user": "anna"})
