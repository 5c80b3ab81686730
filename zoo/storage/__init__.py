"""What lies on disk: run folders, checkpoints, training states, configs and cards, written and read back."""
