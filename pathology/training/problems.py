"""What is wrong with training input: collected as a whole, told before the first step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pathology.errors import PathologyError, UsageError

__all__ = ["MAX_SHOWN", "Problem", "Problems", "TrainingDataError"]

#: So many problems are spelled out; of the rest the number is told.
MAX_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Hold one thing that is wrong with a file.

    Parameters
    ----------
    path
        The file or folder.
    cause
        What is wrong with it.
    fix
        What can be done about it, as one sentence.

    Examples
    --------
    >>> str(Problem(path=Path("a.png"), cause="the file is empty", fix="Copy it again."))
    'a.png: the file is empty. Copy it again.'
    """

    path: Path
    cause: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: {self.cause.rstrip('.')}. {self.fix}"


class TrainingDataError(UsageError):
    """Training input cannot be used (exit status 2).

    Parameters
    ----------
    problems
        Everything that is wrong, at least one.

    Examples
    --------
    >>> error = TrainingDataError([Problem(path=Path("x"), cause="empty folder", fix="Fill it.")])
    >>> print(error)
    1 problem with the training input:
      x: empty folder. Fill it.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"{count:,} problem{'s' if count != 1 else ''} with the training input:"]
        lines += [f"  {problem}" for problem in self.problems[:MAX_SHOWN]]
        if count > MAX_SHOWN:
            lines.append(f"  and {count - MAX_SHOWN:,} more")
        super().__init__("\n".join(lines))

    # Exceptions cross a process boundary; the default reduction would pass the text back in.
    def __reduce__(self) -> tuple[object, ...]:
        return (TrainingDataError, (self.problems,))


class Problems:
    """Collect problems, so that a user meets all of them at once.

    Examples
    --------
    >>> problems = Problems()
    >>> problems.add(Path("a.png"), "the file is empty", "Copy it again.")
    >>> len(problems)
    1
    """

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, path: Path, cause: str, fix: str) -> None:
        """Note one problem."""
        self._found.append(Problem(path=path, cause=cause, fix=fix))

    def add_error(self, path: Path, error: PathologyError) -> None:
        """Note an error that another part of the program raised; it names the file itself."""
        self.add(path, error.message.removeprefix(f"{path}: "), error.fix)

    def take(self, error: TrainingDataError) -> None:
        """Take over the problems of another collection."""
        self._found.extend(error.problems)

    def raise_any(self) -> None:
        """Raise :class:`TrainingDataError` where anything was noted."""
        if self._found:
            raise TrainingDataError(self._found)
