"""Files of a run folder that tell of the way, and not of the end."""
