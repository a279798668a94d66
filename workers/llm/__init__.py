"""Captions, labels and NSFW verdicts from the words of a language model: prompts and readers."""
