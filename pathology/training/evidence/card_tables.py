"""Tables of the model card: from the plain values of the evidence to Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FIGURE_NAMES",
    "FigureName",
    "benchmark_section",
    "cameras_section",
    "cost_section",
    "failures_section",
    "log_section",
    "nuclei_section",
    "real_section",
    "robustness_section",
    "slides_section",
    "table",
]

#: Shares of cells with any membrane staining, as the evidence names them.
_STAINED = (
    "pct_complete_intense",
    "pct_complete_weak_moderate",
    "pct_incomplete_moderate_intense",
    "pct_incomplete_faint",
)
#: Readers in the order of tables, with their heading.
_READERS = {"model": "model", "baseline": "classical"}


@dataclass(frozen=True, kw_only=True)
class FigureName:
    """Say what a figure is called.

    Parameters
    ----------
    label
        In words.
    short
        Heading of a narrow column.
    digits
        Digits after the point.
    limit
        What was asked for, in words; empty where nothing was.
    """

    label: str
    short: str
    digits: int
    limit: str = ""

    def show(self, value: float | None) -> str:
        """Write a value; a dash where there is none.

        Examples
        --------
        >>> FIGURE_NAMES["outline_error_um"].show(0.876), FIGURE_NAMES["tumour_auroc"].show(None)
        ('0.88', '–')
        """
        # A value that is not equal to itself is NaN.
        return "–" if value is None or value != value else f"{value:.{self.digits}f}"


FIGURE_NAMES: dict[str, FigureName] = {
    "detection_f1": FigureName(
        label="Cells found: F1 within 3 µm", short="cells F1", digits=3, limit="≥ 0.92"
    ),
    "tumour_auroc": FigureName(
        label="Tumour against other cells: AUROC", short="tumour AUROC", digits=3, limit="≥ 0.97"
    ),
    "tumour_share_error": FigureName(
        label="Share of tumour cells in a field: mean absolute error", short="share", digits=3
    ),
    "outline_error_um": FigureName(
        label="Outline of tumour cells: median error, µm", short="outline µm", digits=2,
        limit="≤ 1.0",
    ),
    "completeness_error": FigureName(
        label="Completeness: mean absolute error", short="complete", digits=3, limit="≤ 0.07"
    ),
    "membrane_od_error": FigureName(
        label="Membrane OD of stained cells: mean absolute error", short="OD", digits=3,
        limit="≤ 0.04",
    ),
    "pattern_accuracy": FigureName(
        label="Five membrane patterns: accuracy", short="pattern", digits=3
    ),
    "pattern_macro_f1": FigureName(
        label="Five membrane patterns: macro-F1", short="macro-F1", digits=4, limit="≥ 0.85"
    ),
}  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table.

    Examples
    --------
    >>> print(table(("a", "b"), [("1", "2")]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text[1] = text[1].replace(" ", "")
    return "\n".join(text) + "\n"


def _present(readers: Mapping[str, Any]) -> list[str]:
    return [name for name in _READERS if name in readers]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def cost_section(bundle: Mapping[str, Any]) -> str:
    """Write what the model costs, and that the bundle is what was trained."""
    rows = [
        ("work at 0.5 µm per pixel", f"{bundle['kflop_per_px']:.1f} kFLOP per pixel", "≤ 26"),
        ("weights", f"{bundle['weights_mb']:.1f} MB", "≤ 12"),
        ("golden output, largest difference", f"{bundle['golden_difference']:.1e}", "≤ 1e-4"),
    ]
    if bundle.get("onnx_difference") is not None:
        rows.append(
            ("ONNX against torch, largest difference", f"{bundle['onnx_difference']:.1e}", "")
        )
    return table(("", "measured", "limit"), rows)


def benchmark_section(benchmark: Mapping[str, Any]) -> str:
    """Write figures and tables per condition."""
    readers, names = benchmark["readers"], _present(benchmark["readers"])
    head = ["figure", "limit"]
    for name in names:
        head += [_READERS[name], "95 % interval"]
    rows = []
    for key, figure in FIGURE_NAMES.items():
        row = [figure.label, figure.limit]
        for name in names:
            metric = readers[name]["figures"][key]
            low, high = figure.show(metric["low"]), figure.show(metric["high"])
            row += [figure.show(metric["value"]), f"{low} to {high} (n {metric['n']:,})"]
        rows.append(row)
    part = "" if benchmark["fields"] == benchmark["of_fields"] else " **(a part of them)**"
    text = (
        f"{benchmark['fields']} fields{part} of {benchmark['field_px']} px "
        f"(`configs/synthesis/benchmark.yaml`, version {benchmark['version']}, SHA-256 "
        f"`{benchmark['file_sha256'][:16]}…`), on seeds, tissue types and scanner settings that "
        "training never uses. 95 % intervals: bootstrap over fields. *Classical* is "
        "`scripts/classical_baseline.py`: colour deconvolution, watershed, the same rays and "
        "rules. n counts matched cells, for which an error can be given; of tumour cells where "
        "the figure is about membranes.\n\n" + table(head, rows)
    )
    return text + _conditions(readers, names)


def cameras_section(cameras: Mapping[str, Any]) -> str:
    """Write what is found in the benchmark's fields as cameras show them."""
    readers, names = cameras["readers"], _present(cameras["readers"])
    keys = [key for key in FIGURE_NAMES if key in readers[names[0]]["views"][0]]
    rows = []
    for name in names:
        for found in readers[name]["views"]:
            row = [_READERS[name], found["view"]]
            for key in keys:
                figure, metric = FIGURE_NAMES[key], found[key]
                low, high = figure.show(metric["low"]), figure.show(metric["high"])
                row.append(f"{figure.show(metric['value'])} ({low} to {high}, n {metric['n']:,})")
            rows.append(row)
    return (
        f"The {cameras['fields']} fields of the benchmark, as cameras show them that set their own "
        "contrast (around middle grey, until glass and most of the cytoplasm are white), exposure, "
        "white balance (yellow light: red 1.16, green 1.05, blue 0.95 times) and saturation (pale "
        "colours: 0.6 times). Densities change with it, so only cells and their kinds have a "
        "truth.\n\n" + table(("", "camera", *(FIGURE_NAMES[key].label for key in keys)), rows)
    )


