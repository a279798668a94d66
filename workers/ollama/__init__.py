"""Models that Ollama servers run: ask, spread, heal."""
