"""The model card: what a bundle is, how it was made, and what was measured of it.

A training writes a short card (:func:`render_card`). The full one (:func:`render_evidence_card`)
is made from what ``scripts/evaluate_model.py`` measured and kept as JSON, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pathology.inference.manifest import ModelManifest
from pathology.training.config import TrainingConfig
from pathology.training.evidence.card_tables import (
    FIGURE_NAMES,
    benchmark_section,
    cameras_section,
    cost_section,
    failures_section,
    log_section,
    nuclei_section,
    real_section,
    robustness_section,
    slides_section,
    table,
)
from pathology.training.evidence.figures import Metric

__all__ = ["render_card", "render_evidence_card"]

_HEAD = """# {title}

**Research use only.** {intended_use}
"""
_LIMITS = """## Known limits

- Trained on procedural tissue. Figures on synthetic pictures prove that the code learns what the
  generator draws; **they are not clinical validity**. Real slides were looked at, never trained on
  and never tuned to.
- Laboratories differ about two-fold in optical density; cut-offs are not calibrated to any of them
  (`her2 calibrate` does that).
- In-situ carcinoma is told from invasive by morphology alone, poorly: annotate it.
- Specks of dust or pigment on unstained tumour cells read as short, intense stretches. About 50 of
  them per mm² reach 1 % of the cells, and the gap policy makes a 0 a 1+, flagged `borderline`.
- Where the counterstain has failed and nuclei cannot be seen, cells are missed, or taken for
  others.
- Where a camera's contrast or exposure was turned up until cytoplasm is white, or its colours
  down until nuclei are grey, tumour cells are missed or taken for stroma, and a field can be
  refused as without tumour.
- Growth patterns, artefacts and tissues that the generator does not draw can be taken for tumour,
  or tumour for them.
- Not tested: frozen sections, decalcified tissue, fluorescence, chromogens other than DAB.
"""


def _head(manifest: ModelManifest) -> str:
    use = manifest.intended_use.removeprefix("Research use only.").strip()
    return _HEAD.format(title=manifest.title, intended_use=use)


def _data_section(manifest: ModelManifest) -> str:
    training = manifest.training
    sources = training.get("settings", {}).get("sources", [])
    lines = [f"- {_source_words(source)}" for source in sources]
    text = f"## Data\n\n{training.get('data', 'not recorded')}.\n"
    return text + ("\n" + "\n".join(lines) + "\n" if lines else "")


def _source_words(source: Mapping[str, Any]) -> str:
    if source.get("kind") == "synthetic":
        fields = source.get("fields")
        first = source.get("seed", 0)
        if fields is None:
            return "procedural tissue (`pathology/synthesis`), every field a new one"
        return (
            f"{fields:,} fields of procedural tissue (`pathology/synthesis`), seeds {first:,} to "
            f"{first + fields - 1:,}: nests, sheets, glands, papillae, cords and single cells, "
            "in-situ and normal ducts, stroma, lymphocytes, muscle and more, in many stainings "
            "and scanners' looks"
        )
    extra = [f"{key} {source[key]}" for key in ("path", "weight") if source.get(key) is not None]
    return f"{source.get('kind', 'unknown')} ({', '.join(extra)})"


def _training_section(manifest: ModelManifest, command: str) -> str:
    training = manifest.training
    settings = training.get("settings", {})
    facts = {
        "hardware": training.get("hardware"),
        "steps, batch": f"{settings['steps']:,}, {settings['batch']}" if settings else None,
        "weights of step": _chosen(training),
        "parameters": f"{training['parameters']:,}" if "parameters" in training else None,
        "torch": training.get("torch"),
        "SHA-256 of the settings": training.get("settings_sha256"),
        "SHA-256 of the weights": manifest.weights_sha256,
    }
    rows = [(name, str(value)) for name, value in facts.items() if value is not None]
    return f"## Training\n\n```\n{command}\n```\n\n{table(('', ''), rows)}"


def _chosen(training: Mapping[str, Any]) -> str | None:
    if "weights_of_step" not in training:
        return None
    return f"{training['weights_of_step']:,} ({training.get('chosen', 'last')})"


def render_card(
    config: TrainingConfig, manifest: ModelManifest, metrics: Mapping[str, Metric]
) -> str:
    """Write the short card of a bundle that was just trained.

    Parameters
    ----------
    config
        Settings of the training.
    manifest
        The bundle's manifest.
    metrics
        What :func:`pathology.training.evidence.measure.evaluate_reader` gave.
    """
    rows = [
        (
            FIGURE_NAMES[name].label,
            FIGURE_NAMES[name].show(metric.value),
            f"{FIGURE_NAMES[name].show(metric.low)} to {FIGURE_NAMES[name].show(metric.high)}",
            f"{metric.n:,}",
        )
        for name, metric in metrics.items()
    ]
    measured = (
        "## Measured\n\n"
        f"On {config.holdout_fields} synthetic fields of the same kind as those of training, with "
        "other seeds (95 % intervals: bootstrap over fields). The figures of a published model are "
        "measured on the frozen benchmark: `python scripts/evaluate_model.py`.\n\n"
        + table(("figure", "value", "95 % interval", "n"), rows)
    )
    head = _head(manifest)
    command = "her2 train --config FILE  # its settings stand in model.yaml"
    return _join(
        [head, _data_section(manifest), _training_section(manifest, command), measured, _LIMITS]
    )


def render_evidence_card(
    manifest: ModelManifest,
    evidence: Mapping[str, Any],
    *,
    log: Sequence[Mapping[str, Any]] = (),
    picture: str | None = None,
    command: str = "her2 train --config configs/training/base.yaml",
) -> str:
    """Write the full card from the evidence.

    Parameters
    ----------
    manifest
        The bundle's manifest.
    evidence
        What ``scripts/evaluate_model.py`` wrote: any of ``bundle``, ``benchmark``, ``cameras``,
        ``slides``, ``real``, ``nuclei`` and ``robustness``. What was not measured is said to be
        missing.
    log
        Every evaluation on real slides so far, oldest first.
    picture
        Name of the sheet of failures, relative to the card.
    command
        How the model was trained.
    """
    head = _head(manifest)
    made = {
        "Cost and checks": ("bundle", cost_section),
        "Frozen synthetic benchmark": ("benchmark", benchmark_section),
        "Cameras": ("cameras", cameras_section),
        "Whole synthetic slides": ("slides", slides_section),
        "Real slides": ("real", real_section),
        "Nuclei of another stain": ("nuclei", nuclei_section),
        "Robustness on real slides": ("robustness", robustness_section),
    }
    sections = [head, _data_section(manifest), _training_section(manifest, command)]
    for title, (key, render) in made.items():
        body = render(evidence[key]) if key in evidence else "Not measured yet.\n"
        sections.append(f"## {title}\n\n{body}")
    if "benchmark" in evidence:
        sections.append(f"## Known failures\n\n{failures_section(evidence['benchmark'], picture)}")
    sections += [_LIMITS, f"## Evaluations on real slides\n\n{log_section(log)}"]
    sections.append(
        "## Reproduce\n\n```\npython scripts/evaluate_model.py --model "
        f"{manifest.title} --all --json evidence.json\npython scripts/evaluate_model.py --model "
        f"{manifest.title} --card --json evidence.json\n```\n"
    )
    return _join(sections)


def _join(sections: Iterable[str]) -> str:
    return "\n".join(section.rstrip() + "\n" for section in sections)
