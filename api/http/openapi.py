"""What spectree cannot express in the OpenAPI document."""

from typing import Any

IMAGE_TYPES = ("image/*", "application/octet-stream")
IMAGE_BODY = {"schema": {"type": "string", "format": "binary"}}
BODY_DESCRIPTION = "Fields are in the body, or in the query where the body is an image."


def add_image_body(document: dict[str, Any]) -> dict[str, Any]:
    """Add the other kinds of request body that the vision routes accept: a bare image.

    The vision routes are the only ones that accept forms, and are recognized by that.
    """
    for operations in document["paths"].values():
        body = operations.get("post", {}).get("requestBody", {})
        if "multipart/form-data" in body.get("content", ()):
            body["content"] |= dict.fromkeys(IMAGE_TYPES, IMAGE_BODY)
            body["description"] = BODY_DESCRIPTION
    return document
