"""Tiny checkpoints of the served architectures, trained on generated pictures of shapes."""
