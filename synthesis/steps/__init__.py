# SPDX-License-Identifier: Apache-2.0
"""The steps of the flow, one file each; heavy packages are imported when a step runs."""

from synthesis.build import Step
from synthesis.steps import accuracy, export, fifo, fold, generate, lower, netlist, pnr, report, sim, synth

STEPS: dict[str, Step] = {
    module.STEP.name: module.STEP
    for module in (export, accuracy, lower, fold, generate, fifo, sim, synth, pnr, netlist, report)
}
