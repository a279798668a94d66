"""Compares models on a person's own photos: asks all of them, measures, and writes a report.

``contestants`` says who is asked what, ``trial`` asks and measures one after the other, ``figures``
counts what came of it, ``ranking`` orders the contestants by a stated rule, and ``report`` writes
one HTML file, in which people vote without knowing who said what.
"""
