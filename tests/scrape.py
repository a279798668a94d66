"""Metrics as Prometheus reads them."""

import requests
from prometheus_client.parser import text_string_to_metric_families


def total(base: str, name: str, **labels: str) -> float:
    """Return the sum of all samples with this name and these labels; 0 if there are none."""
    reply = requests.get(f"{base}/metrics", timeout=30)
    assert reply.status_code == 200, reply.text
    return sum(
        sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def names(text: str) -> set[str]:
    """Return the names of all samples, also of those that appear only after a first event."""
    found: set[str] = set()
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):  # not exported with several API processes
            continue
        match family.type:
            case "counter":
                found.add(f"{family.name}_total")
            case "histogram":
                found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                found.add(family.name)
    return found
