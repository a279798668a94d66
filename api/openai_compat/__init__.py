"""OpenAI's API for our own models and for Ollama's."""
