"""The labels of patches: from folders, file names or a table."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from pathology.runs.csvfile import SAVE_WITH_COMMAS, wrong_separator
from pathology.training.classnames import patch_label
from pathology.training.data.split import group_of
from pathology.training.problems import Problems
from pathology.training.specs import PatchesSpec
from pathology.wsi.discover import FLAT_SUFFIXES

__all__ = ["Labelled", "label_patches"]

_SUFFIXES = FLAT_SUFFIXES | {".tif", ".tiff"}
#: A label at the end of a file's name has at most so many parts: ``incomplete_moderate_intense``.
_MAX_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Hold a patch's file, its name in the source, its label and its group."""

    path: Path
    name: str
    label: int
    group: str


def label_patches(spec: PatchesSpec, problems: Problems) -> list[Labelled]:
    """Find the patches of a source and their labels.

    Parameters
    ----------
    spec
        Where to look, and where labels stand.
    problems
        Takes what is missing.

    Returns
    -------
    list of Labelled
        Patches with a label and a group, by name.
    """
    root = spec.path
    if not root.is_dir():
        problems.add(root, "no such folder", "Check the source's path.")
        return []
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.suffix.casefold() in _SUFFIXES and path.name[0] != "." and path.is_file()
    }
    if not files:
        problems.add(root, "holds no image", "Put patches (PNG, JPEG, TIFF or BMP) into it.")
        return []
    table = _read_table(spec, files, problems) if spec.labels == "csv" else None
    if spec.labels == "folder":
        _check_folders(spec, problems)
    labelled = []
    for name, path in files.items():
        if table is None:
            label, group = _label(spec, name, path, problems), None
        else:
            label, group = table.get(name, (None, None))
            if name not in table:
                problems.add(path, "patch without label", f"Add a row to {spec.csv}.")
        if spec.group is not None or group is None:
            group = group_of(name, spec.group)
        if group is None:
            problems.add(path, f"group {spec.group!r} is not in its name", "Correct group.")
        elif label is not None:
            labelled.append(Labelled(path=path, name=name, label=label, group=group))
    return labelled


def _label(spec: PatchesSpec, name: str, path: Path, problems: Problems) -> int | None:
    if spec.labels == "filename":
        label = _from_filename(spec, path.stem)
        if label is None:
            where = "label_pattern" if spec.label_pattern else "the end of its name"
            problems.add(
                path,
                f"patch without label: {where} gives no {spec.task}",
                "Rename it, set label_pattern, or use labels: csv.",
            )
        return label
    found = {label for folder in name.split("/")[:-1] if (label := _read(spec, folder)) is not None}
    if len(found) == 1:
        return found.pop()
    cause = (
        "two of its folders name different labels" if found else f"no folder names a {spec.task}"
    )
    problems.add(
        path,
        f"patch without label: {cause}",
        f"Sort patches into folders named {_example(spec)}, or map other names in classes.",
    )
    return None


def _read(spec: PatchesSpec, text: str) -> int | None:
    return patch_label(text, spec.classes, patterns=spec.task == "pattern")


def _example(spec: PatchesSpec) -> str:
    if spec.task == "pattern":
        return "unstained, incomplete_faint, ..., no_tumour"
    return "0, 1+, 2+, 3+, no_tumour"


def _from_filename(spec: PatchesSpec, stem: str) -> int | None:
    if spec.label_pattern is not None:
        match = re.search(spec.label_pattern, stem)
        return _read(spec, match.group(1) or "") if match else None
    parts = re.split(r"[_\-\s]+", stem)
    for count in range(min(_MAX_PARTS, len(parts)), 0, -1):
        label = _read(spec, "_".join(parts[-count:]))
        if label is not None:
            return label
    return None


def _check_folders(spec: PatchesSpec, problems: Problems) -> None:
    """Report folders that are named like a label and hold nothing."""
    for folder in sorted(path for path in spec.path.rglob("*") if path.is_dir()):
        if _read(spec, folder.name) is not None and not any(
            path.suffix.casefold() in _SUFFIXES for path in folder.rglob("*")
        ):
            problems.add(folder, "empty folder", "Put its patches there, or remove it.")


def _read_table(
    spec: PatchesSpec, files: dict[str, Path], problems: Problems
) -> dict[str, tuple[int | None, str | None]]:
    """Return label and group by name."""
    path = spec.path / spec.csv
    try:
        # utf-8-sig drops the byte-order mark that spreadsheet programs write.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.add(path, f"cannot be read ({error})", "Save the table as CSV in UTF-8.")
        return dict.fromkeys(files, (None, None))
    if not {"file", "label"} <= columns:
        separator = wrong_separator(tuple(reader.fieldnames or ()))
        if separator:
            problems.add(path, f"has its columns separated by {separator}", SAVE_WITH_COMMAS)
        else:
            problems.add(
                path, "has no columns file and label", "Name its columns file, label, group."
            )
        return dict.fromkeys(files, (None, None))
    table: dict[str, tuple[int | None, str | None]] = {}
    for line, row in rows:
        name, text = _cell(row, "file").replace("\\", "/"), _cell(row, "label")
        label = _read(spec, text)
        if name not in files:
            problems.add(path, f"line {line}: no image {name!r} in {spec.path}", "Correct it.")
        elif name in table:
            problems.add(path, f"line {line}: {name!r} is listed twice", "Keep one row.")
        elif label is None:
            problems.add(
                path,
                f"line {line}: patch without label: {text!r} is no {spec.task}",
                f"Use {_example(spec)}, or map other names in classes.",
            )
        table.setdefault(name, (label, _cell(row, "group") or None))
    return table


def _cell(row: dict[str, str], column: str) -> str:
    return (row.get(column) or "").strip()
