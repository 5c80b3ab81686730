"""Ladders: one model in several sizes, and the power law that its loss follows."""
