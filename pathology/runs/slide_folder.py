"""The place of one slide's files in a run folder, and whether they are all there."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pathology.errors import ReasonCode, SlideError
from pathology.provenance import SlideIdentity
from pathology.runs.atomic import atomic_write_bytes, disk_errors, remove_temporary, sync_folder
from pathology.runs.layout import (
    BACKDROP,
    CELLS,
    HEATMAP,
    OVERVIEW,
    REGIONS,
    RESULT,
    TILES,
    TISSUE,
    slide_folder,
)
from pathology.runs.result import SlideResult

__all__ = ["SlideFolder"]


@dataclass(frozen=True, kw_only=True)
class SlideFolder:
    """Hold the place of one slide's files; may be handed to another process.

    Parameters
    ----------
    root
        The run folder.
    slide_id
        The slide; a plain name.
    """

    root: Path
    slide_id: str

    @property
    def path(self) -> Path:
        """The slide's folder.

        Raises
        ------
        UsageError
            If the slide id is not a plain name.
        """
        return slide_folder(self.root, self.slide_id)

    @property
    def cells(self) -> Path:
        """Path of ``cells.parquet``."""
        return self.path / CELLS

    @property
    def tiles(self) -> Path:
        """Path of ``tiles.parquet``."""
        return self.path / TILES

    @property
    def result(self) -> Path:
        """Path of ``result.json``."""
        return self.path / RESULT

    @property
    def overview(self) -> Path:
        """Path of ``overview.png``."""
        return self.path / OVERVIEW

    @property
    def heatmap(self) -> Path:
        """Path of ``heatmap.png``."""
        return self.path / HEATMAP

    @property
    def tissue(self) -> Path:
        """Path of ``tissue.png``."""
        return self.path / TISSUE

    @property
    def backdrop(self) -> Path:
        """Path of ``backdrop.jpg``."""
        return self.path / BACKDROP

    @property
    def regions(self) -> Path:
        """Path of ``regions.geojson``, which only slides with annotated regions have."""
        return self.path / REGIONS

    def begin(self) -> None:
        """Make the folder ready for a new reading: what an older one left is removed.

        ``result.json`` goes first, so that at no moment an old result stands beside new tables.

        Raises
        ------
        SlideError
            If the folder cannot be written, or is a link that leads elsewhere.
        """
        path = self._make()
        with disk_errors(path):
            # A slide that has no result needs no sync: nothing says that its files are there.
            with suppress(FileNotFoundError):
                self.result.unlink()
                sync_folder(path)
            for name in (CELLS, TILES, OVERVIEW, HEATMAP, TISSUE, BACKDROP, REGIONS):
                (path / name).unlink(missing_ok=True)
        remove_temporary(path)

    def write(self, path: Path, content: bytes) -> None:
        """Write one of the slide's files; it is durable with the result and not before.

        Parameters
        ----------
        path
            One of the paths above.
        content
            All bytes of the file.

        Raises
        ------
        SlideError
            If the disk is full or the folder cannot be written.
        """
        atomic_write_bytes(path, content, sync=False)

    def write_result(self, result: SlideResult) -> None:
        """Write ``result.json``, the last file of a slide: with it the slide is done.

        Parameters
        ----------
        result
            Of this slide; the files that it names must exist.

        Raises
        ------
        ValueError
            If it is the result of another slide, or names a file that is not there.
        SlideError
            If the disk is full or the folder cannot be written.
        """
        if result.slide_id != self.slide_id:
            raise ValueError(f"result of {result.slide_id} in the folder of {self.slide_id}")
        for file in result.outputs:
            if not (self.path / file.name).is_file():
                raise ValueError(f"{self.path / file.name}: named by the result, but not written")
        path = self._make()
        # No file system promises to keep the order of names, so those of the files are durable, as
        # are their contents, before the name that says that they are all there.
        files = [path / file.name for file in result.outputs]
        atomic_write_bytes(self.result, result.to_json(), after=[*files, path] if files else ())

    def load(self) -> SlideResult | None:
        """Read ``result.json``; None where it is missing, damaged or of another version."""
        try:
            result = SlideResult.from_json(self.result.read_bytes())
        except (OSError, ValueError):
            return None
        return result if result.slide_id == self.slide_id else None

    def done(
        self, identity: SlideIdentity, *, config_hash: str, model_sha256: str
    ) -> SlideResult | None:
        """Return the slide's result if nothing needs to be done again.

        Parameters
        ----------
        identity
            The slide as it is now.
        config_hash, model_sha256
            Of the present run.

        Returns
        -------
        SlideResult or None
            None where the slide is to be read: never read, failed, changed, read with another
            configuration or model, or with a file missing or cut short.
        """
        result = self.kept(config_hash=config_hash, model_sha256=model_sha256)
        if result is None or result.status == "failed" or result.identity is None:
            return None
        return result if result.identity.matches(identity) else None

    def kept(self, *, config_hash: str, model_sha256: str) -> SlideResult | None:
        """Return the slide's result, failed or not, if it and its files are whole.

        Parameters
        ----------
        config_hash, model_sha256
            Of the run.

        Returns
        -------
        SlideResult or None
            None where the slide was never read, was read with another configuration or model, or a
            file is missing or cut short.
        """
        result = self.load()
        if result is None or result.config_hash != config_hash:
            return None
        # A slide that was refused before the model saw it names no model.
        if result.model_sha256 not in (None, model_sha256):
            return None
        # Made once and joined as text: on a folder of ten thousand this is half of the time.
        folder = str(self.path)
        whole = all(_is_whole(f"{folder}{os.sep}{file.name}", file.rows) for file in result.outputs)
        return result if whole else None

    def _make(self) -> Path:
        path = self.path
        if path.is_symlink() or path.parent.is_symlink():
            raise SlideError(
                f"{path}: is a link, and nothing is written outside the output folder",
                reason=ReasonCode.OUTPUT_NOT_WRITABLE,
                fix="Remove the link.",
            )
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path


def _is_whole(path: str, rows: int | None) -> bool:
    if rows is None:
        return os.path.isfile(path)  # noqa: PTH113 - see above
    try:
        # Opened here, so that pyarrow does not look for the file system of a name each time.
        with pa.OSFile(path) as file:
            return int(pq.read_metadata(file).num_rows) == rows
    except (OSError, pa.ArrowException):
        return False
