"""What a dataset has in it: what is noticed while a file is read, the line that says what was read, and `zoo data`."""
