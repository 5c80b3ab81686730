"""A run: what it is to be, doing it, and resuming it."""