def _conditions(readers: Mapping[str, Any], names: Sequence[str]) -> str:
    model = readers[names[0]]
    text = "\n### Per condition\n"
    columns = list(FIGURE_NAMES)
    for factor, levels in model["conditions"].items():
        head = [factor.replace("_", " "), "cells", *(FIGURE_NAMES[key].short for key in columns)]
        others = names[1:]
        head += [f"{_READERS[name]}: pattern" for name in others]
        rows = []
        for level, found in levels.items():
            row = [level.replace("_", " "), f"{found['detection_f1']['n']:,}"]
            row += [FIGURE_NAMES[key].show(found[key]["value"]) for key in columns]
            for name in others:
                other = readers[name]["conditions"][factor][level]["pattern_accuracy"]
                row.append(FIGURE_NAMES["pattern_accuracy"].show(other["value"]))
            rows.append(row)
        text += "\n" + table(head, rows)
    return text


def slides_section(slides: Mapping[str, Any]) -> str:
    """Write how often whole slides were exact."""
    names = _present(slides["readers"])
    rows = []
    for key, label in (
        ("exact_clear", "score exact, farther than 3 points from every cut-off"),
        ("exact_near", "score exact, 3 to 10 points from a cut-off"),
        ("exact_all", "score exact, all slides"),
        ("tier_exact", "tier exact (null and ultralow apart), all slides"),
    ):
        rows.append([label, *(_rate(slides["readers"][name][key]) for name in names)])
    text = (
        f"{slides['slides']} slides of all scores and tiers, each with at least "
        f"{slides['min_tumour_cells']:,} tumour cells, scored through the whole program; "
        f"{slides['clear']} farther than 3 points from every cut-off, {slides['near']} of them "
        "within 10. The true score follows from the true cells by the same rules. There is no "
        "carcinoma in situ on them.\n\n" + table(["", *(_READERS[name] for name in names)], rows)
    )
    for name in names:
        text += f"\nFound scores, {_READERS[name]}:\n\n"
        text += _confusion(slides["readers"][name]["confusion"])
        text += _wrong_slides(slides["readers"][name]["wrong"])
    return text


def _wrong_slides(wrong: Sequence[Mapping[str, Any]]) -> str:
    """List every slide whose score is not the true one."""
    if not wrong:
        return ""
    rows = [
        [
            str(item["seed"]),
            f"{item['truth']['ihc_score']} ({_stained(item['truth'])} % stained)",
            f"{item['found']['ihc_score'] or item['found']['status'].replace('_', ' ')} "
            f"({_stained(item['found'])} %)",
            f"{item['distance_pp']:.1f}",
        ]
        for item in wrong
    ]
    columns = ["seed", "true score", "found", "points from a cut-off"]
    return "\nSlides whose score is not exact:\n\n" + table(columns, rows)


def _stained(score: Mapping[str, Any]) -> str:
    """Return the share of tumour cells with any membrane staining, as text."""
    return f"{sum(score.get(column) or 0.0 for column in _STAINED):.1f}"


