from __future__ import annotations

from pathlib import Path

import pytest

from pathology.batch.manifest import MANIFEST_COLUMNS, read_manifest
from pathology.errors import UsageError


def write(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_every_column_lands_in_the_request(tmp_path: Path) -> None:
    # Arrange
    values = "a.svs,0.25,a.geojson,C1,B2,biopsy,breast,4B5,run7,control,2+,true"
    path = write(tmp_path, f"{','.join(MANIFEST_COLUMNS)}\n{values}\n")
    # Act
    (request,) = read_manifest(path)
    # Assert
    assert request.path == tmp_path / "a.svs"
    assert request.regions == tmp_path / "a.geojson"
    assert (request.mpp, request.mpp_source) == (0.25, "manifest")
    assert (request.case_id, request.block_id, request.specimen_type) == ("C1", "B2", "biopsy")
    assert (request.site, request.assay, request.stain_run) == ("breast", "4B5", "run7")
    assert (request.role, request.expected_score) == ("control", "2+")
    assert request.index_block


def test_absolute_paths_and_empty_cells(tmp_path: Path) -> None:
    path = write(tmp_path, f"path,mpp,case_id\n{tmp_path / 'x' / 'b.svs'},,\n")
    (request,) = read_manifest(path, mpp=0.5)
    assert request.path == tmp_path / "x" / "b.svs"
    assert (request.mpp, request.mpp_source, request.role) == (0.5, "argument", "test")
    assert request.case_id == ""
    assert request.regions is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_with_commas_quotes_unicode_and_equals_signs(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, 'path\n"a, b.svs"\n"=1+1.svs"\nß µ.svs\n', encoding=encoding)
    assert [request.path.name for request in read_manifest(path)] == [
        "a, b.svs",
        "=1+1.svs",
        "ß µ.svs",
    ]


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "path,case_id\n\na.svs,1\n,\n")
    assert len(read_manifest(path)) == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no column 'path'"),
        ("path;mpp\na.svs;0,25\n", "separated by semicolons. Save it as CSV with commas"),
        ("path\tmpp\na.svs\t0.25\n", "separated by tabs"),
        ("path\n", "no rows"),
        ("file,mpp\na.svs,0.5\n", "line 1: unknown column 'file'"),
        ("mpp\n0.5\n", "line 1: there is no column 'path'"),
        ("path,mpp,mpp\na.svs,1,1\n", "column 'mpp' is there twice"),
        ("path,mpp\na.svs,half\n", "line 2, column 'mpp': 'half'"),
        ("path,mpp\na.svs,0.5\nb.svs,-1\n", "line 3, column 'mpp': '-1'"),
        ("path,mpp\na.svs,nan\n", "line 2, column 'mpp': 'nan'"),
        ("path,mpp\na.svs,0\n", "line 2, column 'mpp': '0'"),
        ("path,mpp\na.svs\n", "line 2: 1 values under 2 column names"),
        ("path,mpp\na.svs,1,2\n", "line 2: 3 values under 2 column names"),
        ("path\na.svs\n./a.svs\n", "line 3, column 'path': './a.svs' is listed twice"),
        ("path,case_id\n,C1\n", "line 2, column 'path': is empty"),
        ("path,role\na.svs,patient\n", "line 2, column 'role': 'patient'"),
        ("path,expected_score\na.svs,4+\n", "line 2, column 'expected_score': '4+'"),
        ("path,index_block\na.svs,yes\n", "line 2, column 'index_block': 'yes'"),
        ("path,case_id,index_block\na.svs,C,true\n", "'index_block': needs case_id and block_id"),
        (
            "path,case_id,block_id,index_block\na.svs,C,B1,true\nb.svs,C,B2,true\n",
            "line 3, column 'index_block': case 'C' has the index block 'B1' on line 2",
        ),
        ('path\n"a.svs\n', "not valid CSV"),
    ],
)
def test_a_wrong_manifest_names_the_place(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        read_manifest(write(tmp_path, "path\nß.svs\n", encoding="latin-1"))


def test_a_manifest_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_manifest(tmp_path)
