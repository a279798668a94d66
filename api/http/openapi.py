"""What spectree cannot say of our routes in the OpenAPI document."""

from typing import Any

IMAGE_BODY = {"schema": {"type": "string", "format": "binary"}}
IN_THE_QUERY = "Fields are in the body, or in the query where the body is an image."


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add the third kind of body that the vision routes take: one image, bare.

    They are known by their form, which no other route has.
    """
    for operations in document["paths"].values():
        body = operations.get("post", {}).get("requestBody", {})
        if "multipart/form-data" in body.get("content", ()):
            body["content"]["image/*"] = IMAGE_BODY
            body["description"] = IN_THE_QUERY
    return document
