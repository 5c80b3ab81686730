"""Training many nets of the same sizes at once, each as if it were alone."""
