"""Code for both API and workers: settings, catalogue, messages, errors, queue and Redis keys.

It must not import Flask, torch, transformers, numpy, ``api`` or ``workers``.
"""
