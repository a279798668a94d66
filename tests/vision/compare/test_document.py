"""The report as a file: complete in itself, and safe whatever models and files say."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.stack import ROOT, SAMPLES
from tests.vision.compare.reports import HOSTILE, comparison
from tests.vision.compare.standings import captions, figures, labels, trial
from vision.compare.report.document import data_of, document, winning_entries
from vision.compare.thumbnails import SIDE, NoThumbnail, shown, thumbnail
from vision.runner.files import Photo

PAGE_CSS = ROOT / "api" / "page" / "static" / "page.css"
REPORT_CSS = ROOT / "vision" / "compare" / "report" / "report.css"


class Parsed(HTMLParser):
    """What a browser makes of HTML: elements with their attributes, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def inside(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def test_what_models_and_files_say_is_text_whatever_it_looks_like() -> None:
    found = Parsed(document(comparison(names=HOSTILE, captions=HOSTILE)))
    assert len(found.all("script")) == 2
    assert found.all("svg") == []
    sources = [image["src"] or "" for image in found.all("img")]
    assert len(sources) == len(HOSTILE)
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    handlers = [name for _, attributes in found.elements for name in attributes if name[:2] == "on"]
    assert handlers == []
    for tag in ("p", "figcaption"):
        assert HOSTILE[0] in found.inside(tag)
        assert HOSTILE[1] in found.inside(tag)
    (content,) = [text for text in found.inside("script") if text.startswith("{")]
    assert json.loads(content)["photos"] == list(HOSTILE)


def test_nothing_is_loaded_and_only_the_reports_own_script_and_style_run() -> None:
    found = Parsed(document(comparison()))
    (policy,) = [a["content"] or "" for a in found.all("meta") if a.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    style, script = (max(found.inside(tag), key=len) for tag in ("style", "script"))
    for kind, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    addresses = [
        value for tag, attributes in found.elements for name, value in attributes.items()
        if name in ("src", "href") and value and not value.startswith(("#", "data:"))
    ]  # fmt: skip
    assert addresses == []
    assert "url(" not in style


def test_the_report_has_the_colours_of_the_services_page() -> None:
    def tokens(path: Path) -> list[str]:
        return re.findall(r":root \{.*?\}", path.read_text(encoding="utf-8"), re.DOTALL)

    assert tokens(REPORT_CSS) == tokens(PAGE_CSS)
    assert len(tokens(PAGE_CSS)) == 2


def test_contestants_who_say_the_same_share_a_ballot_and_who_all_agree_have_none() -> None:
    found = figures(
        captions("one", "a dog", "a cat", "a bird", None),
        captions("two", "a dog", "a cow", "a bird", "a fox"),
        captions("three", "a dog", "a cat", "a crow", None),
    )
    (task, *_) = data_of(comparison(contests={"caption": found}))["tasks"]
    assert task["names"] == ["one", "two", "three"]
    assert task["ballots"] == [
        {"photo": 1, "groups": [[0, 2], [1]]},
        {"photo": 2, "groups": [[0, 1], [2]]},
    ]


def test_the_entries_are_those_of_the_winners_with_their_prompts() -> None:
    safe = [{"status": "safe", "score": 0.1}]
    said = comparison(
        contests={
            "caption": figures(captions("one", "a dog", prompt='Say: "what?"\n# now')),
            "labels": figures(labels("two", "dog"), labels("three", "cat")),
            "nsfw": figures(trial("judge", "nsfw", [safe])),
        }
    )
    found = {
        entry["Type"]: entry for entry in yaml.safe_load(winning_entries(said).text())["Models"]
    }
    assert found["caption"]["Name"] == "one"
    assert found["caption"]["Prompt"] == 'Say: "what?"\n# now'
    assert [found[task]["Name"] for task in ("labels", "nsfw")] == ["two", "judge"]
    assert "Prompt" not in found["labels"]
    data = data_of(said)
    assert (
        yaml.safe_load(data["head"] + data["tasks"][1]["entries"][1])["Models"][0]["Name"]
        == "three"
    )


def test_a_thumbnail_is_small_and_upright_and_tells_nothing_of_the_camera(tmp_path: Path) -> None:
    with Image.open(SAMPLES / "coffee.jpg") as picture:
        exif = picture.getexif()
        exif[0x0112], exif[0x010F] = 6, "Secret Cameras"
        picture.resize((900, 300)).save(tmp_path / "turned.jpg", exif=exif)
    content = thumbnail(Photo(tmp_path / "turned.jpg"))
    with Image.open(io.BytesIO(content)) as small:
        assert small.size == (round(SIDE / 3), SIDE)
        assert not small.getexif()
    assert b"Secret" not in content


def test_a_photo_that_cannot_be_shown_is_said(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no photo")
    with pytest.raises(NoThumbnail, match="cannot be shown"):
        thumbnail(Photo(tmp_path / "bad.jpg"))
    with pytest.raises(NoThumbnail, match="cannot be read"):
        thumbnail(Photo(tmp_path / "gone.jpg"))
    photos = [Photo(tmp_path / name) for name in ("bad.jpg", "gone.jpg")]
    assert [photo.name for photo in shown(photos, [tmp_path])] == ["bad.jpg", "gone.jpg"]
    found = Parsed(document(comparison(names=("bad.jpg",), captions=("a",), pictures=(None,))))
    assert "It cannot be shown." in found.inside("p")
