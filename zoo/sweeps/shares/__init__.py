"""One sweep by several processes that share its folder: the ranks of `torchrun`, or the tasks of a job array.

Each has a fixed share of the members, and a sheet of its own in the sweep's folder, which the others read. There is no
other connection between them, so that they need not run at the same time, nor a network but that of the disk.
"""
