"""Files of results: continued after kills, and never those of others."""

import contextlib
import csv
import io
import resource
from pathlib import Path

import pytest

from vision.runner.files import Photo
from vision.runner.sinks import JsonLines, LinesSink, SinkError, Table
from vision.runner.work import Answer, Outcome


def test_a_line_that_a_kill_has_cut_off_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    whole = "path,caption,labels,nsfw,nsfw_score,models,id\n/a.jpg,cat,,,,m:1,1234\n"
    path.write_text(f"{whole}/b.jpg,a do")
    with path.open() as unused:
        Table(path, unused).close()
    assert path.read_text() == whole


@pytest.mark.parametrize("sink", [Table, JsonLines])
@pytest.mark.parametrize(
    "content",
    [b"name,colour\nTom,red\n", b"name,colour\nTom,red", b'{"a": 1}', b"[1]\n", b"\xff\xd8\n\xff"],
    ids=["table", "line-without-end", "json", "list", "photo"],
)
def test_a_file_of_something_else_stays_as_it_is(
    tmp_path: Path, sink: type[LinesSink], content: bytes
) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    with pytest.raises(SinkError, match="cannot be continued: it is not a file of such results"):
        sink(path, io.StringIO())
    assert path.read_bytes() == content


@pytest.mark.parametrize("sink", [Table, JsonLines])
@pytest.mark.parametrize("lost", [1, 15, 30, 60])
def test_names_with_line_breaks_have_one_line_each_after_a_kill_too(
    tmp_path: Path, sink: type[LinesSink], lost: int
) -> None:
    outcomes = [written(Path(f"/{name}.jpg")) for name in ("a", "b\rc", "d\ne")]
    path = tmp_path / "out"

    def write() -> None:
        with contextlib.closing(sink(path, io.StringIO())) as out:
            for outcome in outcomes:
                if not out.has(outcome):
                    out.write(outcome)

    write()
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    write()
    assert path.read_bytes() == whole
    if sink is Table:
        with path.open(newline="") as file:
            names = [row["path"] for row in csv.DictReader(file)]
        assert names == ["/a.jpg", "/b\rc.jpg", "/d\ne.jpg"]


def test_a_full_disk_is_told_once_and_the_file_can_be_closed(tmp_path: Path) -> None:
    sink = Table(tmp_path / "out.csv", io.StringIO())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, limits[1]))
    try:
        with pytest.raises(SinkError, match=r"out\.csv cannot be written"):
            sink.write(written(Path("/a.jpg")))
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def written(path: Path) -> Outcome:
    """The outcome for a photo that was captioned."""
    answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, 1.0)
    return Outcome(Photo(path), id=path.name, answers={"caption": answer})
