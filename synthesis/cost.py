# SPDX-License-Identifier: Apache-2.0
"""Estimated resources of an RTL module from its parameters: what folding and `make explore` search with.

LUTs and flip-flops are sums of features (products of parameters) with the coefficients of
synthesis/costs/<family>.json, which `make calibrate` fits to Yosys runs of random units; docs/results/cost_model.md has
their error on other units. Multiplier blocks and block RAMs follow from the structure. All count as in
synthesis/backends/yosys.py, but block RAMs always as those of 18 kbit.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "costs"
# One block RAM as FINN counts it (BRAM_18K); an ECP5 EBR is the same size.
BRAM_BITS = 18 * 1024
# Families, and the TARGET parameter of the RTL that instantiates their primitives
TARGETS = {"ecp5": 1, "xcup": 2}
FAMILIES = tuple(TARGETS)
Params = Mapping[str, int | str]


@dataclass(frozen=True)
class Cost:
    """Estimated resources: LUT sites, multiplier blocks, block RAMs of 18 kbit, flip-flops."""

    lut: int = 0
    dsp: int = 0
    bram: int = 0
    ff: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.lut + other.lut, self.dsp + other.dsp, self.bram + other.bram, self.ff + other.ff)


def family(part: str) -> str:
    """Device family of a part: "ecp5" (4-input LUTs), else "xcup" (6-input LUTs)."""
    return "ecp5" if part.upper().startswith("LFE5") else "xcup"


def packs(w_bits: int, a_bits: int) -> bool:
    """True when two rows share one multiplier."""
    return w_bits <= 4 and a_bits <= 8


def paired_rows(dsp_rows: int, w_bits: int, a_bits: int) -> int:
    """Rows on multiplier blocks that share one with another row."""
    return dsp_rows // 2 * 2 if packs(w_bits, a_bits) else 0


def cascades(target: int, dsp_sums: int, simd: int) -> bool:
    """Whether pairs of rows are summed along UltraScale+'s DSP cascade (mvu.sv: DSP_CASCADE)."""
    return target == TARGETS["xcup"] and bool(dsp_sums) and simd > 1


def bits_of(number: int) -> int:
    """Width of a counter up to number - 1: clog2, at least 1."""
    return max(1, (number - 1).bit_length())


# ------------------------------------------------------------------------------------------------ memories


@dataclass(frozen=True)
class Ram:
    """A kind of block RAM as in Yosys' memory library: weight, blocks of 18 kbit, and its shapes as (words, bits)."""

    weight: int
    blocks: int
    shapes: tuple[tuple[int, int], ...]


def _shapes(words: int, widest: int) -> tuple[tuple[int, int], ...]:
    """Shapes of a block RAM of so many words of one bit: 2, 4, 9, 18 ... bits of half as many words each time."""
    return tuple((words >> step, width) for step, width in enumerate((1, 2, 4, 9, 18, 36, 72)) if width <= widest)


RAMS = {
    "ecp5": (Ram(128, 1, _shapes(16384, 36)),),
    "xcup": (Ram(129, 1, _shapes(16384, 36)), Ram(257, 2, _shapes(32768, 72)), Ram(513, 4, _shapes(65536, 9))),
}


@dataclass(frozen=True)
class Memory:
    """What a memory takes: block RAMs, bits of the multiplexers behind them, or LUT RAMs of 16 words by 4 bits."""

    blocks: int = 0
    mux: int = 0
    lutrams: int = 0


