"""How Florence-2 writes what is where: words, then tokens of the sides of boxes."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from workers.runtime.phrases import Found, box_area

BINS = 1000
"""Places on each side of a picture, each with a token: ``<loc_0>`` to ``<loc_999>``."""
SIDES = 4
"""Of a box: left, top, right, bottom."""


class Regions:
    """Reads texts of the form ``car<loc_52><loc_332><loc_932><loc_774>wheel<loc_…>…``."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - not typed
        """Find the tokens of places.

        Raises:
            ValueError: the tokenizer does not know them.
        """
        self._tokenizer = tokenizer
        ids = tokenizer.convert_tokens_to_ids([f"<loc_{place}>" for place in range(BINS)])
        self._places = {token: place for place, token in enumerate(ids)}
        if len(self._places) < BINS or tokenizer.unk_token_id in self._places:
            msg = f"there are no {BINS} tokens for places in a picture"
            raise ValueError(msg)
        self._ignored = set(tokenizer.all_special_ids) - self._places.keys()

    def read(self, tokens: Sequence[int], probabilities: Sequence[float]) -> list[Found]:
        """Return the phrases that have a box, each once, in order.

        The confidence is the geometric mean of the probabilities of a phrase's tokens, by which
        texts of different lengths are compared; the tokens of its boxes do not count.

        Args:
            tokens: a generated text.
            probabilities: of its tokens; those beyond its end count as 1.
        """
        best: dict[str, Found] = {}
        for words, known, places in self._phrases(tokens, probabilities):
            phrase = self._tokenizer.decode(words).strip()
            boxes = [places[at : at + SIDES] for at in range(0, len(places) - SIDES + 1, SIDES)]
            if not boxes or not phrase:
                continue
            area = max(map(box_area, boxes)) / BINS**2
            found = Found(phrase, math.exp(sum(map(_log, known)) / len(known)), area)
            before = best.get(phrase, found)
            best[phrase] = Found(
                phrase, max(found.confidence, before.confidence), max(area, before.area)
            )
        return list(best.values())

    def _phrases(
        self, tokens: Sequence[int], probabilities: Sequence[float]
    ) -> Iterator[tuple[list[int], list[float], list[int]]]:
        """Yield the tokens of each phrase, their probabilities, and the places after them."""
        words: list[int] = []
        known: list[float] = []
        places: list[int] = []
        for number, token in enumerate(tokens):
            if token in self._places:
                places.append(self._places[token])
            elif token not in self._ignored:
                if places:
                    yield words, known, places
                    words, known, places = [], [], []
                words.append(token)
                known.append(probabilities[number] if number < len(probabilities) else 1.0)
        if words:
            yield words, known, places


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-9))
