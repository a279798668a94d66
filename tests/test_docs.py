"""The documents say what the code does: settings, models, routes, make targets, files."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from api import create_app
from shared.catalog import Catalog
from shared.model_spec import EngineOptions
from shared.ollama_settings import OllamaSettings
from shared.settings import ROOT, Settings
from vision import options
from workers.engine.wear import RestartReason

FOLDERS = (
    "api", "benchmarks", "deploy", "docs", "launcher", "shared", "tests", "tools", "vision",
    "workers",
)  # fmt: skip
DOCUMENTS = [*ROOT.glob("*.md"), *(f for folder in FOLDERS for f in (ROOT / folder).rglob("*.md"))]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
PLAIN_FILES = ("NOTICE", ".env.example")
CONFIGURATION = "docs/configuration.md"
README_LINES = 120
COMMENTED = (
    "*.yaml", "Dockerfile.*", "requirements*.txt", "Makefile", "deploy/**/*.y*ml",
    *(f"{folder}/**/*.py" for folder in FOLDERS if folder != "tests"),
)  # fmt: skip
"""Files whose comments refer to sections of documents."""
SECTION = re.compile(r'([\w./-]+\.md), "([^"]+)"')
MODEL_ROW = re.compile(
    r"^\| `([^`]+)` \| ((?:answer|caption|face|labels|nsfw)(?:, \w+)*) \|", re.MULTILINE
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMPOSE_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| (?:`(.+)`|none) \| (.+) \|$", re.MULTILINE)
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::?-([^}]*)|:?\?[^}]*)\}")
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OF_COMPOSE = "# Of docker compose alone:\n"
FOREIGN_PATH = re.compile(r"(?<![\w.:/~-])/(?:etc|home|mnt|opt|root|srv|tmp|usr|var|work)/[\w./-]+")
UPWARD_PATH = re.compile(r"(?<![\w./-])(?:\.\./)+[\w./-]*")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def as_environment(value: object) -> str:
    """A default as one would write it into the environment."""
    match value:
        case None:
            return ""
        case tuple():
            return ",".join(value)
        case Path():
            return value.relative_to(ROOT).as_posix()
        case _:
            return str(value)


def section(name: str, heading: str) -> str:
    """What stands under a heading, down to the next one."""
    _, _, text = read(name).partition(f"\n{heading}\n")
    assert text, heading
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def inline_code(text: str) -> list[str]:
    return INLINE.findall(FENCED.sub("", text))


def all_code(text: str) -> str:
    return "\n".join([*FENCED.findall(text), *inline_code(text)])


def assert_lines(written: Sequence[str], wanted: Sequence[str], where: str) -> None:
    missing = [line for line in wanted if line not in written]
    surplus = [line for line in written if line not in wanted]
    assert not missing, f"write into {where}:\n" + "\n".join(missing)
    assert not surplus, f"remove from {where}:\n" + "\n".join(surplus)
    assert list(written) == list(wanted), f"{where}: same order as in shared/settings.py, please"


def settings() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by the name of its variable."""
    for kind in (Settings, OllamaSettings):
        for name, field in kind.model_fields.items():
            yield f"{kind.model_config['env_prefix']}{name.upper()}", field


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= README_LINES


def test_the_index_has_a_line_for_each_page() -> None:
    lines = re.findall(r"^- \[[^\]]+\]\(([\w-]+\.md)\): ", read("docs/README.md"), re.MULTILINE)
    assert sorted(lines) == PAGES
    assert "(docs/README.md)" in read("README.md")


def test_the_configuration_page_has_each_setting_with_its_default_and_description() -> None:
    wanted = []
    for name, field in settings():
        default = as_environment(field.default)
        cell = f"`{default}`" if default else "none"
        wanted.append(f"| `{name}` | {cell} | {field.description} |")
    lines = section(CONFIGURATION, "## Settings").splitlines()
    written = [line for line in lines if line.startswith(("| `VISION_", "| `OLLAMA_"))]
    assert_lines(written, wanted, f"the table of settings in {CONFIGURATION}")


def test_the_example_environment_has_each_setting_with_its_default_commented_out() -> None:
    wanted = []
    for name, field in settings():
        wanted.append(f"# {field.description}")
        wanted.append(f"#{name}={as_environment(field.default)}")
    _, _, body = read(".env.example").partition("\n\n")
    body, _, _ = body.partition(OF_COMPOSE)
    assert_lines([line for line in body.splitlines() if line], wanted, ".env.example")


def compose_rows() -> dict[str, tuple[str, str]]:
    """Default and meaning of each variable, as the configuration page has them."""
    rows = COMPOSE_ROW.findall(section(CONFIGURATION, "## Variables of compose.yaml"))
    return {
        name: (default, meaning)
        for names, default, meaning in rows
        for name in INLINE.findall(names)
    }


