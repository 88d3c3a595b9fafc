# SPDX-License-Identifier: Apache-2.0
"""python -m synthesis <verb> --model <name> --board <name>."""

import sys

from synthesis.cli import main

if __name__ == "__main__":
    sys.exit(main())
