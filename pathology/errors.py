"""Every error that this package raises on purpose, under one root.

A leaf carries what the reader of a log needs: the file, the cause and the fix. Batch code catches
:class:`PathologyError` and nothing wider, so that a defect of ours never passes for a bad slide.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ConfigError",
    "ModelError",
    "NotScorable",
    "OutputError",
    "PathologyError",
    "ReasonCode",
    "RegionReadError",
    "RegionsError",
    "SlideError",
    "UsageError",
]


class ReasonCode(StrEnum):
    """Name why a slide has no score: the closed list behind the column ``reasons``.

    Examples
    --------
    >>> str(ReasonCode.NO_TISSUE)
    'no_tissue'
    """

    # The file could not be read or processed: status ``failed``.
    UNREADABLE = "unreadable"
    UNSUPPORTED_FORMAT = "unsupported_format"
    FILE_MISSING = "file_missing"
    PERMISSION_DENIED = "permission_denied"
    INVALID_REGIONS = "invalid_regions"
    DISK_FULL = "disk_full"
    OUTPUT_NOT_WRITABLE = "output_not_writable"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_CRASHED = "worker_crashed"
    INTERNAL_ERROR = "internal_error"
    # The file was read, and rightly gets no score: status ``not_scorable``.
    MISSING_MPP = "missing_mpp"
    IMPLAUSIBLE_MPP = "implausible_mpp"
    ANISOTROPIC_MPP = "anisotropic_mpp"
    TOO_SMALL = "too_small"
    FAILED_TILES = "failed_tiles"
    NO_TISSUE = "no_tissue"
    NO_TUMOUR = "no_tumour"
    TOO_FEW_CELLS = "too_few_cells"
    NOT_IHC = "not_ihc"
    OUT_OF_FOCUS = "out_of_focus"
    CLIPPED_IMAGE = "clipped_image"
    CONTROL_FAILED = "control_failed"
    SPECIMEN_TYPE_UNKNOWN = "specimen_type_unknown"


#: Codes that mean "could not be read or processed"; all others mean "seen, and rightly not scored".
FAILED_REASONS: frozenset[ReasonCode] = frozenset(
    {
        ReasonCode.UNREADABLE,
        ReasonCode.UNSUPPORTED_FORMAT,
        ReasonCode.FILE_MISSING,
        ReasonCode.PERMISSION_DENIED,
        ReasonCode.INVALID_REGIONS,
        ReasonCode.DISK_FULL,
        ReasonCode.OUTPUT_NOT_WRITABLE,
        ReasonCode.OUT_OF_MEMORY,
        ReasonCode.WORKER_CRASHED,
        ReasonCode.INTERNAL_ERROR,
    }
)


class PathologyError(Exception):
    """Root of all errors raised on purpose.

    Parameters
    ----------
    message
        What is wrong, naming the file or key concerned.
    fix
        What the user can do about it, as one sentence; appended to the text.

    Examples
    --------
    >>> str(PathologyError("a.svs: no pixel size in the header", fix="Give --mpp 0.25."))
    'a.svs: no pixel size in the header. Give --mpp 0.25.'
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        super().__init__(message, fix)

    def __str__(self) -> str:
        if not self.fix:
            return self.message
        return f"{self.message.rstrip('.')}. {self.fix}"


class UsageError(PathologyError):
    """The command line or the manifest asks for something that cannot be done (exit status 2)."""


class ConfigError(UsageError):
    """A configuration file, key or value is not valid (exit status 2)."""


class ModelError(UsageError):
    """A model bundle is missing, changed, or does not fit this program (exit status 2)."""


class OutputError(UsageError):
    """The output folder cannot be used (exit status 2)."""


class SlideError(PathologyError):
    """One slide could not be read or processed; the folder goes on.

    Parameters
    ----------
    message
        What is wrong, naming the file.
    reason
        The code that lands in the column ``reasons``.
    fix
        What the user can do about it.

    Examples
    --------
    >>> SlideError("x.svs: empty file", reason=ReasonCode.UNREADABLE).status
    'failed'
    """

    def __init__(self, message: str, *, reason: ReasonCode, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason

    @property
    def status(self) -> str:
        """Tell whether the slide counts as ``failed`` or ``not_scorable``."""
        return "failed" if self.reason in FAILED_REASONS else "not_scorable"

    # Exceptions cross a process boundary; the default reduction would lose keyword-only arguments.
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_slide_error, (type(self), self.message, self.reason, self.fix))


class NotScorable(SlideError):
    """A slide that was seen and rightly gets no score: evidence is missing or of the wrong kind."""


class RegionsError(SlideError):
    """A region file (GeoJSON) is invalid or lies outside its slide."""

    def __init__(
        self, message: str, *, reason: ReasonCode = ReasonCode.INVALID_REGIONS, fix: str = ""
    ) -> None:
        super().__init__(message, reason=reason, fix=fix)


class RegionReadError(PathologyError):
    """Some pixels of a slide could not be decoded, also not on a second try with a fresh handle."""


def _rebuild_slide_error(
    kind: type[SlideError], message: str, reason: ReasonCode, fix: str
) -> SlideError:
    return kind(message, reason=reason, fix=fix)
