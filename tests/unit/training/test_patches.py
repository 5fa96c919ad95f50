"""Folders of patches: labels by every convention, nothing wrong passes, no group is divided."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pathology.cells import PATTERNS
from pathology.training.data.patches import Patch, PatchSource, load_patches
from pathology.training.problems import TrainingDataError
from pathology.training.specs import PatchesSpec

GLASS = (236, 232, 241)


def picture(seed: int = 0, side: int = 64, *, glass: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(GLASS, 0.8, (side, side, 3)), 0, 255).astype(np.uint8)
    tissue = slice(int(side * glass), None)
    pixels[tissue] = rng.integers(60, 180, pixels[tissue].shape, dtype=np.uint8)
    return pixels


def save(path: Path, pixels: np.ndarray | None = None, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(len(str(path))) if pixels is None else pixels).save(path, **more)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in ("0", "1+", "2+", "3+"):
        for number in range(3):
            save(tmp_path / "set" / label / f"P{number}_{label[0]}{number}.png")
    return tmp_path / "set"


def spec(path: Path, **more: Any) -> PatchesSpec:
    return PatchesSpec(path=path, **({"mpp": 0.5} | more))


def labels(source: PatchSource) -> dict[str, int]:
    return {item.name: item.label for item in source.patches}


def problems(wrong: PatchesSpec, part: str = "all") -> list[str]:
    with pytest.raises(TrainingDataError) as caught:
        load_patches(wrong, part=part)  # type: ignore[arg-type]
    for problem in caught.value.problems:
        assert problem.fix.endswith("."), problem
        assert str(problem.path) in str(caught.value) or len(caught.value.problems) > 20
    return [problem.cause for problem in caught.value.problems]


def test_folders_name_scores(folder: Path) -> None:
    source = load_patches(spec(folder))
    assert labels(source)["2+/P1_21.png"] == 2
    assert sorted(labels(source).values()) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    patch = source.patch(0)
    np.testing.assert_array_equal(patch.rgb, np.asarray(Image.open(folder / "0/P0_00.png")))
    assert (patch.label, patch.name, patch.mpp) == (0, "0/P0_00.png", 0.5)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("00001_train_2+.png", 2), ("x_0.jpg", 0), ("case-3+.tif", 3), ("a class_1.bmp", 1),
        ("HER2-3+.png", 3), ("tile_0007_score 2.png", 2), ("A_IHC_1+.tiff", 1),
    ],
)  # fmt: skip
def test_file_names_end_in_scores(tmp_path: Path, name: str, label: int) -> None:
    save(tmp_path / name)
    assert labels(load_patches(spec(tmp_path, labels="filename"))) == {name: label}


@pytest.mark.parametrize("name", ["tile_12.png", "2+_tile.png", "x_4+.png", "x_22+.png"])
def test_file_names_that_are_no_scores_are_said(tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    assert "patch without label" in problems(spec(tmp_path, labels="filename"))[0]


def test_a_pattern_finds_labels_anywhere_in_the_name(tmp_path: Path) -> None:
    save(tmp_path / "2_0123a214.png")
    found = load_patches(spec(tmp_path, labels="filename", label_pattern=r"^([0-3])_"))
    assert labels(found) == {"2_0123a214.png": 2}
    assert "label_pattern" in problems(spec(tmp_path, labels="filename", label_pattern="(9)"))[0]


@pytest.mark.parametrize("kind", ["folder", "filename"])
def test_the_five_patterns_are_labels_too(tmp_path: Path, kind: str) -> None:
    for pattern in PATTERNS:
        save(tmp_path / (f"{pattern}/a.png" if kind == "folder" else f"a7_{pattern}.png"))
    source = load_patches(spec(tmp_path, task="pattern", labels=kind))
    assert source.label_names == (*PATTERNS, "no_tumour")
    names = [f"{name}/a.png" if kind == "folder" else f"a7_{name}.png" for name in PATTERNS]
    assert labels(source) == {name: index for index, name in enumerate(names)}


def test_names_of_ones_own_can_be_mapped(tmp_path: Path) -> None:
    save(tmp_path / "Negative/a.png")
    save(tmp_path / "strong/a.png")
    found = load_patches(spec(tmp_path, classes={"negative": "0", "Strong": "3+"}))
    assert labels(found) == {"Negative/a.png": 0, "strong/a.png": 3}
    assert len(problems(spec(tmp_path, classes={"negative": "0"}))) == 1
    with pytest.raises(ValidationError, match="maps to '4'"):
        spec(tmp_path, classes={"x": "4"})


def test_a_table_names_labels_and_groups(folder: Path) -> None:
    rows = [f"0/P{number}_0{number}.png,3+,case{number % 2}" for number in range(3)]
    (folder / "labels.csv").write_text("﻿file,label,group\n" + "\n".join(rows), "utf-8")
    for other in ("1+", "2+", "3+"):
        for path in (folder / other).iterdir():
            path.unlink()
    source = load_patches(spec(folder, labels="csv"))
    assert [item.label for item in source.patches] == [3, 3, 3]
    assert [item.group for item in source.patches] == ["case0", "case1", "case0"]


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("file,label\n0/P0_00.png,5\n", ["line 2: patch without label: '5' is no score"]),
        ("file,label\n0/P0_00.png,1\n0\\P0_00.png,1\n", ["line 3: '0/P0_00.png' is listed twice"]),
        ("file,label\n0/P0_00.png,1\nlost.png,1\n", ["line 3: no image 'lost.png' in"]),
        ("file;label\n0/P0_00.png;1\n", ["has its columns separated by semicolons"]),
        ("path,label\n", ["has no columns file and label"]),
        ("file,label\n", ["patch without label"]),
        ("\xff", ["cannot be read"]),
        (None, ["cannot be read"]),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path: Path, text: str | None, causes: list[str]) -> None:
    save(tmp_path / "0/P0_00.png")
    if text is not None:
        (tmp_path / "labels.csv").write_text(text, "latin-1")
    found = problems(spec(tmp_path, labels="csv"))
    assert len(found) == len(causes)
    for cause, expected in zip(found, causes, strict=True):
        assert expected in cause


def test_folders_without_patches_are_said(folder: Path, tmp_path: Path) -> None:
    assert problems(spec(tmp_path / "nowhere")) == ["no such folder"]
    (tmp_path / "none").mkdir()
    assert problems(spec(tmp_path / "none")) == ["holds no image"]
    for path in (folder / "2+").iterdir():
        path.unlink()
    (folder / "2+" / "notes.txt").write_text("x")
    assert problems(spec(folder)) == ["empty folder"]


def test_patches_without_label_are_said(folder: Path) -> None:
    save(folder / "loose.png")
    save(folder / "1+" / "3+" / "both.png")
    found = problems(spec(folder))
    assert [cause.split(":")[0] for cause in found] == ["patch without label"] * 2
    assert "different labels" in found[0] + found[1]


def bomb(path: Path, side: int = 60_000) -> None:
    """Write a PNG that claims many pixels and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    )


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (_cut, "damaged or incomplete"),
        (lambda path: path.write_bytes(b""), "not a slide or image"),
        (lambda path: path.write_text("no picture"), "not a slide or image"),
        (bomb, "too large"),
        (lambda path: bomb(path, 4097), "too large"),
        (
            lambda path: Image.fromarray(np.zeros((64, 64), np.uint16)).save(path),
            "not 8-bit colour",
        ),
    ],
)
def test_images_that_cannot_be_used_are_said(
    folder: Path, damage: Callable[[Path], None], cause: str
) -> None:
    damage(folder / "1+" / "P1_11.png")
    found = problems(spec(folder))
    assert len(found) == 1
    assert cause in found[0]


