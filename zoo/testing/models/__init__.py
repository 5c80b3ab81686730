"""The checks of a model: its forward pass, its loss and metrics, its runs and its samples."""
