"""What is kept of the weights on the way."""
