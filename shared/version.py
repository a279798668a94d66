"""The name and version by which the service makes itself known to other servers."""

PRODUCT = "vision-workers/0.1"
"""As a ``User-Agent``; there is no release yet."""
