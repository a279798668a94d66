"""The vision tasks done by language models: prompts, and lenient readers of their answers."""
