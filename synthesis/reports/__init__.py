# SPDX-License-Identifier: Apache-2.0
"""Reports of a build: report.json, report.html and the Efficient Error Rate."""
