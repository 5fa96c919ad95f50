"""Choose devices: the processor, or one or more CUDA GPUs."""

from __future__ import annotations

import torch

from pathology.errors import UsageError

__all__ = ["resolve_devices"]


def resolve_devices(text: str) -> list[str]:
    """Turn the value of ``--device`` into the devices to work on.

    Parameters
    ----------
    text
        ``cpu``; ``cuda``: every visible GPU; ``cuda:0,cuda:1``: these; ``auto``: every visible GPU,
        or the CPU where there is none. ``CUDA_VISIBLE_DEVICES`` limits what is visible.

    Returns
    -------
    list of str
        ``["cpu"]`` or one ``cuda:N`` for each GPU.

    Raises
    ------
    UsageError
        If the text is not one of these, or asks for a GPU that is not there.

    Examples
    --------
    >>> resolve_devices("cpu")
    ['cpu']
    """
    wanted = [part.strip() for part in text.split(",")]
    if wanted == ["cpu"]:
        return ["cpu"]
    gpus = [f"cuda:{index}" for index in range(_gpu_count())]
    if wanted == ["auto"]:
        return gpus or ["cpu"]
    if wanted != ["cuda"] and not all(_is_gpu_name(part) for part in wanted):
        raise UsageError(
            f"--device {text!r} is not a device",
            fix="Use auto, cpu, cuda, or GPUs by number such as cuda:0,cuda:1.",
        )
    if not gpus:
        raise UsageError(f"--device {text}: {_why_no_gpu()}", fix="Use --device cpu or auto.")
    if wanted == ["cuda"]:
        return gpus
    wanted = [f"cuda:{int(part.removeprefix('cuda:'))}" for part in wanted]
    missing = [part for part in wanted if part not in gpus]
    if missing:
        raise UsageError(
            f"--device {text}: there is no {', '.join(missing)}", fix=f"Found: {', '.join(gpus)}."
        )
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"--device {text}: a GPU is named twice")
    return wanted


def _is_gpu_name(text: str) -> bool:
    prefix, _, number = text.partition(":")
    return prefix == "cuda" and number.isascii() and number.isdigit()


def _gpu_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _why_no_gpu() -> str:
    if torch.version.cuda is None:
        return "the installed torch was built without CUDA, so it cannot use a GPU"
    return "no CUDA GPU was found on this machine (no GPU, no driver, or none made visible)"
