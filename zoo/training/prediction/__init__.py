"""What a trained model says of given inputs: probabilities, numbers, the likelihood of a text."""
