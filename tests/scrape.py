"""What Prometheus would read."""

import requests
from prometheus_client.parser import text_string_to_metric_families


def total(base: str, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels; 0 when there are none."""
    reply = requests.get(f"{base}/metrics", timeout=30)
    assert reply.status_code == 200, reply.text
    return sum(
        sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def names(text: str) -> set[str]:
    """The names of all samples that there are or can be, for some come with the first event."""
    found: set[str] = set()
    for family in text_string_to_metric_families(text):
        if family.name.endswith(
            "_created"
        ):  # when counting began, which several processes leave out
            continue
        match family.type:
            case "counter":
                found.add(f"{family.name}_total")
            case "histogram":
                found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                found.add(family.name)
    return found
