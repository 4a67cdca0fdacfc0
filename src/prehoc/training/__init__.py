"""How runs are trained: seed streams, the bank of runs, optimisers, the fused loop, checkpoints, forks."""
