"""Plugins: the hooks and records they are written against, finding and loading them, and what they bring."""
