"""Whether one setting is better than another, and whether that is more than luck: statistics of runs by their seeds."""
