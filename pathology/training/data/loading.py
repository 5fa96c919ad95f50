"""From the user's own files to examples: everything is checked before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathology.training.data.annotated import PLACE_UM, AnnotatedSlide, load_annotated
from pathology.training.data.samples import Sample
from pathology.training.data.slides import find_annotations
from pathology.training.data.split import Part, group_of, held_out
from pathology.training.problems import Problems
from pathology.training.specs import QuPathCellsSpec, RegionsSpec
from pathology.types import AnyArray

__all__ = ["AnnotatedFields", "AnnotatedSource", "load_annotated_source"]

#: Different fields around one place, so that crops do not always have the same cells at their edge.
VIEWS = 8


@dataclass(frozen=True, kw_only=True)
class AnnotatedSource:
    """Hold the annotated slides of a source.

    Parameters
    ----------
    slides
        The slides, by name of their GeoJSON file.
    groups
        Patients (or slides) that ``group`` of the specification names; none where it names none.

    Examples
    --------
    >>> len(AnnotatedSource(slides=()))
    0
    """

    slides: tuple[AnnotatedSlide, ...]
    groups: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return the number of places: squares of 128 µm that hold annotations."""
        return int(self._ends[-1]) if self.slides else 0

    @cached_property
    def _ends(self) -> AnyArray:
        return np.cumsum([len(slide.places) for slide in self.slides])

    def sample(
        self, index: int, size_px: int, rng_seed: int | Sequence[int] | None = None
    ) -> Sample:
        """Cut the field around a place.

        Parameters
        ----------
        index
            Number of the place, from 0.
        size_px
            Side in pixels of 0.5 µm, a multiple of 64.
        rng_seed
            Moves the field by up to half a place in each direction; None: not at all.

        Returns
        -------
        Sample
            The field, always the same for the same arguments.

        Raises
        ------
        IndexError
            If there is no such place.
        RegionReadError
            If the slide was damaged or removed since it was checked.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"place {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        slide = self.slides[number]
        x, y = slide.places[index - int(self._ends[number]) + len(slide.places)]
        if rng_seed is not None:
            shift = np.random.default_rng(rng_seed).uniform(-0.5, 0.5, size=2) * PLACE_UM
            x, y = x + shift[0], y + shift[1]
        return slide.crop(float(x), float(y), size_px)

    def fields(self, size_px: int, *, seed: int = 0, views: int = VIEWS) -> AnnotatedFields:
        """Return the source as a numbered list of fields.

        Parameters
        ----------
        size_px
            Side in pixels of 0.5 µm, a multiple of 64.
        seed
            Seeds where the views lie.
        views
            Fields around each place; the first lies on it, the others beside it.
        """
        return AnnotatedFields(source=self, size_px=size_px, seed=seed, views=views)


@dataclass(frozen=True, kw_only=True)
class AnnotatedFields:
    """Give the fields of an annotated source by number.

    Parameters
    ----------
    source
        The slides.
    size_px
        Side in pixels of 0.5 µm.
    seed
        Seeds where the views lie.
    views
        Fields around each place.
    """

    source: AnnotatedSource
    size_px: int
    seed: int
    views: int

    def __len__(self) -> int:
        return len(self.source) * self.views

    def sample(self, index: int) -> Sample:
        """Return one field, always the same for the same number."""
        place, view = divmod(index, self.views)
        seed = (self.seed, place, view) if view else None
        return self.source.sample(place, self.size_px, seed)


def load_annotated_source(
    spec: QuPathCellsSpec | RegionsSpec, *, part: Part = "all"
) -> AnnotatedSource:
    """Open all slides of a source, check their annotations, and divide them.

    Parameters
    ----------
    spec
        The specification.
    part
        Everything, what is trained on, or what is held out.

    Returns
    -------
    AnnotatedSource
        Its slides; none for the held-out part of a source that holds nothing out.

    Raises
    ------
    TrainingDataError
        Everything that is wrong, of all slides.

    Examples
    --------
    >>> load_annotated_source(QuPathCellsSpec(path="no-such-folder"))
    Traceback (most recent call last):
    pathology.training.problems.TrainingDataError: 1 problem with the training input:
      no-such-folder: no such file or folder. Check the source's path.
    """
    problems = Problems()
    pairs = find_annotations(spec, problems)
    root = spec.path if spec.path.is_dir() else spec.path.parent
    groups: dict[int, str] = {}
    slides: dict[int, AnnotatedSlide] = {}
    for number, (file, image) in enumerate(pairs):
        group = group_of(file.relative_to(root).as_posix(), spec.group)
        if group is None:
            problems.add(file, f"group {spec.group!r} is not in its name", "Correct group.")
            continue
        groups[number] = group
        slide = load_annotated(file, image, spec, problems)
        if slide is not None:
            slides[number] = slide
    if spec.holdout_share > 0 and len(set(groups.values())) == 1:
        problems.add(
            spec.path,
            "all slides are of one group: none can be held out",
            "Correct group, add patients, or set holdout_share: 0.",
        )
    problems.raise_any()
    out = held_out(groups.values(), spec.holdout_share)
    taken = [
        number
        for number in slides
        if part == "all" or (groups[number] in out) == (part == "holdout")
    ]
    return AnnotatedSource(
        slides=tuple(slides[number] for number in taken),
        groups=frozenset(groups[number] for number in taken if spec.group is not None),
    )