@cache
def memory(device: str, width: int, depth: int, most: int = 32, written: bool = True) -> Memory:
    """A memory with a read port on a family; up to `most` words in LUT RAM. A ROM is not `written`.

    Block RAMs are those that Yosys takes: it weighs them together with half of the bits of the multiplexers behind and
    of the enables in front. Where the words need several ranges of addresses, their bits stand side by side, in groups
    of nine if they are written; a block may hold the end of one range and the start of the next.
    """
    if width <= 0:
        return Memory()
    if depth <= most:
        return Memory(lutrams=math.ceil(depth / 16) * math.ceil(width / 4))
    best: tuple[float, Memory] | None = None
    for ram in RAMS[device]:
        for words, bits in ram.shapes:
            ranges, group = math.ceil(depth / words), min(bits, 9) if written else 1
            count = math.ceil(ranges * math.ceil(width / group) * group / bits)
            mux = (ranges - 1) * width
            weight = ram.weight * count + (mux + written * (ranges > 1) * ranges) / 2
            if best is None or weight < best[0]:
                best = weight, Memory(ram.blocks * count, mux)
    assert best
    return best[1]


def adder_tree(count: int, width: int, radix: int = 2) -> tuple[int, int, int]:
    """Adders of a tree over `count` numbers of `width` bits, `radix` at an adder.

    Returns:
        Adders; bits of their sums; bits of numbers that wait a level.
    """
    adders = total = waiting = 0
    numbers, span = count, 1
    while count > 1:
        span = min(span * radix, numbers)
        grown = width + (span - 1).bit_length()
        here = count // radix + (count % radix > 1)
        adders, total, waiting = adders + here, total + here * grown, waiting + (count % radix == 1) * grown
        count = math.ceil(count / radix)
    return adders, total, waiting


# ------------------------------------------------------------------------------------------------ modules
# Each function gives the features of one module, its multiplier blocks and its block RAMs.


@dataclass(frozen=True)
class Part:
    """One module with its parameters on a device family; a parameter that is not there is 0."""

    device: str
    params: Params

    def __getitem__(self, name: str) -> int:
        value = self.params.get(name, 0)
        return value if isinstance(value, int) else 0

    @property
    def radix(self) -> int:
        """Sums at an adder behind the lanes' first ones: three on UltraScale+."""
        return 3 if self.device == "xcup" else 2

    def memory(self, width: int, depth: int, most: int = 32, written: bool = True) -> Memory:
        """A memory on this family."""
        return memory(self.device, width, depth, most, written)

    def absorbed(self, width: int, memory: Memory) -> int:
        """Minus the registers behind a memory that ECP5's block RAMs take in (synthesis/backends/ram_registers.py).

        Memories in LUT RAM keep them, deeper ones than a block RAM have a multiplexer in between.
        """
        return -width if self.device == "ecp5" and memory.blocks and not memory.mux else 0

    def late(self, numbers: int, more: int) -> int:
        """Registers behind a tree of `numbers` (and `more` levels before it) until the lanes' common latency."""
        levels = more
        while numbers > 1:
            numbers, levels = math.ceil(numbers / self.radix), levels + 1
        return (self["SIMD"] - 1).bit_length() - levels + (self["SIMD"] > 8)


Structure = tuple[Mapping[str, float], int, int]


def _reader(p: Part) -> Structure:
    chunks = math.ceil(p["K_MAX"] / p["SIMD"])
    width, depth = p["SIMD"] * p["ELEM_BITS"], 2 * p["T_MAX"] * chunks
    held = p.memory(width, depth, 16)
    features = {
        "one": 1, "k": bits_of(p["K_MAX"]), "chunk": bits_of(chunks), "tile": bits_of(p["T_MAX"]) * (p["T_MAX"] > 1),
        "group": bits_of(p["GROUPS_MAX"]), "address": bits_of(depth), "word": width,
        "lutram": held.lutrams, "simd": p["SIMD"] * (p["SIMD"] > 1), "mux": held.mux,
        "absorbed": p.absorbed(width, held),
    }  # fmt: skip
    return features, 0, held.blocks


def _rom(p: Part) -> Structure:
    size = p["WIDTH"] * p["DEPTH"]
    small = size < 1024
    width = p["WIDTH"] - p["CONSTANT_BITS"]  # Yosys drops columns of one value
    held = Memory() if small else p.memory(width, p["DEPTH"], 0, written=False)
    features = {
        "one": 1, "address": bits_of(p["DEPTH"]), "content": width * p["DEPTH"] * small, "width": width * small,
        "mux": held.mux, "absorbed": p.absorbed(width, held),
        "constant": -p["WIDTH"] * (p["DEPTH"] == 1),  # what reads a single word shrinks around it
    }  # fmt: skip
    return features, 0, held.blocks


