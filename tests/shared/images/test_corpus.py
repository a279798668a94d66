"""Every file of the corpus is decoded to the picture that it shows."""

import pytest

from shared.images import check_header, decode_rgb, for_ollama
from tests.shared.images.corpus import CORPUS, Case
from tests.shared.images.files import centres


def test_the_corpus_is_large_and_names_are_unique() -> None:
    assert len({case.name for case in CORPUS}) == len(CORPUS) >= 200


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
def test_a_file_is_decoded_to_its_picture(case: Case) -> None:
    data = case.make()

    image = decode_rgb(data, 50)

    assert (image.mode, image.size) == ("RGB", (96, 64))
    for seen, drawn in zip(centres(image), case.quadrants, strict=True):
        assert seen == pytest.approx(drawn, abs=case.tolerance)
    assert sorted(check_header(data, 50)) == [64, 96]


SAMPLE = [case for case in CORPUS if "RGBA" in case.name or "orientation-6" in case.name]


@pytest.mark.parametrize("case", SAMPLE, ids=[case.name for case in SAMPLE])
def test_ollama_gets_the_picture_upright_as_jpeg_or_png(case: Case) -> None:
    data = for_ollama(case.make(), 50)

    assert data.startswith((b"\xff\xd8\xff", b"\x89PNG"))
    image = decode_rgb(data)
    assert image.size == (96, 64)
    for seen, drawn in zip(centres(image), case.quadrants, strict=True):
        assert seen == pytest.approx(drawn, abs=case.tolerance + 8)
