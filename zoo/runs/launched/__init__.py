"""Runs that `torchrun` starts: by several processes, or started again where the last attempt ended early."""
