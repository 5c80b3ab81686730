"""A page about one run or several: everything that can be seen of them, in one file that needs no network."""