def _mvu(p: Part) -> Structure:
    pe, simd, acc, tiled = p["PE"], p["SIMD"], p["ACC_BITS"], p["T_MAX"] > 1
    features: dict[str, float] = {
        "one": 1, "chunk": bits_of(p["CHUNKS_MAX"]), "acc": (pe - _in_blocks(p)) * acc, "pe": pe,
        "stall": p["STALL_REGISTER"],
        "input": simd * p["A_BITS"], "tile": bits_of(p["T_MAX"]) * tiled,
        "tile_acc": pe * acc * (tiled and p["CHUNKS_MAX"] > 1),
        "tile_word": pe * simd * p["W_BITS"] * (tiled and not p["DA"]),
    }  # fmt: skip
    rows = {"fixed": pe - p["ROWS_POT"] - p["ROWS_SP2"] - p["DSP_ROWS"], "pot": p["ROWS_POT"], "sp2": p["ROWS_SP2"]}
    if p["DA"]:
        features |= _da_rows(p, rows)
        dsp = 0
    else:
        features |= _plane_rows(p, rows["fixed"]) | _pot_rows(p, rows["pot"]) | _sp2_rows(p, rows["sp2"])
        blocks_used, dsp = _block_rows(p)
        features |= blocks_used
    bram = 0
    if tiled:
        fifo = _fifo(Part(p.device, {"WIDTH": pe * acc, "DEPTH": p["T_MAX"]}))
        features |= {f"fifo_{name}": value for name, value in fifo[0].items()}
        sums = p.memory(pe * acc, p["T_MAX"])
        features["lutram"] = sums.lutrams
        bram = fifo[2] + sums.blocks * (p["CHUNKS_MAX"] > 1)
    return features, dsp, bram


def _paired(p: Part) -> int:
    return paired_rows(p["DSP_ROWS"], p["W_BITS"], p["A_BITS"])


def _cascades(p: Part) -> bool:
    return cascades(TARGETS[p.device], p["DSP_SUMS"], p["SIMD"])


def _in_blocks(p: Part) -> int:
    """Rows whose sums over all chunks stay in the multiplier blocks (mvu.sv: DSP_TOTALS)."""
    fits = p["T_MAX"] == 1 and p["CHUNKS_MAX"] * min(p["SIMD"], 12) <= 2047
    return _paired(p) if _cascades(p) and fits else 0


