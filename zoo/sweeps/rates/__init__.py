"""Finding a learning rate: short runs over several powers of ten, and what they suggest."""
