"""Training: the loop, the implementations of its step, the loss, validation, evaluation and sampling."""
