"""What the pages read: the list, the slide's picture, what is laid over it, and the panel.

Nothing here writes. Every answer asks the gate first, and leaves out what is kept from the visitor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from pathology.errors import PathologyError
from pathology.geometry import Size0, Spacing
from pathology.review.cellindex import CellIndexes
from pathology.review.cellwire import pack_view
from pathology.review.deepzoom import (
    MAGNIFICATIONS,
    TILE_PX,
    SlideCache,
    ZoomPicture,
    check_open,
    tile_etag,
)
from pathology.review.gate import Gate
from pathology.review.overlays import (
    area_rings,
    areas,
    cell_facts,
    ground,
    legend,
    region_features,
    tile_marks,
)
from pathology.review.panel import example_places, od_histogram, panel
from pathology.review.pictures import thumbnail_jpeg
from pathology.review.run import ReviewRun
from pathology.review.worklist import worklist
from pathology.runs import SlideResult
from pathology.runs.layout import is_slide_id

__all__ = ["Views", "views_router"]

#: Pictures may lie in the browser's own cache, and nowhere between; they are asked for again.
_KEEP: Final = {"Cache-Control": "private, max-age=3600"}
_FRESH: Final = {"Cache-Control": "no-store"}
#: Folder of the copies of cells, below the run folder.
_COPIES: Final = ("review", "cells")


@dataclass(frozen=True, kw_only=True)
class Views:
    """Hold what the answers are made from.

    Parameters
    ----------
    run
        The run.
    gate
        Says who may see what.
    """

    run: ReviewRun
    gate: Gate
    slides: SlideCache = field(init=False)
    cells: CellIndexes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slides", SlideCache(self.run))
        object.__setattr__(self, "cells", CellIndexes(self.run.root.joinpath(*_COPIES)))

    def known(self, slide_id: str) -> str:
        """Return the id of a slide of the run; 404 for everything else."""
        if not is_slide_id(slide_id) or slide_id not in self.run.rows:
            raise HTTPException(404, {"message": "The run has no such slide.", "fix": ""})
        return slide_id

    def shown(self, request: Request, slide_id: str) -> str:
        """Return the id of a slide whose reading the visitor may see; 403 while it is kept back."""
        visitor = self.gate.enter(request)
        known = self.known(slide_id)
        if self.gate.is_withheld(visitor, known):
            message = "The program's reading is shown after your first read is locked."
            raise HTTPException(403, {"message": message, "fix": "", "withheld": True})
        return known

    def seen(self, request: Request, slide_id: str) -> str:
        """Return the id of a slide that the visitor may look at."""
        self.gate.enter(request)
        return self.known(slide_id)


def views_router(views: Views) -> APIRouter:
    """Return the routes of the pages.

    Parameters
    ----------
    views
        What the answers are made from.
    """
    router = APIRouter(prefix="/api")
    _add_list(router, views)
    _add_pictures(router, views)
    _add_overlays(router, views)
    _add_panel(router, views)
    return router


def _add_list(router: APIRouter, views: Views) -> None:
    @router.get("/worklist")
    def read_worklist(request: Request) -> JSONResponse:
        run, gate = views.run, views.gate
        visitor = gate.enter(request)
        states = gate.states(visitor)
        withheld = frozenset(name for name in run.rows if gate.is_withheld(visitor, name))
        rows = worklist(
            run.rows.values(),
            states,
            withheld=withheld,
            signed=gate.signed(visitor),
            order=gate.order(visitor),
        )
        content = {
            "run": run.name,
            "blinded": visitor.blinded,
            "finished": run.finished(),
            "rows": rows,
        }
        return JSONResponse(content, headers=_FRESH)

    @router.get("/legend")
    def read_legend() -> JSONResponse:
        steps = [{"power": power, "mpp": mpp} for power, mpp in MAGNIFICATIONS]
        return JSONResponse(legend() | {"magnifications": steps}, headers=_KEEP)


def _add_pictures(router: APIRouter, views: Views) -> None:
    @router.get("/slides/{slide_id}/thumbnail.jpg")
    def read_thumbnail(request: Request, slide_id: str) -> Response:
        visitor = views.gate.enter(request)
        known = views.known(slide_id)
        grey = views.gate.is_withheld(visitor, known)
        content = thumbnail_jpeg(views.run.folder(known), grey=grey)
        if content is None:
            raise HTTPException(404, {"message": "No picture was stored.", "fix": ""})
        # What a blinded reader sees changes with the first read.
        kept = _FRESH if visitor.blinded else _KEEP
        return Response(content, media_type="image/jpeg", headers=kept)

    @router.get("/slides/{slide_id}/backdrop.jpg")
    def read_backdrop(request: Request, slide_id: str) -> Response:
        path = views.run.folder(views.seen(request, slide_id)).backdrop
        if not path.is_file():
            raise HTTPException(404, {"message": "No picture was stored.", "fix": ""})
        return Response(path.read_bytes(), media_type="image/jpeg", headers=_KEEP)

    @router.get("/slides/{slide_id}/tiles/{level}/{column}_{row}.jpg")
    def read_tile(
        request: Request,
        slide_id: str,
        level: int,
        column: int,
        row: int,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        known = views.seen(request, slide_id)
        result = views.run.result(known)
        identity = result.identity.quickhash if result.identity else known
        tag = tile_etag(str(identity), level, column, row)
        headers = _KEEP | {"ETag": tag}
        if if_none_match == tag:
            return Response(status_code=304, headers=headers)
        zoom = _zoom(result)
        try:
            if zoom is None:
                zoom = _zoom_of_file(views.slides, known)
            content = views.slides.read(known, zoom.tile(level, column, row))
        except KeyError as error:
            raise HTTPException(404, {"message": "No such square.", "fix": ""}) from error
        return Response(content, media_type="image/jpeg", headers=headers)


def _add_overlays(router: APIRouter, views: Views) -> None:
    @router.get("/slides/{slide_id}/heatmap")
    def read_tiles_of(request: Request, slide_id: str) -> JSONResponse:
        content = tile_marks(views.run, views.shown(request, slide_id))
        return JSONResponse(content, headers=_FRESH)

    @router.get("/slides/{slide_id}/regions.geojson")
    def read_regions(request: Request, slide_id: str) -> JSONResponse:
        found = ground(views.run, views.seen(request, slide_id))
        return JSONResponse(region_features(found), headers=_FRESH)

    @router.get("/slides/{slide_id}/areas/{kind}")
    def read_area(request: Request, slide_id: str, kind: str) -> JSONResponse:
        found = ground(views.run, views.shown(request, slide_id))
        try:
            rings = area_rings(found, kind) if found is not None else []
        except KeyError as error:
            message = "The slide has no such area."
            raise HTTPException(404, {"message": message, "fix": ""}) from error
        return JSONResponse({"rings": rings}, headers=_FRESH)

    @router.get("/slides/{slide_id}/cells")
    def read_cells_in(
        request: Request,
        slide_id: str,
        left: Annotated[float, Query(ge=-1e7, le=1e7, allow_inf_nan=False)],
        top: Annotated[float, Query(ge=-1e7, le=1e7, allow_inf_nan=False)],
        right: Annotated[float, Query(ge=-1e7, le=1e7, allow_inf_nan=False)],
        bottom: Annotated[float, Query(ge=-1e7, le=1e7, allow_inf_nan=False)],
        limit: Annotated[int, Query(ge=0, le=6000)] = 6000,
    ) -> Response:
        known = views.shown(request, slide_id)
        index = views.cells.get(known, views.run.folder(known).cells)
        view = index.view(left, top, right, bottom, limit=limit)
        content = pack_view(view)
        return Response(content, media_type="application/octet-stream", headers=_FRESH)

    @router.get("/slides/{slide_id}/cells/{cell_id}")
    def read_one_cell(request: Request, slide_id: str, cell_id: int) -> JSONResponse:
        try:
            content = cell_facts(views.run, views.shown(request, slide_id), cell_id)
        except KeyError as error:
            raise HTTPException(404, {"message": "No such cell.", "fix": ""}) from error
        return JSONResponse(_finite(content), headers=_FRESH)


def _add_panel(router: APIRouter, views: Views) -> None:
    @router.get("/slides/{slide_id}")
    def read_slide(request: Request, slide_id: str) -> JSONResponse:
        visitor = views.gate.enter(request)
        known = views.known(slide_id)
        withheld = views.gate.is_withheld(visitor, known)
        return JSONResponse(_about(views, known, withheld=withheld), headers=_FRESH)

    @router.get("/slides/{slide_id}/panel")
    def read_panel(request: Request, slide_id: str) -> JSONResponse:
        known = views.shown(request, slide_id)
        reviewed = views.gate.reviewed(known)
        content = {
            "run": panel(views.run.result(known)),
            "reviewed": panel(reviewed) if reviewed is not None else None,
        }
        return JSONResponse(_finite(content), headers=_FRESH)

    @router.get("/slides/{slide_id}/histogram")
    def read_histogram(request: Request, slide_id: str) -> JSONResponse:
        known = views.shown(request, slide_id)
        path = views.run.folder(known).cells
        bars = od_histogram(views.cells.get(known, path)) if path.is_file() else {"bars": []}
        return JSONResponse(bars, headers=_FRESH)

    @router.get("/slides/{slide_id}/fields")
    def read_fields(request: Request, slide_id: str) -> JSONResponse:
        places = example_places(views.run, views.shown(request, slide_id))
        return JSONResponse({"fields": places}, headers=_FRESH)


def _about(views: Views, slide_id: str, *, withheld: bool) -> dict[str, Any]:
    run, result = views.run, views.run.result(slide_id)
    problem: PathologyError | None = check_open(views.slides, slide_id)
    moved = problem is not None and not run.file(slide_id).exists()
    zoom = _zoom(result) or (_zoom_of_file(views.slides, slide_id) if problem is None else None)
    spacing = run.spacing(slide_id)
    grid = None if result.grid is None or spacing is None else result.grid.box
    backdrop = run.folder(slide_id).backdrop.is_file() and grid is not None
    row = run.rows[slide_id]
    return {
        "slide_id": slide_id,
        "run": run.name,
        "name": "" if withheld else _file_name(row.path),
        "case": row.case_id or "",
        "block": row.block_id or "",
        "withheld": withheld,
        "picture": None
        if zoom is None
        else {
            "width": zoom.width,
            "height": zoom.height,
            "tile_px": TILE_PX,
            "max_level": zoom.max_level,
            "mpp": zoom.mpp,
        },
        "problem": _problem_words(problem, withheld=withheld, moved=moved),
        "grid_um": None
        if grid is None or spacing is None
        else [
            grid.x * spacing.x,
            grid.y * spacing.y,
            grid.width * spacing.x,
            grid.height * spacing.y,
        ],
        "spacing_um": None if spacing is None else [spacing.x, spacing.y],
        "backdrop": backdrop,
        "has_cells": run.folder(slide_id).cells.is_file(),
        "areas": [] if withheld else areas(run, slide_id),
        "companions": _companions(run, slide_id, withheld=withheld),
    }


def _problem_words(
    problem: PathologyError | None, *, withheld: bool, moved: bool
) -> dict[str, Any] | None:
    if problem is None:
        return None
    message = "The slide file cannot be opened." if withheld else problem.message
    return {"message": message, "fix": problem.fix, "moved": moved}


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _companions(run: ReviewRun, slide_id: str, *, withheld: bool) -> list[dict[str, str]]:
    """Return the other slides of the case, those of the same block first."""
    row = run.rows[slide_id]
    if row.case_id is None:
        return []
    others = [
        other
        for other in run.rows.values()
        if other.case_id == row.case_id and other.slide_id != slide_id
    ]
    others.sort(key=lambda other: (other.block_id != row.block_id, other.path))
    return [
        {
            "slide_id": other.slide_id,
            "name": "" if withheld else _file_name(other.path),
            "block": other.block_id or "",
        }
        for other in others
    ]


def _zoom(result: SlideResult) -> ZoomPicture | None:
    if result.size_px is None or result.spacing is None:
        return None
    return ZoomPicture(
        size=Size0(width=result.size_px[0], height=result.size_px[1]),
        spacing=Spacing(x=result.spacing.x, y=result.spacing.y),
    )


def _zoom_of_file(slides: SlideCache, slide_id: str) -> ZoomPicture:
    info = slides.get(slide_id).info
    return ZoomPicture(size=info.size, spacing=info.spacing)


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
