"""``her2 doctor``: one line for each thing that a run depends on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from pathology.cli.status import EXIT_FAILED_SLIDES

__all__ = ["Check", "doctor", "run_checks"]

#: Below this much free space a folder of ordinary slides does not fit: 10 GB.
_MIN_FREE = 10_000_000_000


@dataclass(frozen=True, kw_only=True)
class Check:
    """Hold what was looked at, whether it is well, and what was seen."""

    name: str
    ok: bool
    text: str


def doctor() -> None:
    """Check versions, devices, slide formats, the bundled models' weights and the disk."""
    well = True
    for check in run_checks():
        # One by one: the first lines are there before torch, which takes seconds, is imported.
        print(f"{'ok     ' if check.ok else 'PROBLEM'}  {check.name:<12} {check.text}", flush=True)
        well = well and check.ok
    raise typer.Exit(0 if well else EXIT_FAILED_SLIDES)


def run_checks() -> Iterator[Check]:
    """Yield all checks, the quick ones first."""
    yield from _versions()
    yield _disk("output", Path.cwd())
    yield _disk("temporary", Path(tempfile.gettempdir()))
    yield from _openslide()
    yield from _models()
    yield from _devices()


def _versions() -> Iterator[Check]:
    from pathology.provenance import versions

    found = versions()
    for name in ("her2-ihc", "python", "platform"):
        yield Check(name=name, ok=found[name] != "absent", text=found[name])
    packages = {
        name: text
        for name, text in found.items()
        if name not in ("her2-ihc", "python", "platform", "machine")
    }
    absent = [name for name, text in packages.items() if text == "absent"]
    listed = ", ".join(f"{name} {text}" for name, text in packages.items())
    yield Check(
        name="packages",
        ok=not absent,
        text=listed + (": reinstall her2-ihc" if absent else ""),
    )


def _disk(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free in {folder}"
    if free < _MIN_FREE:
        text += f": less than {_MIN_FREE / 1e9:.0f} GB, see `her2 plan` for what a folder needs"
    return Check(name=name, ok=free >= _MIN_FREE, text=text)


def _openslide() -> Iterator[Check]:
    from pathology.provenance import versions

    try:
        from pathology.wsi.discover import FLAT_SUFFIXES, SLIDE_SUFFIXES
    except (ImportError, OSError) as error:
        yield Check(
            name="openslide", ok=False, text=f"cannot be loaded ({error}): install openslide-bin"
        )
        return
    yield Check(name="openslide", ok=True, text=f"library {versions()['openslide-bin']}")
    formats = " ".join(name.removeprefix(".") for name in sorted(SLIDE_SUFFIXES))
    flat = " ".join(name.removeprefix(".") for name in sorted(FLAT_SUFFIXES))
    yield Check(name="formats", ok=True, text=f"{formats}; with --mpp also {flat}")
    yield _reading()


def _reading() -> Check:
    """Make a small pyramid of JPEG tiles, and see whether it can be read directly."""
    import numpy as np

    from pathology.errors import SlideError
    from pathology.synthesis.tiff import write_pyramid
    from pathology.wsi import open_slide

    ramp = np.arange(512, dtype=np.uint16)
    waves = np.stack([ramp[:, None] * 3 + ramp, ramp[:, None] + ramp * 5, ramp[:, None] ^ ramp], -1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "waves.tif"
            write_pyramid(path, (waves % 256).astype(np.uint8), mpp=0.5, levels=2)
            with open_slide(path) as slide:
                direct, note = slide.info.reader == "direct", slide.info.reader_note
    except (OSError, SlideError) as error:
        return Check(name="reading", ok=False, text=f"a small test slide cannot be read ({error})")
    text = "JPEG tiles straight from the file, equal to OpenSlide's"
    return Check(
        name="reading", ok=True, text=text if direct else f"through OpenSlide, slower ({note})"
    )


def _models() -> Iterator[Check]:
    from pathology.cli.models import check_models

    found = check_models()
    if not found:
        yield Check(name="model", ok=False, text="no bundled models: reinstall her2-ihc")
    for name, checked in found:
        if isinstance(checked, str):
            yield Check(name="model", ok=False, text=f"{name}: {checked}")
        else:
            text = f"{name} ({checked.kind}), weights as published (sha256 {checked.sha256[:12]}…)"
            yield Check(name="model", ok=True, text=text)


def _devices() -> Iterator[Check]:
    try:
        from pathology.inference import resolve_devices
    except ImportError as error:
        # A torch and a torchvision that do not fit each other fail here.
        yield Check(name="torch", ok=False, text=f"cannot be imported ({error}): reinstall it")
        return
    yield Check(name="devices", ok=True, text=", ".join(resolve_devices("auto")))
