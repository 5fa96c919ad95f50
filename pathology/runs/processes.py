"""Which process is which, on several machines, and whether one of this machine still runs."""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path

__all__ = ["is_running", "machine_name", "machine_tag", "process_start"]

_PROC = Path("/proc")


@functools.cache
def machine_name() -> str:
    """Name this machine, this start of it, and the set of process numbers that is seen from here.

    Returns
    -------
    str
        Two processes with equal names see each other's process numbers. Containers with one host
        name differ in the last part. Empty where the system does not say so much (anything but
        Linux): nothing can then be told from a process number.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        # A link such as pid:[4026531836]; only its text is wanted.
        numbers = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{platform.node()}|{boot}|{numbers}"


@functools.cache
def machine_tag() -> str:
    """Return a short name of this machine for file names: eight hexadecimal digits.

    Examples
    --------
    >>> len(machine_tag())
    8
    """
    name = machine_name() or platform.node()
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def process_start(pid: int) -> str:
    """Return when a process of this machine was started, in the kernel's own units.

    With it a process number that was given out again is told from the first owner of the number.

    Returns
    -------
    str
        Empty where there is no such process, it has ended, or the system does not say.

    Examples
    --------
    >>> process_start(0)
    ''
    """
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    # The name of the program stands in brackets and may hold anything; man 5 proc, fields 3 and 22.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def is_running(pid: int, start: str) -> bool:
    """Tell whether the process of this machine that had this number and start still runs.

    Examples
    --------
    >>> is_running(1, process_start(1) + "0")
    False
    """
    return bool(start) and process_start(pid) == start
