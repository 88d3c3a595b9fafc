# SPDX-License-Identifier: Apache-2.0
"""Test benches of the RTL units: how to write the test of a unit.

Every unit has two kinds of test in tests/hw/test_<unit>.py, both fed with the same list of jobs.

1. Values and parameter sets: the fast path (sim.verilate), 1.5 s to build, millions of cycles per second.

    from sim.verilate import Beats, Design, Job, fields, pack

    design = Design.build("requant", params={"PE": 2, "ACC_BITS": 20})      # sources: hw/rtl/requant/requant.f
    jobs = [Job(inputs={"s_axis": acc, "s_axis_param": fields((mult, 17), (bias, 24), (lane, 1))},
                outputs={"m_axis": golden}, cfg={"cfg_shift": 9, "cfg_rows": 8, "cfg_tile": 1, "cfg_tokens": 5})]
    design.run(jobs, stall=30, seed=7)

   inputs: stream prefix -> 1-D integers (an element per beat), 2-D (beats, elements; element 0 low), or Words.
   outputs: the expected values in the same forms (AssertionError names beat, element, got, want), or a number of
   beats, or Beats(count, elems, signed) to get them back in result.outputs[stream][job].
   result.last[stream][job] is the cycle of the job's last output beat (throughput), result.cycles all cycles.
   Packed ports (fork, split: n tvalid bits) are n streams "m_axis[0]", "m_axis[1]", ...
   Options of run: stall=0..99 or {stream: percent}; reset_at=cycle (rst in mid-stream, then all jobs start again);
   writes=[{"wr_en": 1, "wr_addr": a, "wr_data": d}, ...] after reset; allow_extra=True for endless sources (rom);
   cwd= for $readmemh files; cfg_stream="s_axis", cfg_hold=False shows the cfg of a job only until the first beat of
   that stream passed, then wrong values. Without cfg_stream a job's cfg appears right after all input beats of the job
   before it were accepted.
   Checked always: tvalid not dropped and tdata stable while stalled, no beat too many, no deadlock, no assertion.
   Registers and memories start random; with stalls and an odd seed tready waits for tvalid: use both kinds.

2. Protocol: cocotb, one or two parameter sets per unit, 4 s to build.

    from sim.bench.runner import run_cocotb

    def test_requant_protocol():
        run_cocotb("requant", module=__file__, params={"PE": 2})

    # in the same file: coroutines, which only the simulation runs (do not call them test_*)
    import cocotb
    from sim.bench.check import check_unit

    @cocotb.test()
    @cocotb.parametrize(stall=[0, 30, 90])
    async def requant_stalls(dut, stall):
        await check_unit(dut, jobs, stall=stall, seed=1, reset_at=100)

3. tests/hw/test_lint.py applies sim.bench.lint.lint(unit) (verilator --lint-only -Wall) and elaborate(unit) (pyosys:
   read_slang, hierarchy -check, proc, check) to every folder of hw/rtl; a new unit is covered by itself.
   hw/rtl/<unit>/<unit>.f lists the sources, one per line, relative to hw/rtl, the unit itself last.
"""
