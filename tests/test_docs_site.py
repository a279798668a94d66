"""`make docs`: a site without a warning, whose links lead somewhere; it needs no other host."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.stack import ROOT

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """Links, ids and loaded files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = {""}
        self.loads: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if loaded := found.get(LOADS.get(tag, "")):
            self.loads.add(loaded)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder], cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Its page for what is not found has addresses for the root of a server.
    return {path: Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}


def test_every_link_leads_to_a_page_and_a_heading_that_exist(site: dict[Path, Page]) -> None:
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if not parts.scheme:
                target = (path.parent / parts.path).resolve() if parts.path else path
                target = target / "index.html" if target.is_dir() else target
                assert target in site, f"{path.name}: {link}"
                assert unquote(parts.fragment) in site[target].ids, f"{path.name}: {link}"


def test_nothing_is_loaded_from_elsewhere_and_all_of_it_is_there(site: dict[Path, Page]) -> None:
    for path, page in site.items():
        assert page.loads
        for loaded in page.loads:
            assert (path.parent / urlsplit(loaded).path).is_file(), f"{path.name}: {loaded}"


def test_the_reference_has_every_operation_and_schema(site: dict[Path, Page]) -> None:
    (reference,) = (page for path, page in site.items() if path.name == "api-reference.html")
    assert {"post-apiv1vision", "get-readyz", "visionrequest", "errorreply"} <= reference.ids


def test_the_reference_says_what_a_header_of_a_request_is_for(site: dict[Path, Page]) -> None:
    (reference,) = (path for path in site if path.name == "api-reference.html")
    assert "persons are answered before bulk work" in reference.read_text(encoding="utf-8")
