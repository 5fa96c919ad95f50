"""Export the dense network of a bundle to ONNX and check it against torch.

What is exported takes stain densities and gives dense maps (cells) or logits (tiles); unmixing
before it and the description of single cells after it stay in this program. Needs the extra
`onnx`: pip install 'her2-ihc[onnx]'.

Example: python scripts/check_onnx.py --model her2-cells --out her2-cells.onnx
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pathology.errors import OutputError, PathologyError, UsageError
from pathology.inference import ops
from pathology.inference.bundle import Bundle, load_bundle
from pathology.inference.golden import GoldenInput, read_golden
from pathology.inference.manifest import GOLDEN_FILE, ModelManifest
from pathology.inference.tile_engine import TileInputs
from pathology.stain import StainMatrix

#: What the extra `onnx` installs: torch's exporter writes through onnxscript.
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
#: Largest allowed difference, relative to the largest value of an output (and at least 1): both
#: compute in float32, whose sums over a thousand terms in another order differ by about 1e-6.
TOLERANCE = 1e-4
OPSET = 18
#: Sides of the random inputs, detail px: not those that the graph was traced with.
SIDES = ((256, 384), (128, 128))


class DenseMaps(nn.Module):
    """Give the dense maps of a cell network as a flat list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, detail: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """Return the maps in the order of :func:`names_of`."""
        return tuple(flatten(self.network(detail, context)))


def flatten(maps: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, in order."""
    if isinstance(maps, Tensor):
        yield maps
    else:
        for part in maps:
            yield from flatten(part)


def names_of(maps: Any) -> list[str]:
    """Name the tensors of a named tuple: ``centre``, ``outline_0``, ``outline_1``, ..."""
    return [
        name if isinstance(part, Tensor) else f"{name}_{index}"
        for name, part in maps._asdict().items()
        for index, _ in enumerate(flatten(part))
    ]


def golden_inputs(bundle: Bundle) -> tuple[Tensor, ...]:
    """Return what the network sees of the bundle's golden pictures."""
    manifest = bundle.manifest
    golden, _ = read_golden(bundle.directory / GOLDEN_FILE, manifest)
    stains = StainMatrix(haematoxylin=manifest.stain.haematoxylin, dab=manifest.stain.dab)
    device = torch.device("cpu")
    if isinstance(golden, GoldenInput):
        unmix = ops.Unmixer(golden.white, stains, device)
        detail, context = torch.from_numpy(golden.detail), torch.from_numpy(golden.context)
        return unmix(detail).contiguous(), unmix(context, amounts=1).contiguous()
    if isinstance(manifest, ModelManifest):
        raise UsageError(f"{bundle.directory}: the golden file is one of a tile classifier")
    channels = TileInputs(manifest.input.channels, golden.white, stains, device)
    return (channels(torch.from_numpy(golden.tiles)).contiguous(),)


def random_inputs(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """Yield random densities: two pictures a batch, and for dense maps in other sizes."""
    generator = torch.Generator().manual_seed(0)
    if len(inputs) == 1:
        yield (torch.rand((2, *inputs[0].shape[1:]), generator=generator),)
        return
    for height, width in SIDES:
        yield (
            torch.rand((2, 2, height, width), generator=generator),
            torch.rand((2, 1, height // 2, width // 4), generator=generator),
        )


def export(bundle: Bundle, inputs: tuple[Tensor, ...], path: Path) -> nn.Module:
    """Write the ONNX file; return what it was made from."""
    dim, dense = torch.export.Dim, len(inputs) == 2
    module, outputs = bundle.network, ["logits"]
    shapes: tuple[dict[int, Any], ...] = ({0: dim("batch")},)
    if dense:
        with torch.inference_mode():
            outputs = names_of(bundle.network(*inputs))
        module = DenseMaps(bundle.network)
        shapes = (
            {0: dim("batch"), 2: 16 * dim("rows"), 3: 16 * dim("columns")},
            {0: dim("batch"), 2: 8 * dim("context_rows"), 3: 8 * dim("context_columns")},
        )
    # Two pictures: the exporter takes a batch of one for a constant.
    example = tuple(torch.cat([part[:1]] * 2) for part in inputs)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations, and that the batch has one name in two inputs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), example, path, dynamo=True, verbose=False, external_data=False,
            input_names=["detail", "context"] if dense else ["tiles"], output_names=outputs,
            opset_version=OPSET, dynamic_shapes=shapes,
        )  # fmt: skip
    return module


def differences(path: Path, module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """Run both; return the largest difference of each output, relative to its largest value."""
    import onnxruntime  # an optional package

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    feed = {name: part.numpy() for name, part in zip(names, inputs, strict=True)}
    found = session.run(None, feed)
    with torch.inference_mode():
        expected = list(flatten(module(*inputs)))
    result = {}
    for item, mine, theirs in zip(session.get_outputs(), found, expected, strict=True):
        reference = theirs.numpy()
        if mine.shape != reference.shape:
            raise UsageError(f"{path}: {item.name} is {mine.shape}, in torch {reference.shape}")
        scale = max(float(np.abs(reference).max()), 1.0)
        difference = float(np.abs(mine - reference).max()) / scale
        result[item.name] = difference if np.isfinite(difference) else float("inf")
    return result


def check(model: str, path: Path) -> float:
    """Export a model, compare on golden and random input, print each; return the largest."""
    bundle = load_bundle(model)
    inputs = golden_inputs(bundle)
    module = export(bundle, inputs, path)
    worst = 0.0
    for name, batch in [("golden", inputs), *(("random", part) for part in random_inputs(inputs))]:
        shapes = " and ".join(" × ".join(str(side) for side in part.shape) for part in batch)
        found = differences(path, module, batch)
        for output, difference in found.items():
            print(f"{name:7s} {shapes:36s} {output:12s} {difference:.1e}")
        worst = max(worst, *found.values())
    return worst


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="her2-cells", help="bundled model or folder")
    parser.add_argument("--out", type=Path, help="where the ONNX file is kept; else it is not")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    args = parser.parse_args(arguments)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"error: {', '.join(missing)} not installed. pip install 'her2-ihc[onnx]'",
            file=sys.stderr,
        )
        return 2
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx" if args.out is None else args.out
            if not path.parent.is_dir():
                raise OutputError(f"{path.parent}: no such folder")
            worst = check(args.model, path)
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    good = worst <= args.tolerance
    print(
        f"largest relative difference {worst:.1e}, allowed {args.tolerance:.0e}: "
        f"{'the same' if good else 'NOT THE SAME'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
