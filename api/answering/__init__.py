"""What the doors for clients of Ollama and OpenAI share: a conversation, answered by a model."""
