"""What PhotoPrism's clients make of an entry of ``result.nsfw``."""

from collections.abc import Mapping
from typing import Any

UPLOAD, INDEX = 0.75, 0.98
"""Fixed limits of the clients up to the middle of 2026: for uploads, and for the index."""


def flagged_by_class_scores(verdict: Mapping[str, Any], limit: float) -> bool:
    """The client up to the middle of 2026, which knows no other fields; absent ones are 0."""
    if verdict.get("Neutral", 0.0) > 0.25:
        return False
    return any(verdict.get(name, 0.0) > limit for name in ("Porn", "Sexy", "Hentai"))


def flagged_by_score(verdict: Mapping[str, Any], percent: int = 75) -> bool:
    """The client of autumn 2026, for which a score overrules the status.

    Args:
        verdict: one entry of the reply.
        percent: ``Thresholds.NSFWUpload`` or ``NSFWIndex``; 75 for a remote service if not set.
    """
    if "score" in verdict:
        return float(verdict["score"]) >= percent / 100
    return verdict.get("status") == "unsafe"
