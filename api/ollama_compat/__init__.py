"""Ollama's API for Ollama's models and for our own."""
