"""From a language model's words to our results: lenient in form, strict in substance.

Whatever the form, an answer that says nothing is :class:`Unusable`, never an empty success.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import json_repair

from shared.messages import Caption, Label, Nsfw, share
from shared.vocabulary import NsfwStatus
from workers.results import merge_labels


class Unusable(Exception):
    """The answer says nothing that could be used; the message tells why."""


SHARE_SCHEMA = {"type": "number", "minimum": 0, "maximum": 1}
LABELS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "confidence": SHARE_SCHEMA,
                    "topicality": SHARE_SCHEMA,
                },
                "required": ["name", "confidence", "topicality"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["labels"],
    "additionalProperties": False,
}
"""PhotoPrism's own, but never an empty list. ``categories`` are read when they come."""
NSFW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"nsfw": {"type": "boolean"}, "nsfw_confidence": SHARE_SCHEMA},
    "required": ["nsfw", "nsfw_confidence"],
    "additionalProperties": False,
}

MOST_CHARS = 200_000
MOST_REPAIRED_CHARS = 16_000
DEEPEST_REPAIRED = 32
"""Repairing takes minutes where much is left open; sound JSON has no such limits."""
MOST_LABELS = 50
MOST_NAME_CHARS, MOST_NAME_WORDS = 48, 4
MOST_CATEGORIES = 8
MOST_CAPTION_CHARS = 1000
UNSAID_CONFIDENCE = 0.5
"""Of a label whose confidence is missing or makes no sense: as likely as not."""

LIST_KEYS = ("labels", "label", "tags", "keywords", "objects", "items", "results", "result")
NAME_KEYS = ("name", "label", "tag", "keyword", "object", "noun", "title", "class", "labelname",
             "classname", "description", "category")  # fmt: skip
NUMBER_KEYS = ("confidence", "score", "probability", "likelihood", "certainty", "value")
CATEGORY_KEYS = ("categories", "category", "parents")
NO_LABELS = {*NUMBER_KEYS, *CATEGORY_KEYS, "topicality", "priority", "nsfw", "nsfwconfidence",
             "count", "total", "id", "width", "height"}  # fmt: skip
NO_NAMES = {"none", "null", "n/a", "unknown", "undefined", "nothing"}
UNSAFE_CLASSES = ("hentai", "porn", "sexy")
SAFE_CLASSES = ("drawing", "neutral")
UNSAFE_KEYS = ("nsfw", "isnsfw", "unsafe", "isunsafe", "notsafe", "notsafeforwork", "explicit",
               "isexplicit", "nudity", "nude", "sexual", "adult", "inappropriate")  # fmt: skip
SAFE_KEYS = ("safe", "issafe", "sfw", "issfw", "safeforwork", "issafeforwork")
VERDICT_KEYS = ("status", "verdict", "result", "rating", "classification", "answer", "assessment",
                "prediction", "flag", "value", "detected", *NAME_KEYS)  # fmt: skip
UNSAFE_WORDS = {*UNSAFE_KEYS, *UNSAFE_CLASSES, "pornography", "nsfwcontent"}
SAFE_WORDS = {*SAFE_KEYS, *SAFE_CLASSES, "normal", "general", "clean", "appropriate"}
LEVELS = {"certain": 1.0, "veryhigh": 0.95, "high": 0.9, "medium": 0.6, "moderate": 0.6,
          "low": 0.3, "verylow": 0.1}  # fmt: skip
CAPTION_KEYS = ("caption", "description", "text", "sentence", "alttext", "summary", "answer",
                "response", "content", "output", "result", "title")  # fmt: skip

THOUGHTS = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL
)
THOUGHTS_END = re.compile(r".*</(?:think|thinking|thought|reasoning)>", re.IGNORECASE | re.DOTALL)
SPECIAL = re.compile(r"<\|[^|>\n]{1,40}\|>|</?(?:s|answer|caption|p|b|i|em|strong|end_of_\w+)>")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
JSON_START = re.compile(
    r"(?:^|:)[ \t]*(?P<plain>[{\[])|(?P<marked>[{\[])(?=\s*(?:[\"'“{\[]|\w+\s*:))", re.MULTILINE
)
"""A bracket that begins a line, follows a colon, or has a quote or key in it: ``[sic]`` has not."""
NUMBER = re.compile(r"(-?\d*[.,]?\d+(?:e-?\d+)?)\s*(%|percent|/\s*(\d+))?", re.IGNORECASE)
NAME_AND_NUMBER = re.compile(r"([^:=(]+?)(?:\s*[:=(]|\s+[-\u2013])\s*([\d.]+\s*%?)\)?\s*")
LIST_MARK = re.compile(r"(?:[-*•]|\d+[.)])\s+")
EMPHASIS = re.compile(r"(?<!\w)[*_`~]+|[*_`~]+(?!\w)")
YIELDING = re.compile(r"(?:sure|certainly|of course|okay|ok|absolutely)(?: thing)?(?:[!.,:]\s*|$)",
                      re.IGNORECASE)  # fmt: skip
