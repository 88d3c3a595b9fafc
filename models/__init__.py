# SPDX-License-Identifier: Apache-2.0
"""Backbones, model names, data, training and checkpoints. Imports nothing, so that `import models` stays light."""
