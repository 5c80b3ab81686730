"""Data: from a dataset's name or a file to the tensors that a model is served."""
