"""Where data may come from: a registered dataset, a file, or objects that Python code has; and as arrays for it."""
