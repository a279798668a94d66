"""Ollama's API in front of our models."""