def _block_rows(p: Part) -> tuple[dict[str, float], int]:
    """Rows on multiplier blocks: in pairs, alone or summed inside the blocks; and the blocks."""
    simd, a_bits, w_bits = p["SIMD"], p["A_BITS"], p["W_BITS"]
    paired = _paired(p)
    alone = p["DSP_ROWS"] - paired
    features: dict[str, float] = {}
    added = [("alone", alone, a_bits + w_bits - 1)]
    if _cascades(p):
        chains = math.ceil(simd / 12)
        width = (22 if _in_blocks(p) else a_bits + w_bits + bits_of(math.ceil(simd / chains))) + bits_of(chains)
        features |= {"chain_row": paired, "chain_join": paired * (chains - 1) * width, "chain_mac": paired * simd}
    else:
        added.append(("pair", paired, a_bits + w_bits))
    for name, count, width in added:
        adders, total, waiting = adder_tree(simd, width)
        features |= {
            f"{name}_tree": count * total, f"{name}_adders": count * adders, f"{name}_mac": count * simd,
            f"{name}_weight": count * simd * w_bits, f"{name}_row": count, f"{name}_wait": count * waiting,
            f"{name}_width": count * width,
        }  # fmt: skip
    on_block = _on_block(p, a_bits + w_bits)
    if not on_block:
        features |= {"alone_cells": alone * simd * a_bits * w_bits, "alone_bits": alone * simd * (a_bits + w_bits)}
    return features, simd * (paired // 2 + alone * on_block)


def _on_block(p: Part, bits: int) -> bool:
    """Whether a product of that many bits takes a multiplier block: Yosys gives UltraScale+'s to ten bits and more."""
    return p.device == "ecp5" or bits >= 10


def _plane_rows(p: Part, count: int) -> dict[str, float]:
    """Fixed-point rows by bit planes of the weights."""
    simd, a_bits, w_bits = p["SIMD"], p["A_BITS"], p["W_BITS"]
    sum_bits = a_bits + (simd - 1).bit_length()
    joins, joined, joined_waiting = adder_tree(w_bits, sum_bits)
    features: dict[str, float] = {
        "plane_join": count * joined, "plane_odd": count * (w_bits & (w_bits - 1) != 0) * (w_bits + simd),
        "plane_joins": count * joins, "plane_join_wait": count * joined_waiting,
        "plane_weight": count * simd * w_bits, "plane_row": count,
        "plane_single": count * (simd == 1) * w_bits * a_bits,
    }  # fmt: skip
    numbers, width = simd, a_bits
    if p.device == "xcup":  # two gated inputs at the first adders, three sums at the others
        numbers, width = math.ceil(simd / 2), a_bits + 1
        features |= {
            "plane_pair": count * w_bits * (simd // 2) * width,
            "plane_alone": count * w_bits * (simd > 1 and simd % 2) * a_bits,
            "plane_late": count * (sum_bits + w_bits) * (p.late(numbers, int(simd > 1)) > 1),
        }  # fmt: skip
    adders, total, waiting = adder_tree(numbers, width, p.radix)
    return features | {
        "plane_tree": count * w_bits * total, "plane_adders": count * w_bits * adders,
        "plane_wait": count * w_bits * waiting,
    }  # fmt: skip


def _pot_rows(p: Part, count: int) -> dict[str, float]:
    """Power-of-two rows: two stages of shift, the second one in the first adders."""
    simd, a_bits = p["SIMD"], p["A_BITS"]
    exponent = min(p["W_BITS"] - 1, 4)
    part, product = a_bits + 2 ** (exponent - 1) - 1, a_bits + 2**exponent - 2
    numbers = math.ceil(simd / 2)
    adders, total, waiting = adder_tree(numbers, product + 1, p.radix)
    pairs = count * (simd // 2)
    return {
        "pot_part": count * simd * part, "pot_shift": count * simd * part * (exponent - 1),
        "pot_zero": count * simd * a_bits, "pot_pair": pairs * (product + 1), "pot_pairs": pairs,
        "pot_odd": count * (simd % 2) * product,
        "pot_tree": count * total, "pot_adders": count * adders, "pot_wait": count * waiting,
        "pot_weight": count * simd * p["W_BITS"], "pot_row": count, "pot_sum": count * (product + bits_of(simd)),
        "pot_late": count * (product + bits_of(simd)) * (p.late(numbers, int(simd > 1)) > 1),
    }  # fmt: skip


def _sp2_rows(p: Part, count: int) -> dict[str, float]:
    """Rows of sums of two powers of two: two shifted terms and an adder, two digits at four bits."""
    simd, a_bits, w_bits = p["SIMD"], p["A_BITS"], p["W_BITS"]
    m1, m2 = w_bits // 2, (w_bits - 1) // 2
    product = a_bits + 2**m1 - 1
    adders, total, waiting = adder_tree(simd, product, p.radix)
    features: dict[str, float] = {
        "sp2_tree": count * total, "sp2_adders": count * adders, "sp2_wait": count * waiting, "sp2_row": count,
        "sp2_weight": count * simd * w_bits, "sp2_product": count * simd * product,
        "sp2_late": count * (product + bits_of(simd)) * (p.late(simd, 0) > 1),
    }  # fmt: skip
    if w_bits == 4:
        return features | {"sp2_digits": count * simd * a_bits}
    high = product - (2**m1 - 2**m2)
    return features | {
        "sp2_gate": count * simd * a_bits, "sp2_term1": count * simd * a_bits * (2**m1 - 2),
        "sp2_term2": count * simd * a_bits * max(0, 2**m2 - 2), "sp2_high": count * simd * high * (m2 > 0),
    }  # fmt: skip


def _da_rows(p: Part, rows: Mapping[str, int]) -> dict[str, float]:
    """Rows by distributed arithmetic: tables of subset sums, trees of planes, their join, the loader.

    The schemes differ in the width of an entry; each has tables and a loader of its own.
    """
    a_bits, w_bits, quads = p["A_BITS"], p["W_BITS"], math.ceil(p["SIMD"] / 4)
    tops = {
        "fixed": 2 ** (w_bits - 1) - 1,
        "pot": 2 ** (2 ** min(w_bits - 1, 4) - 2),
        "sp2": 2 ** (2 ** (w_bits // 2) - 1),
    }
    features: dict[str, float] = {"da": 1, "da_quads": quads}
    for scheme, count in rows.items():
        entry, grown = (4 * tops[scheme]).bit_length(), (4 * tops[scheme] * quads).bit_length()
        adders, total, waiting = adder_tree(quads, entry, p.radix)
        joins, joined, _ = adder_tree(a_bits, grown, p.radix)
        if p.device == "ecp5":
            rams = a_bits * math.ceil(count * entry / 4)
        else:
            rams = math.ceil(a_bits * math.ceil(count * entry / 2) / 7)
        more = {
            "da_ram": quads * rams, "da_entry": count * quads * a_bits * entry, "da_tree": count * a_bits * total,
            "da_adders": count * a_bits * adders, "da_wait": count * a_bits * waiting, "da_join": count * joined,
            "da_joins": count * joins, "da_row": count, "da_load": count * entry, "da_scheme": count > 0,
            "da_scheme_quads": (count > 0) * quads, f"da_{scheme}_code": count * w_bits,
        }  # fmt: skip
        features |= {name: features.get(name, 0) + value for name, value in more.items()}
    return features


def _requant(p: Part) -> Structure:
    pe, acc, bias, tiled = p["PE"], p["ACC_BITS"], p["BIAS_BITS"], p["T_MAX"] > 1
    split, pick, halves = acc > 18, pe > 2, math.ceil(pe / 2)
    total = max(acc + p["MULT_BITS"] - p["DROP_BITS"], bias) + 1
    coarse = max(0, p["SHIFT"] - p["DROP_BITS"] - 1) // 8 * 8  # the shift's first step
    features = {
        "one": 1, "sum": total, "coarse": total - coarse, "above": total - p["OUT_BITS"], "out": p["OUT_BITS"],
        "bias": bias, "bias_stages": p["BIAS_VARIES"] * (2 + pick + split), "mult": p["MULT_VARIES"],
        "pairs": pe // 2 * acc, "halves": (halves - 1) * acc,
        "half": pick * halves * acc, "pick": pick, "split": split, "split_sum": split * (acc + p["MULT_BITS"]),
        "split_drop": -split * p["DROP_BITS"],
        "lane": p["LANE_BITS"] * (pe > 1), "odd": pe & (pe - 1) != 0, "many": pe > 1, "rows": bits_of(p["ROWS_MAX"]),
        "tile": tiled, "tile_bits": bits_of(p["T_MAX"]) * tiled, "tile_rows": bits_of(p["ROWS_MAX"]) * tiled,
        "window": tiled * p.memory(p["LANE_BITS"] + bias + p["MULT_BITS"], 2 ** bits_of(2 * pe), 1024).lutrams,
    }  # fmt: skip
    return features, 1 + split, 0


def _reorder(p: Part) -> Structure:
    width, depth = p["ELEM_BITS"], 2 * p["ROWS_MAX"] * p["T_MAX"]
    held = p.memory(width, depth)
    features = {
        "one": 1, "address": bits_of(depth), "rows": bits_of(p["ROWS_MAX"]), "tile": bits_of(p["T_MAX"]),
        "word": width, "lutram": held.lutrams, "pe": bits_of(p["PE"]), "mux": held.mux,
        "absorbed": p.absorbed(width, held),
    }  # fmt: skip
    return features, 0, held.blocks


def _matmul(p: Part) -> Structure:
    simd, transpose = p["SIMD"], p["TRANSPOSE"]
    odd = simd & (simd - 1) != 0  # its chunks are counted
    chunks = math.ceil((p["N_MAX"] if transpose else p["D_MAX"]) / simd)
    words = p["C_MAX"] * math.ceil(p["N_MAX"] / simd) if transpose else math.ceil(p["C_MAX"] / simd) * p["N_MAX"]
    row, store = p.memory(simd * p["A_BITS"], 2 * chunks), p.memory(p["B_BITS"], 2 * words)
    adders, total, _ = adder_tree(simd, p["A_BITS"] + p["B_BITS"])
    sizes = [p[name] for name in ("N_MAX", "N_MAX", "D_MAX", "D_MAX", "H_MAX", "H_MAX", "Q_MAX")]  # that are counted
    bits = [max(5, bits_of(size + 1)) * (size > 1) for size in sizes]
    counters = sum(bits)
    wraps = sum(width for size, width in zip(sizes, bits, strict=True) if size & (size - 1))
    features = {
        "one": 1, "transpose": transpose, "counters": counters, "transpose_counters": transpose * counters,
        "wraps": wraps, "stride": bits_of(2 * words) * (p["C_MAX"] & (p["C_MAX"] - 1) > 0),
        "address": bits_of(2 * words), "transpose_address": transpose * bits_of(2 * words),
        "chunk": bits_of(2 * chunks),
        "tree": total, "adders": adders, "mac": simd, "acc": p["ACC_BITS"], "row_lutram": row.lutrams,
        "store_lutram": simd * store.lutrams, "row": simd * p["A_BITS"], "word": simd * p["B_BITS"],
        "stall": p["STALL_REGISTER"], "mux": row.mux + simd * store.mux,
        "simd_address": simd * bits_of(2 * words), "load": (simd > 1) * simd,
        "counted": odd * bits_of(chunks), "odd": odd,
        "absorbed": p.absorbed(simd * p["A_BITS"], row) + simd * p.absorbed(p["B_BITS"], store),
    }  # fmt: skip
    dsp = simd * _on_block(p, p["A_BITS"] + p["B_BITS"])
    return features, dsp, row.blocks + simd * store.blocks


def _layernorm(p: Part) -> Structure:
    x, count = p["X_BITS"], p["C_MAX"]
    log = bits_of(count)
    magnitude = (count << (x - 1)).bit_length()  # of the sum of a token
    ones = count.bit_count()
    features = {
        "one": 1, "x": x, "c": log, "edge": x + log > 17, "split": x + log > 18, "parts": magnitude > 18,
        "parts_bits": (magnitude > 18) * magnitude, "power": ones == 1, "two": ones == 2,
        "two_bits": (ones == 2) * (3 * x + 2 * log), "low_two": x + log + 1 == 20,
    }  # fmt: skip
    # x * x, three steps of the root in one, n * r; S1 * S1; the low part of n * r
    dsp = 3 + (3 if magnitude > 19 else 1) + (x + log + 1 > 20)
    # UltraScale+: 18 bits without sign take two of its multipliers, and so do n's from 25 bits on
    dsp += p.device == "xcup" and (x + log > 18 and magnitude <= 19) + (x + log > 23)
    if ones > 2:  # C * S2 in two parts and C * x
        dsp += 3 + (2 * x - 1 + log - 18 > 18)
    return features, dsp, p.memory(x, 2 ** bits_of(count + 64)).blocks + 1


def _softmax(p: Part) -> Structure:
    address = bits_of(3 * p["L_MAX"])
    features = {
        "one": 1, "address": address, "out": p["OUT_BITS"], "twin": p["TWIN_SHIFT"] > 0,
        "power": p["L_MAX"] & (p["L_MAX"] - 1) == 0,
    }  # fmt: skip
    return features, 1, 1 + p.memory(8, 2**address, 0).blocks + p.memory(12, 2**address, 0).blocks


def _lookup(p: Part) -> Structure:
    features = {
        "one": 1, "out": p["OUT_BITS"], "functions3": p["FUNCTIONS3"], "functions5": p["FUNCTIONS5"],
    }  # fmt: skip
    return features, 0, 0


def _swu(p: Part) -> Structure:
    frame = p["H_MAX"] * p["W_MAX"] * p["C_MAX"]
    held = p.memory(p["ELEM_BITS"], 2 * frame, 0)
    features = {
        "one": 1, "address": bits_of(2 * frame), "side": bits_of(p["W_MAX"]), "channels": p["C_MAX"] > 1,
        "elem": p["ELEM_BITS"], "mux": held.mux,
    }  # fmt: skip
    return features, 0, held.blocks


def _embed(p: Part) -> Structure:
    return {"one": 1, "out": p["OUT_BITS"], "tokens": bits_of(p["T_MAX"]), "channels": bits_of(p["C_MAX"])}, 0, 0


def _add(p: Part) -> Structure:
    return {"one": 1, "out": p["OUT_BITS"]}, 0, 0


def _tee(p: Part) -> Structure:
    return {"one": 1, "outputs": p["OUTPUTS"]}, 0, 0


def _split(p: Part) -> Structure:
    return {"one": 1, "outputs": p["OUTPUTS"], "channels": bits_of(p["C_MAX"])}, 0, 0


def _select(p: Part) -> Structure:
    return {"one": 1, "tokens": bits_of(p["T_MAX"]), "channels": bits_of(p["C_MAX"])}, 0, 0


def _fifo(p: Part) -> Structure:
    width, depth = p["WIDTH"], p["DEPTH"]
    if depth <= 2:
        return {"skid": 1, "skid_width": width}, 0, 0
    if depth <= 32:
        rams = p.memory(width, 2 ** bits_of(depth - 1)).lutrams
        return {"small": 1, "small_width": width, "small_address": bits_of(depth), "small_ram": rams}, 0, 0
    words = depth - 2
    room = 2 ** bits_of(words) if words <= 2048 else words
    held = p.memory(width, room, 0)
    features = {"deep": 1, "deep_width": width, "deep_address": bits_of(words), "deep_mux": held.mux}
    return features, 0, held.blocks


MODULES: dict[str, Callable[[Part], Structure]] = {
    "add": _add, "embed": _embed, "fifo": _fifo, "layernorm": _layernorm, "lookup": _lookup, "matmul": _matmul,
    "mvu": _mvu, "reader": _reader, "reorder": _reorder, "requant": _requant, "rom": _rom, "select": _select,
    "softmax": _softmax, "split": _split, "swu": _swu, "tee": _tee,
}  # fmt: skip


@cache
def coefficients(device: str) -> dict[str, dict[str, dict[str, float]]]:
    """Fitted coefficients of a family: module -> "lut" or "ff" -> feature -> coefficient."""
    return json.loads((FOLDER / f"{device}.json").read_text())["coefficients"]


def features(device: str, module: str, params: Params) -> Mapping[str, float]:
    """Features of one RTL module; parameters as in module_cost."""
    return MODULES[module](Part(device, params))[0]


def module_cost(device: str, module: str, params: Params) -> Cost:
    """Estimate of one RTL module.

    Args:
        device: One of FAMILIES.
        module: Name, as in hw/rtl.
        params: Its parameters, and what figures of its constants it has (synthesis.ops.base.Instance.cost_params).
    """
    found, dsp, bram = MODULES[module](Part(device, params))
    fitted = coefficients(device)[module]
    lut, ff = (sum(fitted[key].get(name, 0.0) * value for name, value in found.items()) for key in ("lut", "ff"))
    return Cost(round(lut), dsp, bram, round(ff))
