"""Write a large synthetic slide as scanners do, for measuring speed and memory.

Run it so: python scripts/make_slide.py slide.tif --mm2 225 --mpp 0.25
           python scripts/make_slide.py slide.tif --mm2 225 --mpp 0.5 --tile-px 512 --quality 70
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from pathology.errors import PathologyError
from pathology.synthesis.mosaic import MosaicSpec, write_mosaic


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path, help="file to write")
    parser.add_argument("--mm2", type=float, default=225.0, help="tissue, mm² (%(default)s)")
    parser.add_argument("--mpp", type=float, default=0.25, help="µm per pixel (%(default)s)")
    parser.add_argument("--tile-px", type=int, default=256, help="storage tiles (%(default)s)")
    parser.add_argument("--quality", type=int, default=80, help="of JPEG (%(default)s)")
    parser.add_argument("--tumour-share", type=float, default=0.3, help="(%(default)s)")
    parser.add_argument("--score", default="2+", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    try:
        spec = MosaicSpec(
            tissue_mm2=args.mm2, mpp=args.mpp, tile_px=args.tile_px, quality=args.quality,
            tumour_share=args.tumour_share, score=args.score,
        )  # fmt: skip
        truth = write_mosaic(spec, args.slide, seed=args.seed)
    except (ValueError, PathologyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({**dataclasses.asdict(truth), "bytes": args.slide.stat().st_size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
