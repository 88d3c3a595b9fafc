# SPDX-License-Identifier: Apache-2.0
"""Stream beats as arrays: packing of elements and fields into 32-bit words, reading them back, comparing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Words:
    """Packed beats: `data` uint32, shape (beats, ceil(bits / 32)), low word first, bits above `bits` are zero."""

    data: np.ndarray
    bits: int


@dataclass(frozen=True)
class Beats:
    """A number of output beats to wait for, and how to read them: `elems` equal elements per beat, element 0 low."""

    count: int
    elems: int = 1
    signed: bool = False


def check_range(values: np.ndarray, bits: int, what: str) -> None:
    """Raise ValueError when a value does not fit `bits` bits, neither as signed nor as unsigned number."""
    if values.size and (int(values.min()) < -(1 << (bits - 1)) or int(values.max()) >= (1 << bits)):
        raise ValueError(f"{what}: values {values.min()}..{values.max()} do not fit {bits} bits")


def pack(elements: np.ndarray, elem_bits: int, what: str = "pack") -> Words:
    """Pack elements into beats, element 0 in the low bits.

    Args:
        elements: Integers (int array, or object array of Python ints for wide elements), shape (beats, n).
        elem_bits: Width of an element; each must fit as signed or as unsigned number.

    Returns:
        Words of n * elem_bits bits.
    """
    elements = np.asarray(elements)
    if elements.ndim != 2:
        raise ValueError(f"{what}: shape {elements.shape} given, (beats, elements) expected")
    beats, n = elements.shape
    bits = n * elem_bits
    words = -(-bits // 32)
    if elements.dtype == object or elem_bits > 63:
        wide = elements.astype(object)
        check_range(wide, elem_bits, what)
        mask, data = (1 << elem_bits) - 1, bytearray()
        for row in wide:
            value = 0
            for i, item in enumerate(row):
                value |= (int(item) & mask) << (i * elem_bits)
            data += value.to_bytes(4 * words, "little")
        return Words(np.frombuffer(bytes(data), "<u4").reshape(beats, words).astype(np.uint32), bits)
    check_range(elements, elem_bits, what)
    codes = elements.astype(np.int64).view(np.uint64) & np.uint64((1 << elem_bits) - 1)
    if bits <= 32:
        value = np.zeros(beats, np.uint64)
        for i in range(n):
            value |= codes[:, i] << np.uint64(i * elem_bits)
        return Words(np.ascontiguousarray(value.astype(np.uint32)[:, None]), bits)
    out = np.zeros((beats, words), np.uint32)
    chunk = max(1, (1 << 24) // bits)
    for start in range(0, beats, chunk):
        part = np.ascontiguousarray(codes[start : start + chunk])
        rows = len(part)
        planes = np.unpackbits(part.view(np.uint8).reshape(rows, n, 8), axis=2, bitorder="little")[:, :, :elem_bits]
        row_bytes = np.packbits(planes.reshape(rows, bits), axis=1, bitorder="little")
        out[start : start + rows].view(np.uint8)[:, : row_bytes.shape[1]] = row_bytes
    return Words(out, bits)


def unpack(words: Words, n: int, signed: bool) -> np.ndarray:
    """Read n equal elements per beat. Returns int64 (object above 63 bits), shape (beats, n)."""
    data, bits = words.data, words.bits
    if bits % n:
        raise ValueError(f"unpack: {bits} bits are not {n} equal elements")
    elem_bits, beats = bits // n, len(data)
    if elem_bits > 63:
        raw = np.ascontiguousarray(data, "<u4").tobytes()
        size, mask = 4 * data.shape[1], (1 << elem_bits) - 1
        out = np.empty((beats, n), object)
        for b in range(beats):
            value = int.from_bytes(raw[b * size : (b + 1) * size], "little")
            for i in range(n):
                item = (value >> (i * elem_bits)) & mask
                out[b, i] = item - (1 << elem_bits) if signed and item >> (elem_bits - 1) else item
        return out
    if n == 1:
        value = data[:, 0].astype(np.int64)
        if data.shape[1] > 1:
            value |= data[:, 1].astype(np.int64) << 32
        out = value[:, None]
    else:
        out = np.zeros((beats, n), np.int64)
        chunk = max(1, (1 << 24) // bits)
        for start in range(0, beats, chunk):
            part = np.ascontiguousarray(data[start : start + chunk])
            rows = len(part)
            planes = np.unpackbits(part.view(np.uint8), axis=1, bitorder="little")[:, :bits].reshape(rows, n, elem_bits)
            full = np.zeros((rows, n, 64), np.uint8)
            full[:, :, :elem_bits] = planes
            out[start : start + rows] = np.packbits(full, axis=2, bitorder="little").view(np.int64)[:, :, 0]
    if signed:
        half = np.int64(1) << np.int64(elem_bits - 1)
        out = (out ^ half) - half
    return out


def fields(*parts: tuple[np.ndarray, int]) -> Words:
    """Pack unequal fields, the first one lowest: fields((mult, 17), (bias, 24), (lane, 2)) with 1-D arrays."""
    columns = [(np.asarray(values).astype(object).reshape(-1), bits) for values, bits in parts]
    total = np.zeros(len(columns[0][0]), object)
    offset = 0
    for values, bits in columns:
        check_range(values, bits, "fields")
        total = total + np.array([(int(v) & ((1 << bits) - 1)) << offset for v in values], object)
        offset += bits
    return pack(total[:, None], offset, "fields")


def as_words(values: object, bits: int, what: str) -> Words:
    """Any of Job's forms as beats of `bits` bits."""
    if isinstance(values, Words):
        if values.bits != bits:
            raise ValueError(f"{what}: {values.bits} bits given, the port has {bits}")
        return values
    if isinstance(values, (list, tuple)):
        values = np.array(values, object) if bits > 63 else np.asarray(values)
    array = np.asarray(values)
    if array.size == 0:
        return Words(np.zeros((0, -(-bits // 32)), np.uint32), bits)
    if array.dtype.kind not in "iubO":
        raise ValueError(f"{what}: dtype {array.dtype} given, integers expected")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or bits % array.shape[1]:
        raise ValueError(f"{what}: shape {array.shape} given, (beats, n) with n a divisor of {bits} bits expected")
    return pack(array, bits // array.shape[1], what)


@dataclass(frozen=True)
class Expected:
    words: Words
    values: np.ndarray

    @property
    def elems(self) -> int:
        return 1 if self.values.ndim == 1 else self.values.shape[1]

    @property
    def signed(self) -> bool:
        return bool(self.values.size) and int(self.values.min()) < 0


def beat_count(wanted: Words | Beats | Expected) -> int:
    if isinstance(wanted, Beats):
        return wanted.count
    return len(wanted.data if isinstance(wanted, Words) else wanted.words.data)


def unpack_like(got: Words, wanted: Words | Beats | Expected) -> np.ndarray:
    """Beats in the form they were expected in."""
    if isinstance(wanted, Words):
        return got.data.copy()
    if isinstance(wanted, Beats):
        array = unpack(got, wanted.elems, wanted.signed)
        return array[:, 0] if wanted.elems == 1 else array
    array = unpack(got, wanted.elems, wanted.signed)
    return array[:, 0] if wanted.values.ndim == 1 else array


def compare_words(got: Words, wanted: Words | Expected, what: str, seed: int) -> None:
    """AssertionError at the first differing element."""
    want = wanted if isinstance(wanted, Words) else wanted.words
    if np.array_equal(got.data, want.data):
        return
    beat = int(np.argmax((got.data != want.data).any(axis=1)))
    elems, signed = (1, False) if isinstance(wanted, Words) else (wanted.elems, wanted.signed)
    g, w = unpack(got, elems, signed), unpack(want, elems, signed)
    lane = int(np.argmax(g[beat] != w[beat]))
    n = int(np.count_nonzero(g != w))
    raise AssertionError(
        f"{what} beat {beat} element {lane}: got={g[beat, lane]} want={w[beat, lane]}"
        f" ({n} of {w.size} values differ, seed {seed})"
    )
