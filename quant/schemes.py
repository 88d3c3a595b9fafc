# SPDX-License-Identifier: Apache-2.0
"""Weight schemes: which integers a row may hold, their bit codes, and which rows of a layer get which scheme.

Every row of a weight matrix is integers times one real scale. `bits` is the storage of one weight.

    scheme  integers                                               code, most significant bit first
    fixed   -(2**(bits-1) - 1) .. 2**(bits-1) - 1                   two's complement
    pot     0, +-2**k with k = 0 .. min(2**(bits-1) - 2, 14)        sign, e: 0 -> 0, otherwise 2**(e-1)
    sp2     +-(q1 + q2), each term 0 or a power of two              sign, e1 (m1 bits), e2 (m2 bits)

For sp2, m1 = ceil((bits-1)/2) and m2 = floor((bits-1)/2); q1 = 2**(e1-1), q2 = 2**(e2-1 + 2**m1 - 2**m2), 0 for e = 0.
Both terms end at the same largest power, as in Chang et al., "Mix and Match" (HPCA 2021), there with fractions.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from quant.intmath import signed_bits

FIXED, POT, SP2 = 0, 1, 2
SCHEMES = ("fixed", "pot", "sp2")  # position = scheme id
MIN_BITS, MAX_BITS = 2, 8
POT_MAX_EXPONENT = 14


def scheme_id(name: str) -> int:
    """Id of a scheme name.

    Raises:
        ValueError: unknown name.
    """
    if name not in SCHEMES:
        raise ValueError(f"unknown scheme {name!r}; expected one of {', '.join(SCHEMES)}")
    return SCHEMES.index(name)


@cache
def _code_table(scheme: int, bits: int) -> np.ndarray:
    """Integer of every bit code, int64, shape (2**bits,); codes that nothing encodes to still decode."""
    if scheme not in (FIXED, POT, SP2):
        raise ValueError(f"schemes: scheme id {scheme}, expected 0 (fixed), 1 (pot) or 2 (sp2)")
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"schemes: {bits} weight bits, expected {MIN_BITS}..{MAX_BITS}")
    code = np.arange(2**bits, dtype=np.int64)
    if scheme == FIXED:
        table = np.where(code >= 2 ** (bits - 1), code - 2**bits, code)
    else:
        sign = np.where(code >> (bits - 1), -1, 1)
        field = code & (2 ** (bits - 1) - 1)
        if scheme == POT:
            table = sign * _power(np.minimum(field, POT_MAX_EXPONENT + 1), 0)
        else:
            m1, m2 = bits // 2, (bits - 1) // 2
            table = sign * (_power(field >> m2, 0) + _power(field & (2**m2 - 1), 2**m1 - 2**m2))
    table.setflags(write=False)
    return table


def _power(field: np.ndarray, offset: int) -> np.ndarray:
    """0 where the exponent field is 0, otherwise 2**(field - 1 + offset)."""
    return np.where(field > 0, np.int64(1) << np.maximum(field - 1 + offset, 0), 0)


@cache
def magnitudes(scheme: int, bits: int) -> np.ndarray:
    """Magnitudes a row of this scheme may hold: int64, ascending, the first is 0.

    Raises:
        ValueError: unknown scheme id, or bits outside 2..8.
    """
    table = _code_table(scheme, bits)
    values = np.unique(np.maximum(table, 0))  # fixed leaves its most negative code out
    values.setflags(write=False)
    return values


def largest(scheme: int, bits: int) -> int:
    """Largest magnitude of a scheme: 7 (fixed), 64 (pot), 8 (sp2) at four bits."""
    return int(magnitudes(scheme, bits)[-1])


def integer_bits(schemes: np.ndarray, bits: int) -> int:
    """Width of the signed type that holds the integers of rows of these schemes (ids)."""
    top = max(largest(int(s), bits) for s in np.unique(schemes))
    return signed_bits(-top, top)


def midpoints(scheme: int, bits: int) -> np.ndarray:
    """Borders between neighbouring magnitudes, float64, one fewer than magnitudes()."""
    values = magnitudes(scheme, bits)
    return (values[1:] + values[:-1]) / 2


def nearest(values: np.ndarray, scheme: int, bits: int) -> np.ndarray:
    """Nearest integer of a scheme; ties go to the smaller magnitude, what is too large saturates.

    At four bits, fixed: 2.5 -> 2, -2.5 -> -2; pot: 3 -> 2; sp2: 3 -> 2, 7 -> 6.

    Args:
        values: Weights over the row scale, any shape.
        scheme: Scheme id.
        bits: Weight bits, 2..8.

    Returns:
        int64 of the same shape.
    """
    values = np.asarray(values, dtype=np.float64)
    index = np.searchsorted(midpoints(scheme, bits), np.abs(values), side="left")
    return np.where(values < 0, -1, 1) * magnitudes(scheme, bits)[index]


def quantize_rows(weight: np.ndarray, scale: np.ndarray, schemes: np.ndarray, bits: int) -> np.ndarray:
    """Weights (rows, columns) over their row scales (rows,) -> nearest integers of each row's scheme, int64."""
    weight, schemes = np.asarray(weight, dtype=np.float64), np.asarray(schemes)
    out = np.zeros(weight.shape, dtype=np.int64)
    for scheme in np.unique(schemes):
        rows = schemes == scheme
        out[rows] = nearest(weight[rows] / np.asarray(scale)[rows, None], int(scheme), bits)
    return out


