"""The remote engine: jobs for models that run on servers elsewhere, such as Ollama's."""