def test_the_configuration_page_has_each_variable_of_compose_with_its_default() -> None:
    wanted: dict[str, str] = {"COMPOSE_PROFILES": ""}  # Compose's own
    for path in sorted(ROOT.glob("compose*.yaml")):
        for name, default in VARIABLE.findall(path.read_text(encoding="utf-8")):
            wanted[name] = wanted.get(name) or default
    assert {name: default for name, (default, _) in compose_rows().items()} == wanted


def test_the_example_environment_has_each_variable_of_the_compose_files() -> None:
    ours = {name for name, _ in settings()}
    wanted = []
    for name, (default, meaning) in compose_rows().items():
        if name not in ours:
            if f"# {meaning}" not in wanted:
                wanted.append(f"# {meaning}")
            wanted.append(f"#{name}={default}")
    _, _, body = read(".env.example").partition(OF_COMPOSE)
    assert_lines([line for line in body.splitlines() if line], wanted, ".env.example")


def test_no_document_names_a_setting_that_is_not_there() -> None:
    known = {f"VISION_{name.upper()}" for name in Settings.model_fields}
    known |= {options.URL_VARIABLE, options.KEY_VARIABLE}
    for path in DOCUMENTS:
        named = set(re.findall(r"(?<![A-Z_])VISION_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
        assert named <= known, name_of(path)


def test_the_models_page_has_each_model_of_the_catalogue_with_its_tasks() -> None:
    written = dict(MODEL_ROW.findall(read("docs/models.md")))
    catalog = Catalog.load(ROOT / "models.yaml")
    assert written == {spec.name: ", ".join(sorted(spec.tasks)) for spec in catalog.models}


def test_the_monitoring_page_has_each_alert() -> None:
    written = re.findall(r"^\| `(Vision\w+)` \|", read("docs/monitoring.md"), re.MULTILINE)
    rules = re.findall(r"^ *- alert: (\w+)$", read("deploy/prometheus/alerts.yml"), re.MULTILINE)
    assert_lines(written, rules, "the alerts in docs/monitoring.md")


def test_the_recycling_page_has_each_reason_and_option() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", read("docs/recycling.md"), re.MULTILINE))
    assert named == {*RestartReason, *EngineOptions.model_fields}


def test_the_http_page_has_each_route() -> None:
    app = create_app(Settings(redis_url="redis://127.0.0.1:1/0"))
    reply = app.test_client().get("/openapi.json").get_json()
    named = set(inline_code(read("docs/http-api.md")))
    assert {*reply["paths"], "/openapi.json", "/docs"} <= named


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_make_targets_that_are_named_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", all_code(path.read_text(encoding="utf-8"))))
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, heading = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    for word in inline_code(path.read_text(encoding="utf-8")):
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*", word):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("path", [*DOCUMENTS, *(ROOT / name for name in PLAIN_FILES)], ids=name_of)
def test_no_path_outside_the_repository_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert FOREIGN_PATH.findall(text) == []
    for way in UPWARD_PATH.findall(text):
        assert (path.parent / way).resolve().is_relative_to(ROOT), way


def test_sections_that_comments_refer_to_exist() -> None:
    referring = set()
    for path in sorted(path for pattern in COMMENTED for path in ROOT.glob(pattern)):
        comments = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split())
        assert 'README, "' not in comments, f"{name_of(path)}: say which .md file is meant"
        for name, title in SECTION.findall(comments):
            referring.add(name_of(path))
            assert anchor(title) in headings(ROOT / name), f"{name_of(path)}: {name}, {title!r}"
    assert referring >= {
        "models.yaml",
        "compose.yaml",
        "Dockerfile.worker",
        "requirements-otel.txt",
    }


def headings(path: Path) -> set[str]:
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return {anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def anchor(title: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


def texts_of(tree: ast.AST) -> Iterator[str]:
    """The texts in a module, `…` in place of what is computed."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr():
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                yield "".join(map(str, parts))
            case ast.Constant(value=str(text)):
                yield text


def test_messages_in_the_troubleshooting_page_are_those_of_the_code() -> None:
    texts = [read("Makefile")]
    for folder in ("api", "launcher", "shared", "vision", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            texts.extend(texts_of(ast.parse(path.read_text(encoding="utf-8"))))
    rows = re.findall(r"^\| (.*?) \|", read("docs/troubleshooting.md"), re.MULTILINE)
    quoted = [code for row in rows for code in INLINE.findall(row) if " " in code]
    assert len(quoted) > 30
    for message in quoted:
        pieces = [re.escape(piece) for piece in message.split("…") if piece.strip()]
        pattern = re.compile(".*".join(pieces), re.DOTALL)
        assert any(pattern.search(text) for text in texts), message
