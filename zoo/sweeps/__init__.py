"""Populations: many runs of settings and seeds by one command, in a folder of their own, with a verdict."""
