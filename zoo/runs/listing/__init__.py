"""Listing runs and comparing them, from the small files of their folders: no model is loaded, no torch imported."""
