# SPDX-License-Identifier: Apache-2.0
"""One file per backbone family. models.registry imports every file of this folder; to add a backbone, add a file."""
