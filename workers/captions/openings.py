"""Takes off what models put before a caption: "Here is a caption:", "The image shows"."""

import re
from collections.abc import Iterator

from workers.captions.data import read_lines

MAX_OPENINGS = 3
""""In this picture, we can see an image of" are three of them."""

_GREETING = r"(?:sure|certainly|of course|absolutely|okay|ok|great)[!,.:]+\s*"
_SUBJECT = r"(?:caption|description|answer|sentence)"
_ANNOUNCEMENT = (
    rf"(?:here\b[^:\n]*\b(?:{_SUBJECT}|image|photo|picture|what)"
    rf"|(?:the |a |an |your |image |photo |possible |short )*{_SUBJECT})\b[^:\n]{{0,80}}:"
)
_PREAMBLE = re.compile(rf"\s*(?:{_GREETING})?(?:{_ANNOUNCEMENT})?\s*", re.IGNORECASE)

_GIVEN = r"(?:(?:given|provided|attached|uploaded|above|presented)\s+)?"
_PICTURE = r"(?:image|photo|photograph|picture|pic|snapshot)"
_SCENE = rf"(?:{_PICTURE}|scene|shot)"
_BASES = (
    r"(?:show|depict|display|feature|capture|present|portray|illustrate|showcase|contain|include)"
)
_SHOWS = (
    rf"(?:(?:appears?|seems?) to {_BASES}|{_BASES}s"
    r"|(?:show|depict|display|featur|captur|present|portray|illustrat|showcas|contain|includ)ing"
    r"|is (?:of|showing|depicting|displaying|capturing|featuring))(?: us)?,? (?:that (?=\w+ ))?"
)
_NOUN_FOLLOWS = (
    r"(?=(?:an?|the|one|two|three|four|five|six|some|several|many|people|his|her|he|she|it|they"
    r"|someone|there)\b)"
)
_SEE = r"(?:we|you|one|i) (?:can |could |may )?(?:clearly )?see "
_THERE_IS = r"(?:there (?:is|are|appears to be|seems to be) |there's )"
_COMMA_OR_NOUN = rf"(?:[,:]? (?:{_SEE}|{_THERE_IS})|[,:] |(?: is| are)? {_NOUN_FOLLOWS})"
_ENGLISH = (
    # The image (that you uploaded) shows
    rf"(?:(?:the|this|an?|your) )?{_GIVEN}{_SCENE} (?:above |here |you \w+ )?(?:clearly )?{_SHOWS}",
    rf"(?:the|these|both) {_GIVEN}{_PICTURE}s {_BASES},? ",
    # The image is a
    rf"(?:the|this|your) {_GIVEN}{_SCENE} (?:is|appears to be|seems to be) (?=an? )",
    # In this picture, we can see
    rf"(?:in|on|within) (?:the|this|that|your) {_GIVEN}{_SCENE}{_COMMA_OR_NOUN}",
    rf"{_SEE}{_NOUN_FOLLOWS}",
)  # fmt: skip
_OPENINGS = [re.compile(line, re.IGNORECASE) for line in (*_ENGLISH, *read_lines("openings.txt"))]
_IMAGE_OF = re.compile(
    rf"(?:(?:this|it|here) (?:is|appears to be|seems to be|looks like) )?"
    rf"(?:(?:the|this|an?) )?{_PICTURE} of ",
    re.IGNORECASE,
)
_IMAGE_SHOWING = re.compile(
    rf"{_SCENE} (?:above |here |you \w+ )?(?:clearly )?\w+ing\b", re.IGNORECASE
)
"""An opening without a verb of its own, as "a picture of" is."""
_ON_DISPLAY = re.compile(
    r"(?<!\bwho )(?<!\bthat )(?<!\bwhich )\b(?:(?:hangs?|hung|sits|stands|lies|rests)\b"
    r"|(?:is|are|was|were) (?:\w+ly )?(?:hanging|hung|displayed|framed|shown|mounted|printed"
    r"|projected|propped|pinned|taped|attached|placed|held|on|next|beside|above)\b)",
    re.IGNORECASE,
)
"""The picture itself is what the sentence is about: "a picture of a dog hangs on a wall"."""
_CANNOT_BEGIN = re.compile(
    r"(?:is|are|was|were|off|up|how|what|when|where|why|who|which|and|or|of|the following)\b"
    r"|[^\w\"'(\u2018-\u201d]",
    re.IGNORECASE,
)


def without_preamble(line: str) -> str:
    """Return a line without "Sure!", "Here is a caption:" or "Caption:" before it; may be empty."""
    return _PREAMBLE.sub("", line, count=1)


def without_opening(text: str) -> str:
    """Return a caption without "The image shows", "In this picture" or "A photo of".

    What is left has a capital letter if the caption had one. The caption stays as it is where too
    little is left, or what cannot begin a sentence, or where the picture is what it is about.
    """
    for _ in range(MAX_OPENINGS):
        rest = next(_rests(text), "")
        if not rest:
            break
        text = rest[0].upper() + rest[1:] if text[0].isupper() else rest
    return text


def is_only_opening(text: str) -> bool:
    """Return whether a text is an opening, and nothing follows it."""
    return without_opening(f"{text.rstrip(' .:…')} a cat").lower() == "a cat"


def _rests(text: str) -> Iterator[str]:
    """Yield what stands after each opening that the text has, if it can stand alone."""
    for opening in (*_OPENINGS, _IMAGE_OF):
        match = opening.match(text)
        if not match:
            continue
        rest = text[match.end() :].lstrip()
        if rest and not _is_about_picture(match[0], rest) and _can_stand_alone(rest):
            yield rest


def _is_about_picture(opening: str, rest: str) -> bool:
    """Return whether the verb in what follows an opening says something of the picture itself."""
    has_no_verb = _IMAGE_OF.match(opening) or _IMAGE_SHOWING.search(opening)
    return bool(has_no_verb and _ON_DISPLAY.search(re.split(r"[.!?]\s", rest, maxsplit=1)[0]))


def _can_stand_alone(text: str) -> bool:
    is_long = len(text.split()) > 1 or (not text.isascii() and len(text) > 3)
    return is_long and not _CANNOT_BEGIN.match(text)
