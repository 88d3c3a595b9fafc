# SPDX-License-Identifier: Apache-2.0
"""python -m synthesis <verb> --model <name> --board <name>."""

import os
import sys

from synthesis.cli import INTERRUPTIONS, interrupt_on_signals, main

if __name__ == "__main__":
    interrupt_on_signals()
    status = main()
    if status in INTERRUPTIONS:
        # CPython would end by the signal, not with the status, if Ctrl-C came inside exec() of a string (a dataclass)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
