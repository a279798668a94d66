"""Limits: how many requests are handled at once, and which are refused before they are queued."""
