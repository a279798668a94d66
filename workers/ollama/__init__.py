"""Models that an Ollama server runs: how they are asked, and how their answers are read."""
