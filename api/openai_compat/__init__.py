"""OpenAI's API for our own models and for Ollama's."""

OPENAI_BASE = "/v1/"
"""The path below which all routes of OpenAI's API are."""
