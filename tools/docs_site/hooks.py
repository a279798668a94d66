"""What MkDocs does beyond its own: it takes documents from outside ``docs/``, and writes one.

The documents are written for readers of the repository, so their links lead to its files. In the
site, a link to a document of the site leads to its page, and one to any other file is plain text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from api import create_app, openapi_document
from shared.settings import Settings
from tools.docs_site.reference import as_markdown

ROOT = Path(__file__).resolve().parent.parent.parent
FROM_OUTSIDE = {
    "ARCHITECTURE.md": "ARCHITECTURE.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "kubernetes.md": "deploy/kubernetes/README.md",
}
"""Pages of the site, and the files of the repository that they are."""
REFERENCE = "api-reference.md"
HOME = {"README.md": "README.md"}
"""Files of the repository in whose place the site has a page of its own."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that lie elsewhere, and the reference of the HTTP API."""
    for page, path in FROM_OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    settings = Settings(redis_url="redis://127.0.0.1:1/0")  # which is not asked
    document = openapi_document(create_app(settings), settings)
    files.append(File.generated(config, REFERENCE, content=as_markdown(document)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Have links lead to pages of the site."""
    source = FROM_OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pages = {path: name for name, path in (*FROM_OUTSIDE.items(), *HOME.items())}
    pages |= {f"docs/{file.src_uri}": file.src_uri for file in files}
    parts = _FENCED.split(markdown)  # every second part is code
    for number, text in enumerate(parts[::2]):
        parts[2 * number] = _LINK.sub(lambda link: _in_the_site(link, source, pages), text)
    return "".join(parts)


def _in_the_site(link: re.Match[str], source: str, pages: dict[str, str]) -> str:
    text, target = link.groups()
    name, hash_sign, heading = target.partition("#")
    if not name or re.match(r"[a-z]+:", name):
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    if path in pages:
        return f"[{text}]({pages[path]}{hash_sign}{heading})"
    return text if (ROOT / path).exists() else link[0]
