"""PhotoPrism: the ``vision.yml`` by which it asks this service."""