def encode(values: np.ndarray, scheme: int, bits: int) -> np.ndarray:
    """Integers of a scheme -> bit codes, unsigned int64 of the same shape. Zero has sign 0.

    Raises:
        ValueError: a value is not one of the scheme's integers.
    """
    values = np.asarray(values, dtype=np.int64)
    table = _code_table(scheme, bits)
    # reversed, so that of several codes of one integer the lowest wins
    lookup = {int(table[code]): code for code in reversed(range(table.size))}
    unknown = ~np.isin(np.abs(values), magnitudes(scheme, bits))
    if unknown.any():
        raise ValueError(
            f"schemes: {int(values[unknown].flat[0])} is no {bits}-bit {SCHEMES[scheme]} weight; "
            f"magnitudes are {', '.join(map(str, magnitudes(scheme, bits)[:12]))}, ... {largest(scheme, bits)}"
        )
    unique, inverse = np.unique(values, return_inverse=True)
    return np.array([lookup[int(v)] for v in unique], dtype=np.int64)[inverse].reshape(values.shape)


def decode(codes: np.ndarray, scheme: int, bits: int) -> np.ndarray:
    """Bit codes (unsigned, `bits` wide) -> integers, int64 of the same shape."""
    return _code_table(scheme, bits)[np.asarray(codes, dtype=np.int64)]


def assign_rows(
    weight: np.ndarray, scheme: int, row_group: int, shift_add_rows: int, cost: np.ndarray | None = None
) -> np.ndarray:
    """Scheme of every output row: in each group of rows those of smallest cost become shift-add rows.

    Args:
        weight: Float weights, shape (rows, ...).
        scheme: Scheme id of the shift-add rows.
        row_group: Rows of a group; rows must be a multiple of it unless shift_add_rows is 0.
        shift_add_rows: Shift-add rows in each group, 0..row_group.
        cost: What it costs to make a row shift-add, shape (rows,); None: the row's variance (Chang et al., HPCA 2021).

    Returns:
        Scheme ids, int64, shape (rows,). Of rows with equal cost the first becomes a shift-add row.

    Raises:
        ValueError: the rows do not divide into groups, or more shift-add rows than a group has.
    """
    rows = weight.shape[0]
    out = np.full(rows, FIXED, dtype=np.int64)
    if not 0 <= shift_add_rows <= row_group:
        raise ValueError(f"schemes: shift_add_rows={shift_add_rows}, expected 0..{row_group} (row_group)")
    if scheme == FIXED or shift_add_rows == 0:
        return out
    if rows % row_group:
        raise ValueError(f"schemes: {rows} rows do not divide into groups of row_group={row_group}")
    if cost is None:
        cost = np.var(np.asarray(weight, dtype=np.float64).reshape(rows, -1), axis=1)
    order = np.argsort(np.reshape(cost, (-1, row_group)), axis=1, kind="stable")[:, :shift_add_rows]
    np.put_along_axis(out.reshape(-1, row_group), order, scheme, axis=1)
    return out


def search_scales(weight: np.ndarray, schemes: np.ndarray, bits: int, steps: int = 48) -> np.ndarray:
    """Row scales of least squared weight error, found on a grid below the scale at which nothing saturates.

    Args:
        weight: Float weights, shape (rows, columns).
        schemes: Scheme ids, shape (rows,).
        bits: Weight bits, 2..8.
        steps: Candidates; 1 takes the scale at which the largest weight meets the largest magnitude.

    Returns:
        Scales, float64, shape (rows,), above zero (1 for an all-zero row).
    """
    weight, schemes = np.asarray(weight, dtype=np.float64), np.asarray(schemes)
    out = np.ones(len(weight))
    for scheme in np.unique(schemes):
        rows = np.flatnonzero(schemes == scheme)
        part = weight[rows]
        full = np.abs(part).max(axis=1) / largest(int(scheme), bits)
        full[full == 0.0] = 1.0
        best, least = full.copy(), np.full(len(rows), np.inf)
        for factor in np.linspace(1.0, 0.35, steps) if steps > 1 else ():
            scale = full * factor
            error = np.square(nearest(part / scale[:, None], int(scheme), bits) * scale[:, None] - part).sum(axis=1)
            better = error < least
            best[better], least[better] = scale[better], error[better]
        out[rows] = best
    return out
