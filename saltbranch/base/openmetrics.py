"""OpenMetrics text of gauges, in the subset that the older text format of Prometheus has, too.

node_exporter's textfile collector reads the older one, so there are no types but `gauge`, no units and no timestamps
of samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Gauge:
    """A metric and its samples: labels and value each. help: a sentence without quotes, for people."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float | None, **labels: str) -> None:
        """One more sample; None for what is not known adds nothing."""
        if value is not None:
            self.samples.append((labels, float(value)))

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        rows = [{"labels": dict(labels), "value": value} for labels, value in self.samples]
        return {"name": self.name, "help": self.help, "samples": rows}


def text(gauges: Iterable[Gauge]) -> str:
    """The exposition of `gauges`; those without a sample are left out."""
    lines: list[str] = []
    for gauge in gauges:
        if gauge.samples:
            lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
            lines += [_line(gauge.name, labels, value) for labels, value in gauge.samples]
    return "\n".join([*lines, "# EOF", ""])


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}"


def _escaped(word: str) -> str:
    plain = word.encode("utf-8", "replace").decode()
    return plain.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
