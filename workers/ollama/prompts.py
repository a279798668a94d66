"""What models are asked when neither the request nor the settings say."""

from shared.vocabulary import Task

PROMPTS: dict[Task, str] = {
    Task.CAPTION: (
        "Describe this photo in one sentence: its main subject, what happens, and where. "
        "Say only what is visible; do not guess names, places or dates. "
        "Start right with the description: no introduction, no quotation marks, no markup."
    ),
    Task.LABELS: (
        "List 3 to 10 labels for what is visible in this photo, the most important first. "
        "Each name is one common noun in the singular, of two words only where one would be "
        "unclear. confidence, from 0 to 1, is how sure you are that it is there; topicality, from "
        "0 to 1, is how much the photo is about it. Answer with JSON alone: "
        '{"labels": [{"name": "…", "confidence": 0.0, "topicality": 0.0}]}'
    ),
    Task.NSFW: (
        "Judge whether this photo is unsafe for work: nudity, sexual acts, or sexually suggestive "
        "poses. Swimwear, medicine and classical art are safe by themselves. nsfw is true or "
        "false; nsfw_confidence, from 0 to 1, is the probability that the photo is unsafe: near 0 "
        "for a harmless photo, near 1 for an explicit one. Answer with JSON alone: "
        '{"nsfw": false, "nsfw_confidence": 0.0}'
    ),
}

FORMS: dict[Task, str] = {
    Task.CAPTION: "exactly one plain sentence that describes what is visible, and nothing else",
    Task.LABELS: (
        "one JSON object and nothing else, with at least one label, no code fence, no comments, "
        'in exactly this form: {"labels": [{"name": "noun", "confidence": 0.9, "topicality": 0.8}]}'
    ),
    Task.NSFW: (
        "one JSON object and nothing else, no code fence, no comments, in exactly this form: "
        '{"nsfw": true or false, "nsfw_confidence": number from 0 to 1}'
    ),
}


def stricter(task: Task, prompt: str) -> str:
    """Return the prompt to ask with again when the answer to the first could not be used."""
    return f"{prompt}\n\nYour last answer could not be used. Reply with {FORMS[task]}."
