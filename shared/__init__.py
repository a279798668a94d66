"""What the API and the workers agree on: settings, catalogue, messages, errors, queue and keys.

May not import Flask, torch, transformers, numpy, ``api`` or ``workers``.
"""
