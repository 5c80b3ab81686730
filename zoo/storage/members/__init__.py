"""The run folders of a sweep's members, and what is said of those that were not kept."""
