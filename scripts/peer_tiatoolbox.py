"""Run tiatoolbox's SemanticSegmentor with a given network; started by compare_peers.py.

It needs tiatoolbox 2.1 and torch, and nothing of ours: the network comes as TorchScript. Written
from tiatoolbox's documentation (tia-toolbox.readthedocs.io, SemanticSegmentor and
IOSegmentorConfig).
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tiatoolbox.models.engine.io_config import IOSegmentorConfig
from tiatoolbox.models.engine.semantic_segmentor import SemanticSegmentor
from tiatoolbox.models.models_abc import ModelABC

#: Patches that are handed back, for comparing pixels.
_SEEN = 5


class Network(ModelABC):
    """A network that takes colours and gives one map."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.network = torch.jit.load(str(path))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the network's map."""
        return self.network(pictures.to(torch.uint8))

    @staticmethod
    def infer_batch(model: torch.nn.Module, batch_data: torch.Tensor, *, device: str) -> np.ndarray:
        """Run a batch, as the engine asks for it."""
        with torch.inference_mode():
            return model(torch.as_tensor(batch_data).to(device)).cpu().numpy()


def main() -> int:
    folder = Path(sys.argv[1])
    order = json.loads((folder / "order.json").read_text())
    units = [{"units": "mpp", "resolution": order["mpp"]}]
    shapes = IOSegmentorConfig(
        input_resolutions=units,
        output_resolutions=units,
        patch_input_shape=(order["side"], order["side"]),
        patch_output_shape=(order["core"], order["core"]),
        stride_shape=(order["core"], order["core"]),
        save_resolution=units[0],
    )
    engine = SemanticSegmentor(
        model=Network(folder / "network.pt"),
        batch_size=order["batch"],
        num_workers=order["workers"],
        device=order["device"],
        verbose=False,
    )
    begin = time.perf_counter()
    found = engine.run(
        images=[Path(order["slide"])],
        masks=[folder / "mask.png"],
        ioconfig=shapes,
        patch_mode=False,
        save_dir=folder / "out",
        output_type="zarr",
        return_probabilities=True,
        # It does not take the pixel size of an ordinary TIFF from its tags.
        wsireader_kwargs={"mpp": tuple(order["slide_mpp"])},
    )
    seconds = time.perf_counter() - begin
    np.save(folder / "canvas.npy", _map_of(found))
    patches = engine.dataloader.dataset
    _save_some(patches, folder / "seen.npz")
    answer = {
        "seconds": seconds,
        "patches": len(patches),
        "reader": type(patches.reader).__name__,
        "versions": {name: version(name) for name in ("tiatoolbox", "torch", "openslide-python")},
    }
    (folder / "answer.json").write_text(json.dumps(answer))
    return 0


def _save_some(patches: torch.utils.data.Dataset, path: Path) -> None:
    """Save what the network is given for a few patches, from the middle half of their list."""
    count = len(patches)
    some = sorted({count * (2 + step) // 8 for step in range(_SEEN)})
    items = [patches[index] for index in some]
    np.savez(
        path,
        pixels=np.stack([item["image"] for item in items]),
        bounds=np.stack([item["coords"] for item in items]),
    )


def _map_of(found: dict[Path, Path]) -> np.ndarray:
    """Return the (H, W) merged map that the engine wrote."""
    import zarr

    group = zarr.open(str(next(iter(found.values()))), mode="r")
    return np.asarray(group["probabilities"])[..., 0]


if __name__ == "__main__":
    sys.exit(main())
