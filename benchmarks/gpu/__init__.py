"""Measures the service on a GPU: `make bench-gpu`."""
