"""What ``vision doctor`` finds, as lines that tests look into."""

import json

from tests.vision.command import vision

SIGNS = {"good": "✔", "doubtful": "⚠", "wrong": "✘"}


def doctor(url: str, *words: object, **variables: str) -> list[str]:
    """What it finds, as lines that begin with a sign."""
    done = vision("doctor", "--json", "--url", url, *words, **variables)
    found = json.loads(done.stdout)
    assert done.returncode == any(row["mark"] == "wrong" for row in found), done.stderr
    return [f"{SIGNS[row['mark']]} {row['part']}: {row['says']} {row['advice']}" for row in found]


def has(found: list[str], sign: str, *words: str) -> bool:
    return any(line.startswith(sign) and all(word in line for word in words) for line in found)
