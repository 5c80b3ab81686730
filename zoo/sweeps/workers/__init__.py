"""Processes that train the members of a sweep side by side, forked from one that has read and imported everything."""