PREAMBLE = re.compile(
    r"(?:here(?:['\u2019]s| is| are)|this is|below is)\b[^:\n]{0,80}?"
    r"\b(?:caption|description|sentence|answer|summary|title)s?\b[^:\n]{0,80}(?::\s*|$)"
    r"|(?:[\w-]+ ){0,3}(?:caption|description|alt[- ]?text|answer)(?: [^:\n]{1,60})?:\s*"
    r"|(?:title|summary|output|response|option|image|photo)(?: \d+)?:\s*"
    r"|(?:image |photo |short |suggested )?(?:caption|description|answer|title|summary)s?$",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"(?:i['\u2019]?m|i am|we['\u2019]?re) (?:so |very |really )?(?:sorry|unable|not able)\b|sorry\b"
    r"|i (?:can['\u2019]?t|cannot|can not|don['\u2019]t see|do not see)\b|as an ai\b|unfortunately, i\b",
    re.IGNORECASE,
)
JSON_CAPTION = re.compile(r"\A[{\[]|\{\s*[\"'“]\w|^[ \t]*\[\s*[\"'“{]", re.MULTILINE)
APART = re.compile(r"^[ \t]*(?:```[\w-]*[ \t]*|(#{1,6} .*))$|```", re.MULTILINE)
"""Lines that are paragraphs of their own, or none: headings, and fences around the text."""
PARAGRAPH_END = re.compile(r"\n\s*\n|(?<=[.!?:*\"”])\n|\n(?=[ \t]*(?:[-*•]|\d+[.)])[ \t])")
QUOTED = re.compile(r"""["“„«]([^"“”„«»]+)["”“»]\.?|'(.+)'\.?|\u2018(.+)\u2019\.?""")


# What the model said


def _said(text: str) -> str:
    """Return the answer without thoughts; one that ends within them says nothing."""
    text = UNPRINTABLE.sub(" ", text[:MOST_CHARS])
    return SPECIAL.sub(" ", THOUGHTS.sub(" ", THOUGHTS_END.sub(" ", text, count=1))).strip()


def _values(text: str) -> list[object]:
    """Return all JSON in a text, in order; broken JSON and what follows it is one value."""
    values: list[object] = []
    decoder, at = json.JSONDecoder(), 0
    try:
        while start := JSON_START.search(text, at):
            at = start.start(start.lastgroup or 0)
            try:
                value, at = decoder.raw_decode(text, at)
            except ValueError:
                return [*values, _repaired(text[at : at + MOST_REPAIRED_CHARS])]
            values.append(value)
    except RecursionError:
        raise Unusable("its JSON is nested too deeply") from None
    return values


def _repaired(text: str) -> object:
    depth = 0
    for bracket in re.findall(r"[{}\[\]]", text):
        depth = depth + 1 if bracket in "{[" else max(depth - 1, 0)
        if depth > DEEPEST_REPAIRED:
            raise Unusable("its JSON is nested too deeply")
    try:
        return json_repair.loads(text, skip_json_loads=True)
    except ValueError as err:
        raise Unusable(f"its JSON is broken: {err}") from err


def _json_in(text: str) -> list[object]:
    if not (said := _said(text)):
        raise Unusable("it is empty")
    if not (values := _values(said)):
        raise Unusable("there is no JSON in it")
    return values


def _fields(value: dict[Any, object]) -> dict[str, object]:
    """Return the fields under plain keys: ``Is NSFW`` and ``is_nsfw`` are one."""
    return {_plain_key(key): item for key, item in value.items()}


def _plain_key(key: object) -> str:
    return re.sub(r"[\W_]+", "", str(key).casefold())


