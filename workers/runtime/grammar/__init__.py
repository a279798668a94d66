"""Answers by a JSON schema: texts that a grammar allows, and no others."""
