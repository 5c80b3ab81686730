"""How healthy a net is, as the lecture's part 3 looks at it: its activations, its gradients and its updates."""