def _share(value: object) -> float | None:
    """Read a probability: up to 1 it is a share, up to 100 percent; the rest makes no sense."""
    if isinstance(value, str):
        return _told_share(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        return None
    return share(value if value <= 1 else value / 100)


def _told_share(text: str) -> float | None:
    if level := LEVELS.get(_plain_key(text).removesuffix("confidence")):
        return level
    if not (found := NUMBER.search(text[:64])):
        return None
    number, unit, whole = float(found[1].replace(",", ".")), found[2], found[3]
    if not unit:
        return _share(number)
    return _share(min(number / float(whole or 100), 1.0) if float(whole or 100) else None)


def _first_share(fields: dict[str, object], keys: Iterable[str]) -> float | None:
    return next((found for key in keys if (found := _share(fields.get(key))) is not None), None)


# Labels


def read_labels(text: str) -> tuple[Label, ...]:
    """Return the labels, most confident first; topicality left out is relative to the first.

    Of several lists the last one counts: those before it are drafts.

    Raises:
        Unusable: there is no label in it.
    """
    try:
        groups = [list(_labels(value)) for value in _json_in(text)]
    except RecursionError:
        raise Unusable("its JSON is nested too deeply") from None
    lists = [group for group in groups if len(group) > 1]
    chosen = merge_labels(lists[-1] if lists else [one for group in groups for one in group])
    if not chosen:
        raise Unusable("there are no labels in it")
    top = chosen[0].confidence or 1.0
    return tuple(
        label
        if "topicality" in label.model_fields_set
        else label.model_copy(update={"topicality": share(label.confidence / top)})
        for label in chosen[:MOST_LABELS]
    )


def _labels(value: object) -> Iterator[Label]:
    if isinstance(value, str):
        for part in re.split(r"[,;\n]", value):
            pair = NAME_AND_NUMBER.fullmatch(part) if len(part) <= 2 * MOST_NAME_CHARS else None
            yield from _label(*(pair.groups() if pair else (part, None)))
    elif isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], (int, float)):
            yield from _label(*value)
        else:
            for item in value:
                yield from _labels(item)
    elif isinstance(value, dict):
        yield from _labels_of(_fields(value), value)


def _labels_of(fields: dict[str, object], named: dict[Any, object]) -> Iterator[Label]:
    """Read one label, a wrapper around labels, or a mapping of names to confidences."""
    inner = [fields[key] for key in LIST_KEYS if isinstance(fields.get(key), (list, dict))]
    if isinstance(fields.get("labels"), str):
        inner.append(fields["labels"])
    name = next((fields[key] for key in NAME_KEYS if isinstance(fields.get(key), str)), None)
    if name and (not any(inner) or _first_share(fields, NUMBER_KEYS) is not None):
        yield from _label(name, _first_share(fields, NUMBER_KEYS), fields)
    elif inner:
        yield from _labels(next(filter(None, inner), None))
    else:
        for key, item in named.items():
            yield from _labels_under(key, item)


def _labels_under(key: object, item: object) -> Iterator[Label]:
    if _plain_key(key) in NO_LABELS:
        return
    measures = _fields(item) if isinstance(item, dict) else {"confidence": item}
    found = [] if isinstance(item, str) else list(_labels(item))
    confidence = _first_share(measures, NUMBER_KEYS)
    if found:
        yield from found
    elif confidence:  # 0 says that it is not there
        yield from _label(key, confidence, measures)


def _label(
    name: object, confidence: object = None, fields: dict[str, object] | None = None
) -> Iterator[Label]:
    """Make a label, or none where the name is none."""
    fields = fields or {}
    cleaned, told = _name(name), _share(confidence)
    topicality = _share(fields.get("topicality"))
    if cleaned:
        label = Label(
            name=cleaned,
            confidence=UNSAID_CONFIDENCE if told is None else told,
            categories=_categories(fields, cleaned),
        )
        yield label if topicality is None else label.model_copy(update={"topicality": topicality})


def _name(value: object) -> str:
    """Return a name worth showing; empty: it is none, or a whole sentence."""
    if not isinstance(value, str) or len(value) > 4 * MOST_NAME_CHARS:
        return ""
    words = UNPRINTABLE.sub(" ", value).replace("_", " ").split()
    name = " ".join(words).strip(" .,:;!?\"'`*#•-[]{}<>")
    good = len(name) <= MOST_NAME_CHARS and len(words) <= MOST_NAME_WORDS
    return name if good and name.casefold() not in NO_NAMES and re.search(r"[^\W\d]", name) else ""


