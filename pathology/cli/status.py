"""Exit statuses of the program."""

from __future__ import annotations

__all__ = [
    "EXIT_FAILED_SLIDES",
    "EXIT_INTERNAL",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_USAGE",
]

EXIT_OK = 0
#: Some slides could not be read or processed.
EXIT_FAILED_SLIDES = 1
#: Usage or configuration; nothing was done.
EXIT_USAGE = 2
#: A defect of the program (sysexits.h: EX_SOFTWARE).
EXIT_INTERNAL = 70
#: Ctrl-C (128 + SIGINT); the same command goes on.
EXIT_INTERRUPTED = 130
