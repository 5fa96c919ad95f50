"""The model card: what a bundle is, how it was made, and what was measured."""

from __future__ import annotations

from pathology.inference.manifest import ModelManifest
from pathology.training.config import TrainingConfig
from pathology.training.measure import Metric

__all__ = ["render_card"]

_NAMES = {
    "detection_f1": ("Cells found: F1 within 3 µm", 3),
    "tumour_auroc": ("Tumour against other cells: AUROC", 3),
    "outline_error_um": ("Outline: median error, µm", 2),
    "completeness_error": ("Completeness: mean absolute error", 3),
    "pattern_accuracy": ("Five membrane patterns: accuracy", 3),
    "pattern_macro_f1": ("Five membrane patterns: macro-F1", 3),
}
_TEMPLATE = """# {title}

**Research use only.** {intended_use}

## Data

Procedural tissue from `pathology/synthesis`: {fields} fields of {field_px} px at 0.5 µm per pixel
(seeds 0 to {last}), invasive nests, sheets, glands, papillae, cords and single cells, in-situ and
normal ducts, stroma, lymphocytes, muscle and more, in many stainings and scanners' looks. No slide
of a patient was used in training.

## Training

```
python scripts/train.py {config_name}
```

{steps} steps of {batch} fields, AdamW, cosine schedule, averaged weights, on the CPU.
{parameters:,} parameters. Settings and their hash are in `model.yaml`.

## Measured

On {holdout} synthetic fields with seeds that training never used (95 % intervals: bootstrap over
fields). These figures prove that the code learns what the generator draws. **They are not clinical
validity.**

| figure | value | 95 % interval | n cells |
|---|---|---|---|
{rows}

Reproduce: `python scripts/evaluate_model.py --model {title}`.

## Known limits

- Real slides were looked at, never trained on. Laboratories differ about two-fold in optical
  density; cut-offs are not calibrated to any of them.
- In-situ carcinoma is told from invasive by morphology alone, poorly: annotate it.
- Very long columnar cells get outlines that are too round.
- Muscle, vessels, plasma cells and necrosis can be taken for tumour where they look unlike the
  synthetic ones.
- Not tested: frozen sections, decalcified tissue, fluorescence, chromogens other than DAB.
"""


def render_card(config: TrainingConfig, manifest: ModelManifest, metrics: dict[str, Metric]) -> str:
    """Write the text of ``MODEL_CARD.md``.

    Parameters
    ----------
    config
        Settings of the training.
    manifest
        The bundle's manifest.
    metrics
        What :func:`pathology.training.measure.measure_model` gave.
    """
    rows = []
    for name, metric in metrics.items():
        label, digits = _NAMES[name]
        low, high = f"{metric.low:.{digits}f}", f"{metric.high:.{digits}f}"
        rows.append(f"| {label} | {metric.value:.{digits}f} | {low} to {high} | {metric.n:,} |")
    return _TEMPLATE.format(
        title=manifest.title,
        intended_use=manifest.intended_use,
        fields=config.fields,
        last=config.fields - 1,
        field_px=config.field_px,
        steps=config.steps,
        batch=config.batch,
        holdout=config.holdout_fields,
        parameters=manifest.training["parameters"],
        config_name="configs/training/cpu.yaml",
        rows="\n".join(rows),
    )
