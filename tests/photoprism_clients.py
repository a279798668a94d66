"""What PhotoPrism's clients send, and what they make of the replies."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.conftest import data_url

LABEL_MODELS = (
    "efficientformerv2_s2", "efficientformerv2_s1", "repvit_m1_0", "efficientnet_b0", "nasnet",
)  # fmt: skip
NSFW_MODELS = (
    "yahoo_open_nsfw", "adamcodd_vit_base_nsfw_fp32", "adamcodd_vit_base_nsfw_int8",
    "falconsai_nsfw_image_detection_224", "freepik_nsfw_image_detector", "nsfw",
)  # fmt: skip
"""What PhotoPrism of 2024 to 2026 calls the models that it has built in."""
FACE_WIDTHS = {"facenet": 512, "sface": 128, "auraface": 512}
"""How many values a vector of each of its face models has."""
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


def request_of(model: str, images: Sequence[bytes], **fields: Any) -> dict[str, Any]:
    """Return the body of a request of the client of autumn 2026, which leaves out empty fields."""
    return {
        "id": "4b1f2a52-52cf-4a0e-9d1a-1f0f3a8a1f11",
        "model": model,
        "version": "latest",
        "suffix": "",
        "stream": False,
        "images": [data_url(image) if image else "" for image in images],
        **fields,
    }


def usable_embeddings(
    reply: Mapping[str, Any], faces: int, configured: str
) -> list[list[float] | None]:
    """Return the vector that the client of autumn 2026 stores for each face, or none.

    Args:
        reply: the body.
        faces: how many the client has found and sent.
        configured: its model, whose width a vector must have, and which the reply must name.
    """
    nothing: list[list[float] | None] = [None] * faces
    named = reply["model"]["name"].strip().lower().replace("-", "_")
    if named not in ("", configured):
        return nothing
    for position, entry in enumerate(reply["result"]["embeddings"][:faces]):
        if len(entry) != 1 or len(entry[0]) != FACE_WIDTHS[configured]:
            continue
        if all(map(math.isfinite, entry[0])) and any(entry[0]):
            nothing[position] = entry[0]
    return nothing


LABELS_SCHEMA = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    **{
                        name: {"type": "number", "minimum": 0, "maximum": 1}
                        for name in ("confidence", "topicality")
                    },
                },
                "required": ["name", "confidence", "topicality"],
                "additionalProperties": False,
            },
            "default": [],
        }
    },
    "required": ["labels"],
    "additionalProperties": False,
}
"""The form in which its engines ask for labels."""


def openai_request(
    model: str,
    images: Sequence[bytes],
    *,
    prompt: str,
    system: str = "",
    schema: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body that PhotoPrism's engine ``openai`` sends for a caption, or for labels.

    Args:
        model: its name in ``vision.yml``.
        images: thumbnails.
        prompt: what it asks; left out if it is empty, as are the following.
        system: what it tells beforehand.
        schema: of the answer, with which it asks for labels.
    """
    told = [{"type": "input_text", "text": system}] if system else []
    asked = [{"type": "input_text", "text": prompt}] if prompt else []
    shown = [
        {"type": "input_image", "image_url": data_url(image), "detail": "low"} for image in images
    ]
    messages = [("system", told), ("user", [*asked, *shown])]
    body: dict[str, Any] = {
        "model": model,
        "input": [
            {"role": role, "type": "message", "content": content}
            for role, content in messages
            if content
        ],
        "max_output_tokens": 1024 if schema else 512,
        "temperature": 0.1,
        "top_p": 0.9,
        "service_tier": "auto",
    }
    if schema:
        name = "photoprism_vision_labels_v1"
        body["text"] = {"format": {"type": "json_schema", "name": name, "schema": schema}}
    return body


def read_openai_reply(status: int, reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels, or the caption, that PhotoPrism's engine ``openai`` finds in a reply."""
    assert status < 300, reply["error"]["message"]
    assert not (reply["error"] or {}).get("message")
    texts = (part["text"].strip() for item in reply["output"] for part in item["content"])
    text = next(filter(None, texts), "")
    if text.startswith(("{", "[")):
        return {"labels": json.loads(text)["labels"]}
    return {"caption": text}
