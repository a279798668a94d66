"""The report: one HTML file that needs nothing else, made of ``report.html``, ``.css`` and ``.js``.

All that models and files say becomes text of elements, which the serialiser escapes; no HTML is
made of strings.
"""
