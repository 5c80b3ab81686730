"""The data of a trained model: that which it was trained on, or other data in its place."""
