"""Options: everything that a run can be told, declared once, with the types and ranges of its values."""
