"""Training one model by several processes, which `torchrun` starts: each is a rank, and has a part of each batch."""
