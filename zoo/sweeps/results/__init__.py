"""What a sweep came to: its settings, its plot, and the command to type next."""
