"""The model families, one file each; only the model process imports them."""
