"""Asks about many photos: from folders today, and from anything else that is a list of items.

A source yields :class:`~vision.runner.work.Item` objects, :class:`~vision.runner.run.Runner` asks
the service about them and yields outcomes, and a :class:`~vision.runner.sinks.Sink` takes these.
The :class:`~vision.runner.journal.Journal` remembers each answer as soon as it is there, so that no
question is asked twice, however often a run is killed.
"""
