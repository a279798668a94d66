"""The documentation as a site, which MkDocs builds from ``docs/``: ``make docs``."""