def test_every_problem_is_told_at_once(folder: Path) -> None:
    _cut(folder / "0" / "P0_00.png")
    save(folder / "loose.png")
    save(folder / "3+" / "P2_32.png", picture(side=80))
    assert len(problems(spec(folder))) == 3


def test_sizes_must_agree(folder: Path) -> None:
    save(folder / "0" / "P0_00.png", picture(side=128))
    assert problems(spec(folder)) == ["128 × 128 px, where most patches have 64 × 64"]
    assert len(problems(spec(folder, size_px=128))) == 11
    assert len(problems(spec(folder, size_px=(64, 128)))) == 12
    assert len(load_patches(spec(folder, size_px="any"))) == 12


def test_a_pixel_size_that_the_file_states_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "1+" / "a.tif"
    per_cm = 10_000 / 0.25
    save(path, resolution=per_cm, resolution_unit=3)
    assert problems(spec(tmp_path)) == ["its header states 0.25 µm per pixel, the source 0.5"]
    assert len(load_patches(spec(tmp_path, mpp=0.25))) == 1
    save(path, resolution=72, resolution_unit=2)  # how large to print
    assert len(load_patches(spec(tmp_path))) == 1


def test_the_pixel_size_has_no_default(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="mpp"):
        PatchesSpec(path=tmp_path)  # type: ignore[call-arg]


