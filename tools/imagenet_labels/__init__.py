"""Builds the table of labels for the 1000 classes of ImageNet-1k."""
