"""Searches: settings that are proposed by Optuna from what became of those before."""
