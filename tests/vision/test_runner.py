"""The runner's parts by themselves: what is asked, how much at once, when, and what is kept."""

import contextlib
import csv
import io
import resource
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vision.runner import gate as gates
from vision.runner.capacity import capacity
from vision.runner.files import Photo
from vision.runner.gate import Gate, Stopped
from vision.runner.journal import Journal
from vision.runner.progress import Report
from vision.runner.shrinking import shrunk
from vision.runner.sinks import JsonLines, LinesSink, SinkError, Table
from vision.runner.wanted import CannotRun, Wanted
from vision.runner.window import Window
from vision.runner.work import Answer, Outcome, Question
from vision.schemas import Model, Worker

UP = Worker(worker="w", state="ready", consuming=True, max_batch=4)
CHAT = Model(
    name="chat", version="2b", tasks=("answer", "caption", "labels"), served=True, workers=(UP,)
)
JUDGE = Model(name="judge", tasks=("nsfw",), default_for=("nsfw",), served=True, workers=(UP, UP))
ABSENT = Model(name="absent", tasks=("caption",), default_for=("caption",))
OLLAMA = Model(name="ollama", family="ollama", tasks=("answer", "caption", "labels", "nsfw"))
MODELS = (ABSENT, CHAT, JUDGE, OLLAMA)


def wanted(*, tasks: str = "", models: str = "", language: str = "") -> list[Question]:
    return Wanted(tuple(tasks.split()), tuple(models.split()), "", language).questions(MODELS)


def test_without_a_task_the_models_that_run_are_asked_what_they_do() -> None:
    assert [(q.task, q.model) for q in wanted()] == [
        ("caption", "chat"), ("labels", "chat"), ("nsfw", "judge"),
    ]  # fmt: skip
    assert [(q.task, q.model) for q in wanted(models="judge")] == [("nsfw", "judge")]


def test_a_default_that_is_being_loaded_is_waited_for_and_one_that_does_not_run_is_told() -> None:
    loading = Worker(worker="w", state="loading")
    models = [ABSENT.model_copy(update={"workers": (loading,)}), CHAT, JUDGE]
    options = Wanted((), (), "", "")
    questions = options.questions(models)
    assert [(q.task, q.model) for q in questions] == [
        ("caption", "absent"), ("labels", "chat"), ("nsfw", "judge"),
    ]  # fmt: skip
    assert options.remarks(models, questions) == []
    nobody_else = options.questions(models[:1])
    assert [(q.task, q.model) for q in nobody_else] == [("caption", "absent")]
    assert options.remarks(MODELS, wanted()) == [
        "absent, the default for caption, does not run here: chat is asked instead."
    ]


def test_a_task_that_is_named_is_asked_of_the_first_model_that_does_it() -> None:
    assert [q.model for q in wanted(tasks="nsfw caption", models="chat judge")] == ["judge", "chat"]
    with pytest.raises(CannotRun, match="judge cannot do caption"):
        wanted(tasks="caption", models="judge")


def test_a_language_is_told_to_models_that_chat_and_to_no_others() -> None:
    (caption, nsfw) = wanted(tasks="caption nsfw", language="German")
    assert caption.body("", "key")["system"] == "Write everything in German."
    assert "system" not in nsfw.body("", "key")
    with pytest.raises(CannotRun, match="absent knows one language only"):
        wanted(tasks="caption", models="absent", language="German")


def test_models_of_ollama_are_passed_on_where_its_worker_runs() -> None:
    hosts = ({"up": True, "parallel": 3}, {"up": False, "parallel": 9})
    worker = Worker(worker="o", state="ready", consuming=True, hosts=hosts)
    models = (*MODELS[:3], OLLAMA.model_copy(update={"served": True, "workers": (worker,)}))
    (question,) = Wanted(("caption",), ("gemma3:4b",), "", "").questions(models)
    assert (question.model, question.version) == ("gemma3", "4b")
    assert capacity(models, [question]) == 6
    with pytest.raises(CannotRun, match="There is no model 'gemma3:4b'"):
        wanted(tasks="caption", models="gemma3:4b")


def test_as_many_are_in_flight_as_all_workers_of_the_models_can_take() -> None:
    assert capacity(MODELS, wanted(tasks="caption")) == 8
    assert capacity(MODELS, wanted(tasks="nsfw")) == 16
    assert capacity(MODELS, wanted(tasks="caption", models="absent")) == 2


