"""Neural networks: their layers in numpy, training with torch, ranks and checkpoints."""
