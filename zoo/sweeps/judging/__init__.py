"""The verdict on a sweep, and its members among other runs that are compared. Nothing here imports torch."""
