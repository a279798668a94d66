"""PhotoPrism: the ``vision.yml`` by which it asks this service, and backfills of its library.

A backfill is a run: :mod:`library` is its source, :mod:`writing` its sink, which may write what
:mod:`rules` allow. :mod:`client` is PhotoPrism's REST API.
"""