def test_a_gate_gives_no_more_turns_than_its_limit_and_follows_it() -> None:
    gate, inside = Gate(2), threading.Semaphore(0)
    leave = threading.Event()

    def go_in() -> None:
        with gate.turn():
            inside.release()
            leave.wait()

    threads = [threading.Thread(target=go_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.acquire()
    inside.acquire()
    assert not inside.acquire(blocking=False)
    gate.allow(3)
    inside.acquire()
    leave.set()
    for thread in threads:
        thread.join()


def test_a_refusal_halves_the_limit_once_and_answers_raise_it_again() -> None:
    gate = Gate(8)
    gate.refused(time.monotonic())
    gate.refused(time.monotonic())  # at the same time: the same
    assert gate.limit == 4
    for _ in range(40):
        gate.answered()
    assert gate.limit == 8


def test_requests_that_were_under_way_when_the_limit_was_halved_do_not_halve_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "HALVING_S", 0.0)
    gate, sent_at = Gate(8), time.monotonic()
    for _ in range(3):
        gate.refused(sent_at)
    assert gate.limit == 4
    gate.refused(time.monotonic())
    assert gate.limit == 2


def test_who_waits_at_a_gate_that_is_stopped_goes_home() -> None:
    gate, stopped = Gate(1), list[bool]()
    gate.pause(3600, "Nobody serves.")

    def go_in() -> None:
        try:
            with gate.turn():
                stopped.append(False)
        except Stopped:
            stopped.append(True)

    thread = threading.Thread(target=go_in)
    thread.start()
    gate.stop()
    thread.join()
    assert stopped == [True]


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def test_hours_of_a_night_reach_over_midnight() -> None:
    night = Window.parse("22:00-07:00")
    assert night.opens(at(21)) == at(22)
    assert [night.opens(at(*time)) for time in [(22, 0), (6, 59)]] == [at(22), at(6, 59)]
    assert night.opens(at(7)) == at(22)
    assert Window.parse("8:00 - 17:30").opens(at(18)) == at(8, day=2)
    # Ten hours of work: nine in the first night, one in the second.
    assert night.finish(at(12), timedelta(hours=10)) == at(23, day=2)


@pytest.mark.parametrize("text", ["at night", "25:00-07:00", "22:00-22:00", "22:00"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as 22:00-07:00"):
        Window.parse(text)


def test_a_gate_gives_turns_in_its_hours_only_and_tells_it_once() -> None:
    now, said, inside = at(21, 59), list[str](), threading.Event()
    closed = threading.Event()

    def tell(what: str) -> None:
        said.append(what)
        closed.set()

    gate = Gate(2, Window.parse("22:00-07:00"), tell=tell, clock=lambda: now)

    def go_in() -> None:
        with gate.turn():
            inside.set()

    thread = threading.Thread(target=go_in)
    thread.start()
    assert closed.wait(60)
    gate.allow(3)  # whatever wakes it
    assert not inside.is_set()
    now = at(22)
    gate.allow(4)
    thread.join()
    assert inside.is_set()
    assert said == ["Asking between 22:00-07:00 only: waiting until 22:00."]


def test_a_journal_keeps_answers_by_photo_content_and_question(tmp_path: Path) -> None:
    question = Question.of("caption", CHAT, prompt="look")
    answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, 1.0)
    key = question.key("a.jpg", "d1")
    journal = Journal(tmp_path / "folder" / "journal.sqlite")
    journal.record_fault(key, "a.jpg", question, "It failed.")
    assert journal.failed([question]) == ["a.jpg"]
    journal.record(key, "a.jpg", "d1", question, answer)
    journal.close()

    again = Journal(tmp_path / "folder" / "journal.sqlite")
    assert again.answer(key) == answer
    assert (again.fault(key), again.failed([question])) == ("", [])
    others = [
        question.key("a.jpg", "d2"), question.key("b.jpg", "d1"),
        Question.of("caption", CHAT).key("a.jpg", "d1"),
        Question.of("labels", CHAT, prompt="look").key("a.jpg", "d1"),
    ]  # fmt: skip
    assert [again.answer(other) for other in others] == [None] * 4
    again.close()


def test_a_journal_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path, question = tmp_path / "journal.sqlite", Question.of("caption", CHAT)
    answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, 1.0)
    with contextlib.closing(Journal(path)) as journal:
        journal.record("key", "a.jpg", "d1", question, answer)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE provenance; PRAGMA user_version = 1")
    with contextlib.closing(Journal(path)) as journal:
        journal.note_provenance("photoprism nas", "uid", "{}")
        assert journal.answer("key") == answer
        assert journal.provenance("photoprism nas", "uid") == "{}"


def test_the_summary_says_how_much_each_machine_has_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def outcome(number: int, host: str, at: float) -> Outcome:
        answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, at, host)
        return Outcome(Photo(Path(f"/{number}.jpg")), answers={"caption": answer}, asked=1)

    report = Report(5)
    now = time.time() + 1
    for number, host in enumerate(["tower", "tower", "laptop", "tower"]):
        report.done(outcome(number, host, now), {}, written=True)
    report.done(outcome(5, "old", now - 3600), {}, written=True)  # was in the journal
    report.summarise("out.csv")
    assert "Answers by machine: tower 3 (75%), laptop 1 (25%)." in capsys.readouterr().err


def test_a_large_photo_goes_over_the_network_smaller_upright_and_in_its_colours() -> None:
    noise = Image.effect_noise((3000, 2200), 90).convert("RGB")
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    noise.save(file, "JPEG", quality=95, exif=exif, icc_profile=b"profile")
    sent = shrunk(file.getvalue())
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (2048, 1502)
        assert image.getexif().get(0x0112) == 6
        assert image.info["icc_profile"] == b"profile"
    assert len(sent) < len(file.getvalue())


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [(2, "6", None), (4, 70000, None), (7, b"C", None), (9, -1, None), (5, 6.0, 6), (12, 6.0, 6)],
)
def test_a_large_photo_with_a_damaged_orientation_is_made_smaller_like_others(
    kind: int, value: object, kept: int | None
) -> None:
    tags = ImageFileDirectory_v2()
    tags.tagtype[0x0112] = kind
    tags[0x0112] = value
    exif, file = b"Exif\0\0II*\0\x08\0\0\0" + tags.tobytes(8), io.BytesIO()
    Image.effect_noise((2400, 1400), 90).convert("RGB").save(file, "JPEG", exif=exif, quality=95)
    sent = shrunk(file.getvalue())
    assert len(sent) < len(file.getvalue())
    with Image.open(io.BytesIO(sent)) as image:
        assert image.getexif().get(0x0112) == kept


def test_photos_that_are_small_or_cannot_be_read_here_go_as_they_are() -> None:
    small, png = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (4000, 10)).save(small, "JPEG")
    Image.effect_noise((2100, 700), 90).save(png, "PNG")
    for content in (small.getvalue(), png.getvalue(), bytes(2 << 20), b"\xff\xd8" * (1 << 20)):
        assert shrunk(content) is content


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