def _categories(fields: dict[str, object], name: str) -> tuple[str, ...]:
    told = next((fields[key] for key in CATEGORY_KEYS if fields.get(key)), ())
    parts = re.split(r"[,;/|]", told) if isinstance(told, str) else told
    found = {
        cleaned.casefold(): cleaned
        for part in (parts if isinstance(parts, (list, tuple)) else ())
        if (cleaned := _name(part))
    }
    found.pop(name.casefold(), None)
    return tuple(found.values())[:MOST_CATEGORIES]


# NSFW


def read_nsfw(text: str, threshold: float = 0.5) -> Nsfw:
    """Return the verdict.

    A flag tells the side, the number beside it how far: ``false`` with 0.95 scores 0.05, as models
    use it for how sure they are. A flag alone scores 1 or 0, class scores the sum of what is not
    safe. Where they disagree, the least safe counts. Of several answers the last one counts.

    Raises:
        Unusable: there is no verdict in it.
    """
    try:
        for value in reversed(_json_in(text)):
            classes: dict[str, float] = {}
            scores = list(_scores(value, classes))
            if classes and (of_classes := _score_of(classes)) is not None:
                scores.append(of_classes)
            if scores:
                return _nsfw(share(max(scores)), threshold, classes)
    except RecursionError:
        raise Unusable("its JSON is nested too deeply") from None
    raise Unusable("there is no verdict in it")


def _nsfw(score: float, threshold: float, classes: dict[str, float]) -> Nsfw:
    status = NsfwStatus.UNSAFE if score >= threshold else NsfwStatus.SAFE
    return Nsfw(status=status, score=score, threshold=threshold, **classes)


def _score_of(classes: dict[str, float]) -> float | None:
    """Return what is not safe; a model that gives 0 to all five classes has not looked."""
    unsafe = [classes[name] for name in UNSAFE_CLASSES if name in classes]
    safe = [classes[name] for name in SAFE_CLASSES if name in classes]
    if safe and not sum(classes.values()):
        return None
    return share(sum(unsafe) if unsafe else 1 - sum(safe))


def _scores(value: object, classes: dict[str, float], under: str = "") -> Iterator[float]:
    """Yield the score of each verdict in a value; collect class scores."""
    if isinstance(value, list):
        for item in value:
            yield from _scores(_ranked(item) if len(value) > 1 else item, classes, under)
    elif isinstance(value, str):
        yield from _scores({"status": value}, classes)
    elif isinstance(value, dict):
        fields = _fields(value)
        if not _take_classes(fields, classes):
            score = _score(fields, told_what=under in UNSAFE_KEYS)
            yield from [] if score is None else [score]
        for key, item in fields.items():
            if isinstance(item, (dict, list)):
                yield from _scores(item, classes, key)


def _ranked(item: object) -> object:
    """Read one of several scored classes, as classifiers list them: ``normal`` with its number."""
    fields = _fields(item) if isinstance(item, dict) else {}
    number = _first_share(fields, NUMBER_KEYS)
    named = next((fields[key] for key in NAME_KEYS if key in fields), None)
    unsafe = _unsafe_word(named)
    if number is None or unsafe is None or _plain_key(named) in (*SAFE_CLASSES, *UNSAFE_CLASSES):
        return item
    return {"unsafe" if unsafe else "safe": number}


def _take_classes(fields: dict[str, object], classes: dict[str, float]) -> bool:
    """Collect class scores; say whether the fields are one of them: ``Porn`` with its number."""
    for name in (*SAFE_CLASSES, *UNSAFE_CLASSES):
        told = fields.get(name, fields.get(f"{name}s"))
        found = float(told) if isinstance(told, bool) else _share(told)
        if found is not None:
            classes[name] = found
    named = next((_plain_key(fields[key]) for key in NAME_KEYS if key in fields), "")
    number = _first_share(fields, NUMBER_KEYS)
    if named not in (*SAFE_CLASSES, *UNSAFE_CLASSES) or number is None:
        return False
    classes[named] = number
    return True


