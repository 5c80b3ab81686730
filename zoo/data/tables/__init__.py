"""Tables: CSV and TSV files, read as the words of a column, or as features and targets."""
