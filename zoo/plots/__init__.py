"""Plots: what they show, how they are made, and the process that makes them beside a run."""
