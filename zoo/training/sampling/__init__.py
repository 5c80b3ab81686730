"""Sampling from a trained model: words, running text, or what its own `generate` makes."""
