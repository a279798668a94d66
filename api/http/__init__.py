"""HTTP: parsing requests, error replies, API keys, request ids, the client's connection."""
