"""Code that families have in common: device, dtype, quantisation, generation, classes."""
