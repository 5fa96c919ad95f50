"""Finding bundles and reading manifests, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pathology.errors import ModelError
from pathology.inference import bundled
from pathology.inference.bundled import find_model, list_models
from pathology.inference.manifest import ModelManifest, read_manifest


def put(manifest: ModelManifest, folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    content = yaml.safe_load(manifest.to_yaml()) | changes
    (folder / "model.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manifest: ModelManifest) -> Path:
    root = tmp_path / "models"
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        put(manifest, root / "tiny" / version, version=version)
    put(manifest, root / "other" / "1.0.0", name="other", version="1.0.0")
    (root / "tiny" / "draft").mkdir()
    monkeypatch.setattr(bundled, "models_dir", lambda: root)
    return root


def test_round_trip(manifest: ModelManifest, tmp_path: Path) -> None:
    folder = put(manifest, tmp_path / "m")
    assert read_manifest(folder) == manifest
    assert read_manifest(folder).input.spec.context_mpp == 2.0


def test_newest_version_by_number(models: Path) -> None:
    assert find_model("tiny") == models / "tiny" / "0.10.0"
    assert find_model("tiny/0.2.0") == models / "tiny" / "0.2.0"
    assert find_model(models / "tiny" / "0.9.0") == models / "tiny" / "0.9.0"
    assert find_model(str(models / "other" / "1.0.0")) == models / "other" / "1.0.0"


@pytest.mark.parametrize("name", ["nothing", "tiny/9.9.9", "tiny/x", "", "tiny/0.2.0/"])
def test_unknown_models_list_the_known(models: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"other/1\.0\.0, tiny/0\.2\.0, tiny/0\.9\.0, tiny/0\.10"):
        find_model(name)


def test_list(models: Path) -> None:
    assert [item.title for item in list_models()] == [
        "other/1.0.0",
        "tiny/0.2.0",
        "tiny/0.9.0",
        "tiny/0.10.0",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "slides"}, "kind"),
        ({"kind": "tiles"}, r"tiles\.outputs: Field required"),
        ({"classes": ["tumour", "other"]}, "classes"),
        ({"weights_sha256": "abc"}, "weights_sha256"),
        ({"surprise": 1}, "surprise"),
        ({"version": "1.0"}, "version"),
        (
            {"input": {"mpp": 0.5, "halo_px": 60, "context_factor": 4, "context_halo_px": 64}},
            "halo_px must be a multiple of 64",
        ),
        (
            {"input": {"mpp": 0.5, "halo_px": 64, "context_factor": 4, "context_halo_px": 0}},
            "context image",
        ),
    ],
)
def test_bad_values_name_file_and_key(
    manifest: ModelManifest, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    folder = put(manifest, tmp_path / "m", **changes)
    with pytest.raises(ModelError, match=words) as caught:
        read_manifest(folder)
    assert str(folder / "model.yaml") in str(caught.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"- 1", b""])
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.yaml").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.yaml"):
        read_manifest(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_manifest(tmp_path)


def test_listing_models_does_not_load_torch() -> None:
    code = (
        "import sys; from pathology.inference import list_models; list_models(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bundled_folders_say_what_they_hold() -> None:
    for item in list_models():
        assert find_model(item.title).parts[-2:] == (item.name, item.version)
