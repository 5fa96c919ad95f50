"""Print how the focus score falls with blur, over the training distribution of synthetic tissue.

Fields are rendered sharp, blurred as light, and then sharpened, given noise and compressed as their
scanner does. The table stands in docs/refusals.md.

    python scripts/focus_curve.py --fields 60
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np
from scipy import ndimage

from pathology.config import load_config
from pathology.synthesis import render_field
from pathology.synthesis.optics import jpeg_round_trip
from pathology.synthesis.sampling import random_field_spec
from pathology.synthesis.spec import Appearance
from pathology.tissue import focus_score
from pathology.types import U8Array

#: Blur of the rendered fields, µm (sigma): a good objective of 20×.
SHARP_UM = 0.3
TOTALS_UM = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
SIDE_PX, MPP = 384, 0.5
SEED = 5000


def defocus(rgb: U8Array, look: Appearance, total_um: float, rng: np.random.Generator) -> U8Array:
    """Blur a sharp picture to ``total_um`` and do to it what its scanner does after the optics."""
    sigma = math.sqrt(max(total_um**2 - SHARP_UM**2, 0.0)) / MPP
    light = rgb.astype(np.float32)
    if sigma > 0:
        light = ndimage.gaussian_filter(light, (sigma, sigma, 0))
    light += look.sharpen * (light - ndimage.gaussian_filter(light, (0.9, 0.9, 0)))
    light += look.noise * rng.standard_normal(light.shape, dtype=np.float32)
    return jpeg_round_trip(light.clip(0, 255).astype(np.uint8), look.jpeg_quality)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=60)
    count = parser.parse_args().fields
    limit = load_config().scoring.focus_min
    scores: dict[float, list[float]] = {total: [] for total in TOTALS_UM}
    rng, seed = np.random.default_rng(0), SEED
    while len(scores[SHARP_UM]) < count:
        seed += 1
        spec = random_field_spec(np.random.default_rng([seed, 77]), size_px=SIDE_PX, mpp=MPP)
        if spec.composition.architecture == "none":
            continue
        look = spec.appearance
        clear = replace(look, blur_um=SHARP_UM, sharpen=0.0, noise=0.0, jpeg_quality=0)
        rgb = render_field(replace(spec, appearance=clear), seed).rgb
        for total in TOTALS_UM:
            scores[total].append(focus_score(defocus(rgb, look, total, rng)))
    print(f"| blur, µm | 5 % | median | 95 % | below {limit:g} |\n|---|---|---|---|---|")
    for total, found in scores.items():
        low, middle, high = np.nanquantile(found, [0.05, 0.5, 0.95])
        share = 100 * float(np.mean(np.array(found) < limit))
        print(f"| {total:g} | {low:.2f} | {middle:.2f} | {high:.2f} | {share:.0f} % |")


if __name__ == "__main__":
    main()
