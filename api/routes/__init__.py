"""One file per concern; each returns a blueprint."""
