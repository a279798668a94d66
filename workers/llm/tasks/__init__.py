"""The vision tasks as language models do them, each in a file of its own."""