def _rate(part: Mapping[str, Any]) -> str:
    if not part["n"]:
        return "–"
    low, high = 100 * part["low"], 100 * part["high"]
    return f"{part['k']} of {part['n']} ({low:.1f} to {high:.1f} %)"


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> str:
    columns = sorted({found for row in confusion.values() for found in row})
    rows = [
        [f"true {truth}", *(str(row.get(column, 0)) for column in columns)]
        for truth, row in confusion.items()
    ]
    return table(["", *columns], rows)


def real_section(real: Mapping[str, Any]) -> str:
    """Write every real slide, side by side."""
    text = "Looked at, never trained on or tuned to.\n"
    for name in _present(real["readers"]):
        part = real["readers"][name]
        rows = [_real_row(row) for row in part["rows"]]
        head = ("slide", "expected", "found", "as expected", "tumour cells", "tumour share",
                "H-score", "mean OD")  # fmt: skip
        text += f"\n{_READERS[name].capitalize()}: {part['as_expected']} of {part['n']} as "
        text += f"expected.\n\n{table(head, rows)}"
    return text


def _real_row(row: Mapping[str, Any]) -> list[str]:
    expected = row["expect_reason"] or row["expect"].replace("|", " or ")
    found = row["ihc_score"] or ", ".join(row["reasons"])
    share = row["tumour_share"]
    return [
        row["file"], expected, found, "yes" if row["ok"] else "**no**",
        f"{row['n_tumour_cells'] or 0:,}",
        "–" if share is None else f"{100 * share:.1f} %",
        _number(row["h_score"], 1), _number(row["mean_membrane_od"], 3),
    ]  # fmt: skip


def nuclei_section(nuclei: Mapping[str, Any]) -> str:
    """Write how many marked nuclei were found."""
    names = _present(nuclei["readers"])
    rows = [
        [
            _READERS[name],
            *(_number(nuclei["readers"][name][key], 3) for key in ("f1", "recall", "precision")),
            f"{nuclei['readers'][name]['n']:,}",
        ]
        for name in names
    ]
    return (
        f"Ki67, a stain of nuclei that the model never saw; within {nuclei['within_um']:g} µm of "
        "the middle of a mask.\n\n" + table(("", "F1", "recall", "precision", "nuclei"), rows)
    )


def robustness_section(robustness: Mapping[str, Any]) -> str:
    """Write the score and the H-score of changed slides."""
    text = (
        "Scores and H-scores of real slides, changed. Stable: the same score (or one of the "
        f"allowed ones), and an H-score within {100 * robustness['h_share']:.0f} % or "
        f"{robustness['h_points']:g} points.\n"
    )
    for name in _present(robustness["readers"]):
        part = robustness["readers"][name]
        files = list(part["slides"])
        changes = list(next(iter(part["slides"].values()), {}))
        rows = [
            [change.replace("_", " "), *(_change(part["slides"][file][change]) for file in files)]
            for change in changes
        ]
        text += f"\n{_READERS[name].capitalize()}: {part['stable']} of {part['n']} stable.\n\n"
        text += table(["", *(file.split("/")[-1].split(".")[0] for file in files)], rows)
    return text


def _change(one: Mapping[str, Any]) -> str:
    text = f"{one['ihc_score'] or 'none'}, {_number(one['h_score'], 1)}"
    return text if one["ok"] else f"**{text}**"


def failures_section(benchmark: Mapping[str, Any], picture: str | None) -> str:
    """Write which fields of the benchmark came out worst."""
    rows = []
    for item in benchmark["readers"]["model"]["worst"]:
        figure, conditions = FIGURE_NAMES[item["figure"]], item["conditions"]
        words = ", ".join(
            f"{factor.replace('_', ' ')} {level.replace('_', ' ')}"
            for factor, level in conditions.items()
        )
        rows.append((str(item["seed"]), f"{figure.label}: {figure.show(item['value'])}", words))
    text = "The worst fields of the benchmark, found by the figures.\n\n"
    text += table(("seed", "what is bad", "conditions"), rows)
    if picture is not None:
        text += (
            "\nFrom left to right: the field, its true cells, what was found. Outlines: tumour in "
            f"the colour of its pattern; squares: other cells.\n\n![Worst fields]({picture})\n"
        )
    return text


def log_section(log: Sequence[Mapping[str, Any]]) -> str:
    """Write every evaluation on real slides so far."""
    if not log:
        return "None so far.\n"
    rows = [
        (item["date"], item["model"], item["sha256"][:12], item["what"], item["outcome"])
        for item in log
    ]
    return (
        "Each time that a model was measured on real slides, so that nobody has to believe that "
        "nothing was tuned to them.\n\n"
        + table(("date", "model", "weights", "what", "outcome"), rows)
    )
