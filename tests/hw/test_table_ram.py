# SPDX-License-Identifier: Apache-2.0
"""hw/rtl/table_ram: writes and reads at every port, the old word on a collision; the model and RAM32M16."""

import numpy as np
import pytest

from sim.toolchain import ROOT, unit_sources
from sim.verilate import Design, Job, fields

# A beat is {write, write_addr, write_data, read_addr of every port}; the reads of a beat see the writes before it.
BENCH = """
module bench (
    input clk, input rst,
    input [{beat}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
    output [{ports}*{w}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready
);
  wire unused = rst;
  assign s_axis_tready = m_axis_tready;
  assign m_axis_tvalid = s_axis_tvalid;
  table_ram #(.PORTS({ports}), .WIDTH({w}), .DEPTH({depth}), .TARGET({target})) unit_i (
      .clk, .write(s_axis_tdata[0] && s_axis_tvalid && s_axis_tready), .write_addr(s_axis_tdata[1+:{addr}]),
      .write_data(s_axis_tdata[1+{addr}+:{w}]), .read_addr(s_axis_tdata[{beat}-1-:{ports}*{addr}]),
      .read_data(m_axis_tdata));
endmodule
"""


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize(("ports", "width", "depth"), [(8, 6, 16), (3, 7, 32), (1, 1, 2)])
def test_table_ram_matches_memory(tmp_path, ports, width, depth, target):
    addr = (depth - 1).bit_length()
    beat = 1 + addr + width + ports * addr
    bench = tmp_path / "bench.sv"
    bench.write_text(BENCH.format(ports=ports, w=width, depth=depth, addr=addr, beat=beat, target=target))
    design = Design.build("bench", sources=[*unit_sources("table_ram"), ROOT / "sim" / "cells" / "RAM32M16.sv", bench])
    rng, count = np.random.default_rng(20), 2000
    write = rng.integers(0, 2, count)
    write[:depth] = 1
    write_addr, data = rng.integers(0, depth, count), rng.integers(0, 2**width, count)
    write_addr[:depth] = np.arange(depth)
    read_addr = rng.integers(0, depth, (ports, count))
    memory, read = np.zeros(depth, np.int64), np.zeros((ports, count), np.int64)
    for n in range(count):
        read_addr[:, n] %= max(1, min(n, depth))  # words that were written
        read[:, n] = memory[read_addr[:, n]]
        if write[n]:
            memory[write_addr[n]] = data[n]
    columns = [(write, 1), (write_addr, addr), (data, width), *((a, addr) for a in read_addr)]
    jobs = []
    for part in (slice(0, 1), slice(1, count)):
        beats = fields(*((values[part], bits) for values, bits in columns))
        words = fields(*((values[part], width) for values in read))
        jobs.append(Job({"s_axis": beats}, {"m_axis": words if part.start else 1}))  # nothing is written before beat 0
    design.run(jobs, stall=20, seed=4)
