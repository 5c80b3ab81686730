"""What a model is trained on and judged by: its loss, and its metrics."""
