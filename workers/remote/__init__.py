"""The remote engine: runs jobs on Ollama servers instead of in a model process of its own."""
