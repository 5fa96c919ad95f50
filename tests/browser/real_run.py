"""The middle of two real cores, scored with the bundled model by the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

#: One with strong and one with weak to moderate staining; 0.6 mm of each keeps it short.
CORES = ("3_a1f1510c", "2_0123a214")
SIDE_PX = 2400
_SCORE = "import sys; from pathology.cli.app import app; sys.argv = ['her2', *sys.argv[1:]]; app()"


def make_real_run(data: Path, root: Path) -> Path:
    """Cut, write and score; returns the run folder."""
    import openslide

    from pathology.synthesis.tiff import write_pyramid

    slides = root / "slides"
    slides.mkdir()
    for name in CORES:
        with openslide.OpenSlide(data / "cores" / f"{name}.tif") as core:
            mpp = float(core.properties["openslide.mpp-x"])
            corner = tuple((side - SIDE_PX) // 2 for side in core.dimensions)
            picture = core.read_region(corner, 0, (SIDE_PX, SIDE_PX))
        pixels = np.ascontiguousarray(np.asarray(picture)[..., :3])
        write_pyramid(slides / f"core_{name}.tif", pixels, mpp=mpp, levels=3)
    (root / "manifest.csv").write_text(
        "path,case_id,block_id,assay\n"
        + "".join(f"slides/core_{name}.tif,{name[2:]},A1,4B5\n" for name in CORES),
        encoding="utf-8",
    )
    command = ["score", str(root / "manifest.csv"), "--out", str(root / "run"), "--device", "cpu"]
    for key in ("scoring.bootstrap_replicates=100", "scoring.min_tumour_cells=50"):
        command += ["--set", key]
    subprocess.run([sys.executable, "-c", _SCORE, *command], check=True)
    return root / "run"
