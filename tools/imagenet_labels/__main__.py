r"""Build the committed table of labels for the 1000 classes of ImageNet-1k.

The classifiers of this project score 1000 ImageNet classes whose raw labels ("n02123045",
"tabby, tabby cat") are of little use in a photo library. This script turns each class, in class
index order, into a name that a person would tag a photo with, categories from specific to general
and a PhotoPrism priority.

Sources, read as plain files (neither package is imported or installed):

* the `timm` wheel, for the class order and the lemmas::

      pip download --no-deps timm && unzip timm-*.whl 'timm/data/_info/imagenet_synset*'

* WordNet 3.0, whose noun file offsets are the synset ids, for the hypernym hierarchy::

      apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet

Run it with::

    python -m tools.imagenet_labels \
        --synsets timm/data/_info/imagenet_synsets.txt \
        --lemmas timm/data/_info/imagenet_synset_to_lemma.txt \
        --wordnet wordnet/usr/share/wordnet \
        --out workers/runtime/data/imagenet_labels.json

How a label is made, with the tables of `tables.py`:

* Name: the reviewed name in `NAMES`; else the first lemma, or the longer lemma that explains it
  ("tabby, tabby cat" gives "tabby cat"). `NAMES` settles ambiguous words ("crane"), archaic ones
  ("cab"), and classes that stand alone for a broader kind: "sorrel" is the only horse among the
  1000, so every horse ends up there and "horse" is the name that is right. Spelling is American.
* Categories: those of the nearest synset, walking up the hypernyms from the class itself, that
  `CATEGORIES` lists. An entry for a class itself thus overrides the hierarchy.
* Priority: `NOISE_PRIORITY` for the classes in `NOISE`, otherwise 0.

The WordNet licence must travel with the output: see NOTICE.md beside it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.imagenet_labels.sources import LabelError, read_hypernyms, read_lemmas, read_synsets
from tools.imagenet_labels.tables import CATEGORIES, NAMES, NOISE, NOISE_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CATEGORIES = 3


@dataclass(frozen=True)
class Label:
    """One ImageNet class as a photo library shows it.

    Attributes:
        synset: WordNet 3.0 synset id, such as "n02123045".
        name: What a person would tag a photo with.
        categories: At most three broader terms, from specific to general.
        priority: PhotoPrism priority; labels with a higher one win in titles.
    """

    synset: str
    name: str
    categories: tuple[str, ...]
    priority: int


def choose_name(synset: str, lemmas: Sequence[str]) -> str:
    """Choose the name of a class.

    Args:
        synset: Synset id of the class.
        lemmas: Its lemmas, the usual one first.

    Returns:
        The reviewed name, else the first lemma or the first one that extends it by a word.
    """
    if synset in NAMES:
        return NAMES[synset]
    first = lemmas[0]
    return next((lemma for lemma in lemmas if lemma.startswith(f"{first} ")), first)


def find_anchor(synset: str, hypernyms: Mapping[str, Sequence[str]]) -> str | None:
    """Find the nearest synset with categories, breadth first from a class upwards.

    Args:
        synset: Synset id of the class.
        hypernyms: Direct hypernyms by synset id.

    Returns:
        The id of the class itself or of a hypernym, or None when no hypernym is listed.
    """
    level = [synset]
    while level:
        for candidate in level:
            if candidate in CATEGORIES:
                return candidate
        level = [parent for candidate in level for parent in hypernyms[candidate]]
    return None


def choose_categories(name: str, anchor: str | None) -> tuple[str, ...]:
    """Choose the categories of a class.

    Args:
        name: Name of the class, which is not repeated as a category.
        anchor: Synset to take the categories from, if there is one.

    Returns:
        The categories, from specific to general.
    """
    categories = CATEGORIES[anchor] if anchor else ()
    return tuple(category for category in categories if category.lower() != name.lower())


def build_labels(
    synsets: Sequence[str],
    lemmas: Mapping[str, Sequence[str]],
    hypernyms: Mapping[str, Sequence[str]],
) -> list[Label]:
    """Build the labels of all classes.

    Args:
        synsets: Synset ids in class index order.
        lemmas: Lemmas by synset id.
        hypernyms: Direct hypernyms by synset id.

    Returns:
        The labels in class index order.

    Raises:
        LabelError: If a source lacks a class, or a table has a fault.
    """
    missing = [synset for synset in synsets if synset not in lemmas or synset not in hypernyms]
    if missing:
        raise LabelError(f"no lemmas or no WordNet entry for {', '.join(missing)}")
    anchors = {synset: find_anchor(synset, hypernyms) for synset in synsets}
    check_tables(anchors)
    labels = []
    for synset, anchor in anchors.items():
        name = choose_name(synset, lemmas[synset])
        categories = choose_categories(name, anchor)
        priority = NOISE_PRIORITY if synset in NOISE else 0
        labels.append(Label(synset, name, categories, priority))
    check_names(labels)
    return labels


def check_tables(anchors: Mapping[str, str | None]) -> None:
    """Check that every entry of the tables is in use and well formed.

    Args:
        anchors: The synset each class takes its categories from, by synset id of the class.

    Raises:
        LabelError: If an entry is unused or lists too many categories.
    """
    unused = (NAMES.keys() - anchors) | (NOISE - anchors.keys())
    unused |= CATEGORIES.keys() - anchors.values()
    if unused:
        raise LabelError(f"unused table entries: {', '.join(sorted(unused))}")
    long = [synset for synset, entry in CATEGORIES.items() if len(entry) > MAX_CATEGORIES]
    if long:
        raise LabelError(f"more than {MAX_CATEGORIES} categories: {', '.join(long)}")


def check_names(labels: Sequence[Label]) -> None:
    """Check that no two classes share a name.

    Args:
        labels: The labels of all classes.

    Raises:
        LabelError: If a name occurs twice, upper and lower case aside.
    """
    counts = Counter(label.name.lower() for label in labels)
    shared = sorted(name for name, count in counts.items() if count > 1)
    if shared:
        raise LabelError(f"names of more than one class: {', '.join(shared)}")


def write_labels(labels: Sequence[Label], path: Path) -> None:
    """Write the labels as a JSON list with one class per line.

    Args:
        labels: The labels in class index order.
        path: File to write.
    """
    rows = ",\n".join(json.dumps(asdict(label), ensure_ascii=False) for label in labels)
    path.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def print_summary(labels: Sequence[Label]) -> None:
    """Print how many classes each category has.

    Args:
        labels: The labels of all classes.
    """
    bare = [label.name for label in labels if not label.categories]
    counts = Counter(category for label in labels for category in label.categories)
    print(f"{len(labels)} classes, {len(NAMES)} names from the table, {len(NOISE)} noise classes")
    print(f"{len(bare)} without category: {', '.join(bare)}")
    print(f"{len(counts)} categories: {', '.join(f'{c} {n}' for c, n in counts.most_common())}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        The arguments, all of them paths.
    """
    parser = argparse.ArgumentParser(description="Build the table of ImageNet-1k labels.")
    parser.add_argument("--synsets", type=Path, required=True, help="synset ids in class order")
    parser.add_argument("--lemmas", type=Path, required=True, help="lemmas by synset id")
    parser.add_argument("--wordnet", type=Path, required=True, help="directory with data.noun")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    return parser.parse_args()


def main() -> None:
    """Build and write the table."""
    arguments = parse_arguments()
    labels = build_labels(
        read_synsets(arguments.synsets),
        read_lemmas(arguments.lemmas),
        read_hypernyms(arguments.wordnet),
    )
    write_labels(labels, arguments.out)
    print_summary(labels)


if __name__ == "__main__":
    main()
