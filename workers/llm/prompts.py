"""What a vision LLM is asked when neither the request nor the operator says it."""

from types import MappingProxyType

from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task

DEFAULTS = MappingProxyType(
    {
        CAPTION: (
            "Describe this photo in one plain sentence of at most 25 words. Start with what "
            "matters most and say what it does or where it is. Mention only what can be seen. "
            "Reply with the sentence alone."
        ),
        LABELS: (
            "List the 3 to 10 most fitting labels of this photo: things, living beings, places "
            "and activities that can be seen. A label is a common English noun in the singular, "
            "one word if possible. For each give the confidence that it is there (0 to 1) and "
            "the topicality, its share in what the photo is about (0 to 1). Reply with JSON of "
            'this form: {"labels": [{"name": "…", "confidence": 0.0, "topicality": 0.0}]}'
        ),
        NSFW: (
            "Decide whether this photo is unsafe to show at work: nudity, sexual acts or "
            "sexually suggestive poses. Art, swimwear at the beach, medicine and ordinary "
            "portraits are safe. Give nsfw (true or false) and nsfw_confidence, the probability "
            'that it is unsafe (0 to 1). Reply with JSON of this form: {"nsfw": false, '
            '"nsfw_confidence": 0.0}'
        ),
    }
)
"""Prompts by task."""

_STRICTER = MappingProxyType(
    {
        CAPTION: (
            "Write exactly one sentence about what can be seen. No introduction, no "
            "explanation, no formatting, no refusal. Do not leave the answer empty."
        ),
        LABELS: (
            "Answer with one JSON object and nothing else, starting with { and ending with }. "
            'It has one key, "labels": a list with at least one object of the keys "name" '
            '(a noun), "confidence" and "topicality" (numbers between 0 and 1). For example '
            '{"labels": [{"name": "bicycle", "confidence": 0.9, "topicality": 0.7}]} with the '
            "values for this photo."
        ),
        NSFW: (
            "Answer with one JSON object and nothing else, starting with { and ending with }. "
            'It has two keys: "nsfw", true or false, and "nsfw_confidence", a number between '
            "0 and 1."
        ),
    }
)


def stricter(task: Task, prompt: str) -> str:
    """Return the prompt of the second and last try, after an answer that could not be used."""
    return f"{prompt.strip()}\n\n{_STRICTER[task]}".strip()
