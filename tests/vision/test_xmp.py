"""Sidecars: written by ExifTool, with a person's words as they were."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.stack import ROOT, SAMPLES, Stack, wait_for
from tests.vision.command import vision
from vision.runner.files import Photo
from vision.runner.journal import Journal
from vision.runner.sinks import NotWritten
from vision.runner.work import Answer, Outcome
from vision.xmp.exiftool import CONFIG, ExifTool
from vision.xmp.merging import READ, merged
from vision.xmp.sidecars import Sidecars, sidecar_of

needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="needs ExifTool")
RESULTS = {"caption": {"text": "a cat"}, "labels": [{"name": "cat"}, {"name": "animal"}]}


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def exiftool(*words: object) -> str:
    return subprocess.run(
        ["exiftool", "-config", CONFIG, *map(str, words)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def fields(path: Path) -> dict[str, Any]:
    tool = ExifTool()
    try:
        (found,) = tool.read((*READ, "XMP-xmp:Rating"), [path])
    finally:
        tool.close()
    return dict(found)


def write_sidecars(url: str, home: Path, *words: str) -> None:
    said = vision(
        "run", home, "--out", "xmp", "--task", "caption,labels", "--model", "fake", *words,
        VISION_URL=url, XDG_STATE_HOME=str(home / ".state"),
    )  # fmt: skip
    assert said.returncode == 0, said.stderr


@needs_exiftool
def test_sidecars_are_merged_and_a_persons_words_stay(url: str, tmp_path: Path) -> None:
    for name in ("new", "described", "tagged"):
        shutil.copy(SAMPLES / "cat.jpg", tmp_path / f"{name}.jpg")
    exiftool("-overwrite_original", "-IPTC:Keywords=Tom", tmp_path / "tagged.jpg")
    exiftool("-XMP-dc:Description=Our Tom, 2019\non the sofa", "-XMP-dc:Description-de=Unser Tom",
             "-XMP-dc:Subject=007", "-XMP-xmp:Rating=4", tmp_path / "described.xmp")  # fmt: skip
    write_sidecars(url, tmp_path)

    new = fields(tmp_path / "new.jpg.xmp")
    caption = new["XMP-vision:Caption"]
    assert caption.startswith("rgb ")
    assert new["XMP-dc:Description"] == caption
    assert new["XMP-dc:Subject"] == new["XMP-vision:Labels"] == caption
    described = fields(tmp_path / "described.xmp")
    assert not (tmp_path / "described.jpg.xmp").exists()
    assert described["XMP-dc:Description"].startswith("Our Tom, 2019")
    assert described["XMP-dc:Description-de"] == "Unser Tom"
    assert described["XMP-dc:Subject"] == ["007", caption]
    assert described["XMP-xmp:Rating"] == "4"
    assert described["XMP-vision:Caption"] == caption
    assert fields(tmp_path / "tagged.jpg.xmp")["XMP-dc:Subject"] == ["Tom", caption]

    # What was written here is replaced by what another prompt gives, and nothing else.
    write_sidecars(url, tmp_path, "--prompt", "again")
    again = fields(tmp_path / "new.jpg.xmp")
    assert again["XMP-dc:Description"] == again["XMP-dc:Subject"] == f"{caption} again"
    assert fields(tmp_path / "described.xmp")["XMP-dc:Subject"] == ["007", f"{caption} again"]
    assert fields(tmp_path / "described.xmp")["XMP-dc:Description-de"] == "Unser Tom"


@needs_exiftool
def test_texts_with_any_characters_are_written_as_they_are(tmp_path: Path) -> None:
    words = 'a "b" \\n $x @y <z> &amp; & 猫\nnext\\line'
    tool = ExifTool()
    tool.write([("XMP-vision:Caption", words)], tmp_path / 'odd "$name".jpg.xmp')
    tool.close()
    assert fields(tmp_path / 'odd "$name".jpg.xmp')["XMP-vision:Caption"] == words
    assert list(tmp_path.iterdir()) == [tmp_path / 'odd "$name".jpg.xmp']


@needs_exiftool
def test_photos_of_a_format_that_exiftool_does_not_know_get_sidecars_too(
    url: str, tmp_path: Path
) -> None:
    for ending in ("dds", "qoi", "sgi"):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / f"a.{ending}")
    write_sidecars(url, tmp_path)
    for ending in ("dds", "qoi", "sgi"):
        assert fields(tmp_path / f"a.{ending}.xmp")["XMP-dc:Description"] == "rgb 9 9 9"


def test_a_name_that_is_too_long_for_a_sidecar_is_a_failure_of_its_photo_alone(
    tmp_path: Path,
) -> None:
    photo = tmp_path / f"{'x' * 250}.jpg"
    photo.touch()
    answers = {"caption": Answer({"text": "a cat"}, "fake", "7", 0.1, 1.0)}
    with (
        closing(Journal(tmp_path / "journal")) as journal,
        closing(Sidecars(journal, ExifTool(str(listener(tmp_path))))) as sink,
        pytest.raises(NotWritten, match=r"The sidecar cannot be written: .*File name too long"),
    ):
        sink.write(Outcome(Photo(photo), "id", answers))


def test_exiftool_ends_when_the_command_is_killed(tmp_path: Path) -> None:
    program = listener(tmp_path)
    code = (
        "import os, sys; from vision.xmp.exiftool import ExifTool; tool = ExifTool(sys.argv[1]);"
        "sys.stdin.read(1); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", code, program], cwd=ROOT, stdin=subprocess.PIPE
    )
    wait_for("the program", (tmp_path / "began").exists)
    killed.communicate(b"x")
    assert killed.returncode == -9
    wait_for("its end", (tmp_path / "ended").exists, 20)


def listener(folder: Path) -> Path:
    """A program that, like ExifTool, ends when it is told to, and not when nobody is there."""
    program = folder / "listener"
    program.write_text(
        f"#!/bin/sh\ncd '{folder}'; touch began\nwhile sleep 0.1; do\n"
        '  while read -r line; do if [ "$line" = False ]; then touch ended; exit; fi; done\ndone\n'
    )
    program.chmod(0o755)
    return program


def after(sidecar: dict[str, Any], photo: dict[str, Any] | None = None) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in merged(RESULTS, ["fake:7"], sidecar, photo or {}):
        values.setdefault(name, []).append(value)
    return values


def test_a_description_in_the_photo_keeps_ours_out_unless_its_camera_wrote_it() -> None:
    assert "XMP-dc:Description" not in after({}, {"IFD0:ImageDescription": "Tom"})
    assert after({}, {"IFD0:ImageDescription": "SONY DSC"})["XMP-dc:Description"] == ["a cat"]
    ours = {"XMP-dc:Description": "a dog", "XMP-vision:WroteDescription": "a dog"}
    assert after(ours, {"IFD0:ImageDescription": "Tom"})["XMP-dc:Description"] == ["a cat"]


def test_ours_that_a_person_changed_or_deleted_stays_changed_or_deleted() -> None:
    changed = {"XMP-dc:Description": "Tom", "XMP-vision:WroteDescription": "a dog"}
    assert "XMP-dc:Description" not in after(changed)
    assert "XMP-dc:Description" not in after({"XMP-vision:WroteDescription": "a dog"})
    words = {"XMP-dc:Subject": ["Tom", "dog"], "XMP-vision:WroteSubject": ["dog", "cat"]}
    assert after(words)["XMP-dc:Subject"] == ["Tom", "animal"]
    assert after(words)["XMP-vision:WroteSubject"] == ["animal", "cat"]


def test_a_keyword_of_a_person_is_not_doubled_in_another_case() -> None:
    assert after({"XMP-dc:Subject": "Cat"})["XMP-dc:Subject"] == ["Cat", "animal"]


def test_the_sidecar_of_a_raw_file_is_not_taken_for_that_of_its_jpeg(tmp_path: Path) -> None:
    photo, short = tmp_path / "a.jpg", tmp_path / "a.xmp"
    assert sidecar_of(photo).name == "a.jpg.xmp"
    short.touch()
    assert sidecar_of(photo).name == "a.xmp"
    (tmp_path / "a.raw").touch()
    assert sidecar_of(photo).name == "a.jpg.xmp"
