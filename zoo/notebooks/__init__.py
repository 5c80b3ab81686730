"""What a run shows in a notebook of Jupyter or marimo while it goes on. Neither is imported, or needed, elsewhere."""
