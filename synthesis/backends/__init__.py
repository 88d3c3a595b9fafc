# SPDX-License-Identifier: Apache-2.0
"""Back ends: each turns generated RTL into counts, netlists or bitstreams with one tool."""