def test_patches_are_resampled_by_area(tmp_path: Path) -> None:
    pixels = picture(4, 64)
    save(tmp_path / "1+" / "a.png", pixels)
    patch = load_patches(spec(tmp_path, mpp=0.25, target_mpp=0.5)).patch(0)
    mean = pixels.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert patch.mpp == 0.5
    assert np.abs(patch.rgb - mean).max() <= 0.5


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:32] = (10, 20, 30, 255)
    save(tmp_path / "1+" / "a.png", pixels)
    rgb = load_patches(spec(tmp_path)).patch(0).rgb
    assert rgb[0, 0].tolist() == [10, 20, 30]
    assert rgb[40, 0].tolist() == [255, 255, 255]


def test_white_is_one_for_a_group_and_not_one_for_each_patch(tmp_path: Path) -> None:
    for number in range(4):
        # The last patch of each patient is full of tissue.
        glass = 0.0 if number == 3 else 0.75
        save(tmp_path / "1+" / f"P1_{number}.png", picture(number, 256, glass=glass))
        darker = picture(number, 256, glass=glass) - 20
        save(tmp_path / "1+" / f"P2_{number}.png", darker.astype(np.uint8))
    source = load_patches(spec(tmp_path, group="P\\d"))
    for item in source.patches:
        shift = 20 if item.group == "P2" else 0
        np.testing.assert_allclose(item.white, np.array(GLASS) - shift, atol=1.5)
    assert len({item.white for item in load_patches(spec(tmp_path)).patches}) == 1
    own = load_patches(spec(tmp_path, white=(240, 241, 242)))
    assert own.patch(0).white == (240.0, 241.0, 242.0)


def test_little_glass_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "1+" / "a.png", picture(glass=0.0))
    load_patches(spec(tmp_path))
    assert "too little glass in 1 of 1 groups" in caplog.text


def test_no_patient_is_divided(folder: Path) -> None:
    grouped = spec(folder, group=r"(P\d)_", holdout_share=0.3)
    train, held = (load_patches(grouped, part=part) for part in ("train", "holdout"))
    groups = [{item.group for item in source.patches} for source in (train, held)]
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {"P0", "P1", "P2"}
    assert len(train) + len(held) == 12
    assert len(groups[1]) == 1
    # The same patients are held out whatever else is there of them.
    (folder / "0" / "P0_00.png").unlink()
    again = load_patches(grouped, part="holdout")
    assert {item.group for item in again.patches} == groups[1]


def test_without_groups_patches_are_divided_by_their_names(folder: Path) -> None:
    train, held = (load_patches(spec(folder), part=part) for part in ("train", "holdout"))
    assert len(held) == round(0.2 * 12)
    assert not set(labels(train)) & set(labels(held))
    nothing = load_patches(spec(folder, holdout_share=0.0), part="holdout")
    assert len(nothing) == 0


def test_groups_that_do_not_work_are_said(folder: Path) -> None:
    assert len(problems(spec(folder, group="Q"))) == 12
    assert "one group" in problems(spec(folder, group="P"), "train")[0]
    with pytest.raises(ValidationError, match="regular expression"):
        spec(folder, group="(")
    with pytest.raises(ValidationError, match="label_pattern"):
        spec(folder, label_pattern="(x)")
    with pytest.raises(ValidationError, match="group"):
        spec(folder, labels="filename", label_pattern="x")


def test_a_patch_checks_itself() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Patch(rgb=np.zeros((4, 4)), label=0, name="a", mpp=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label"):
        Patch(rgb=np.zeros((4, 4, 3), np.uint8), label=-1, name="a", mpp=0.5)
