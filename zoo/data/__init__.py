"""Data: from the name of a dataset or a file to the tensors of a model's inputs and targets."""
