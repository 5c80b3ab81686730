"""Plots of a run: their content, how they are drawn, and the worker process that draws them during the run."""