def _score(fields: dict[str, object], *, told_what: bool) -> float | None:
    """Return how unsafe; ``told_what``: the key above says what is judged."""
    number = _first_share(fields, [f"{key}{what}" for key in UNSAFE_KEYS for what in NUMBER_KEYS])
    flag = _flag(fields, told_what=told_what)
    if number is None and (told_what or flag is not None):
        number = _first_share(fields, NUMBER_KEYS)
    if flag is not None:
        sure = 1.0 if number is None else max(number, 1 - number)
        return sure if flag else 1 - sure
    if number is None:
        number = _first_share(fields, UNSAFE_KEYS)
    if number is None and (safe := _first_share(fields, SAFE_KEYS)) is not None:
        number = 1 - safe
    return number


def _flag(fields: dict[str, object], *, told_what: bool) -> bool | None:
    told = [_yes(fields.get(key)) for key in UNSAFE_KEYS]
    told += [None if (yes := _yes(fields.get(key), safe=True)) is None else not yes
             for key in SAFE_KEYS]  # fmt: skip
    if set(told) == {None}:
        told = [_unsafe_word(fields.get(key)) for key in VERDICT_KEYS]
        told += [_yes(fields.get(key)) for key in VERDICT_KEYS if told_what and key in fields]
    return any(told) if set(told) != {None} else None


def _yes(value: object, *, safe: bool = False) -> bool | None:
    """Read a flag; words for what was found count too: ``nsfw: "safe"`` is no."""
    if isinstance(value, (int, float)):
        return bool(value) if value in (0, 1) else None
    unsafe = _unsafe_word(value)
    if unsafe is not None:
        return unsafe != safe
    first = re.match(r"\s*(\w+)", value) if isinstance(value, str) else None
    word = first[1].casefold() if first else ""
    return {"yes": True, "true": True, "no": False, "false": False}.get(word)


def _unsafe_word(value: object) -> bool | None:
    first = re.match(r"\s*(\w+)", value) if isinstance(value, str) else None
    for word in (_plain_key(value), first[1].casefold()) if first else ():
        if word in UNSAFE_WORDS or word in SAFE_WORDS:
            return word in UNSAFE_WORDS
    return None


# Captions


def read_caption(text: str) -> Caption:
    """Return the first paragraph that describes, as plain text.

    Raises:
        Unusable: nothing is described, or the model declines to.
    """
    said = _said(text)
    if JSON_CAPTION.search(said):
        try:
            told = [_caption_in(value) for value in reversed(_values(said))]
        except RecursionError:
            raise Unusable("its JSON is nested too deeply") from None
        said = next(filter(None, told), "")
    blocks = [
        (block.startswith("#"), len(plain.split()) < 2, plain)
        for block in PARAGRAPH_END.split(APART.sub(r"\n\n\1\n\n", said))
        if (plain := _plain(block))
    ]
    if not blocks:
        raise Unusable("there is no caption in it")
    caption = min(blocks, key=lambda block: block[:2])[2]  # headings and single words last
    if REFUSAL.match(caption):
        raise Unusable(f"it declines: {caption[:80]}")
    return Caption(text=_shortened(caption))


def _caption_in(value: object) -> str:
    if isinstance(value, str):
        return value
    inner: list[object] = []
    if isinstance(value, list):
        inner = value
    elif isinstance(value, dict):
        fields = _fields(value)
        inner = [fields[key] for key in CAPTION_KEYS if key in fields]
        inner += [item for item in fields.values() if isinstance(item, (dict, list))]
    return next(filter(None, map(_caption_in, inner)), "")


def _plain(block: str) -> str:
    """Return a paragraph without markup, preamble and quotes; empty: it said nothing else."""
    text = " ".join(EMPHASIS.sub("", LIST_MARK.sub("", block.lstrip("#> \t\n"), count=1)).split())
    for politeness in (YIELDING, PREAMBLE, LIST_MARK):
        if found := politeness.match(text):
            text = text[found.end() :]
    if quoted := QUOTED.fullmatch(text):
        text = next(filter(None, quoted.groups()))
    elif text[:1] in {'"', "“"} and text.count(text[0]) == 1 and "”" not in text:
        text = text[1:]  # it was cut off before the other one
    return text.strip() if re.search(r"[^\W\d_]", text) else ""


def _shortened(text: str) -> str:
    """Cut what has no end where a sentence or a word ends."""
    if len(text) <= MOST_CAPTION_CHARS:
        return text
    text = text[:MOST_CAPTION_CHARS]
    end = max(text.rfind(". ") + 1, text.rfind("。") + 1) or text.rfind(" ")
    return text[:end] if end > 0 else text
