"""What lies on disk: run folders, checkpoints, training states, configs and cards, written and read back.

The names that a listing of runs looks for are here, because the modules that write these files import torch.
"""

from __future__ import annotations

from pathlib import Path

RUNS = Path("runs")  # where run folders are by default
SWEEPS = Path("sweeps")
WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "training_state.safetensors"
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
