"""What families share: device, dtype, quantisation, generation, classes. Home of torch."""
