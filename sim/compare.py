# SPDX-License-Identifier: Apache-2.0
"""Code-by-code comparison of a simulated network with the golden model: how much is equal, and what differs first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

AXES = {2: ("image", "class"), 3: ("image", "token", "channel")}


@dataclass(frozen=True)
class Difference:
    """The first differing value of an edge. index is its place in the edge's array (image, token, channel)."""

    edge: str
    unit: str | None
    index: tuple[int, ...]
    got: int
    want: int
    differing: int
    total: int

    def __str__(self) -> str:
        names = AXES.get(len(self.index), tuple(f"axis{i}" for i in range(len(self.index))))
        place = " ".join(f"{name} {i}" for name, i in zip(names, self.index, strict=True))
        where = f"{self.unit}/{self.edge}" if self.unit and self.unit != self.edge else self.edge
        return f"sim: {where} {place}: got={self.got} want={self.want} ({self.differing} of {self.total} values differ)"


@dataclass
class Comparison:
    """Counts over all edges, and the first difference of each edge that has one, in graph order."""

    values_compared: int
    mismatches: int
    differences: list[Difference]

    @property
    def first(self) -> Difference | None:
        """The difference nearest to the input of the graph."""
        return self.differences[0] if self.differences else None


def compare_edge(name: str, got: np.ndarray, want: np.ndarray, unit: str | None = None) -> Difference | None:
    """First difference of two integer arrays of one shape in C order, None when they are equal.

    Raises:
        ValueError: the shapes differ.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise ValueError(f"sim: {name}: shape {got.shape} simulated, {want.shape} expected")
    unequal = got != want
    count = int(np.count_nonzero(unequal))
    if count == 0:
        return None
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(unequal)), got.shape))
    return Difference(name, unit, index, int(got[index]), int(want[index]), count, got.size)


def compare_edges(
    got: Mapping[str, np.ndarray],
    want: Mapping[str, np.ndarray],
    order: Sequence[str] | None = None,
    units: Mapping[str, str | None] | None = None,
) -> Comparison:
    """Compare every edge of `want`.

    Args:
        got: Edge -> simulated codes, shape (images, tokens, channels).
        want: Edge -> golden codes, the same shapes.
        order: Edges in graph order; None takes the order of `want`.
        units: Edge -> name of the unit that makes it, for the messages.

    Raises:
        ValueError: an edge was not simulated, or has another shape.
    """
    names = list(want) if order is None else [name for name in order if name in want]
    absent = sorted((set(want) - set(names)) | (set(names) - set(got)))
    if absent:
        raise ValueError(f"sim: no simulated values of the edges {', '.join(absent)}")
    result = Comparison(0, 0, [])
    for name in names:
        difference = compare_edge(name, got[name], want[name], (units or {}).get(name))
        result.values_compared += int(np.asarray(want[name]).size)
        if difference is not None:
            result.mismatches += difference.differing
            result.differences.append(difference)
    return result
