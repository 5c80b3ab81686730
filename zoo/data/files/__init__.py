"""A file that is given to `--dataset`: its format, the settings that it then has, and how it is read."""
