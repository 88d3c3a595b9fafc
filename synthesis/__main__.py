# SPDX-License-Identifier: Apache-2.0
"""python -m synthesis <verb> --model <name> --board <name>."""

import os
import sys

from synthesis.cli import INTERRUPTED, main

if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:
        # CPython would end by the signal, not with the status, if Ctrl-C came inside exec() of a string (a dataclass, say)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
