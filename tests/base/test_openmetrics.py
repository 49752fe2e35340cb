"""The text of gauges, read by a parser that knows nothing of us."""

from __future__ import annotations

import re

import pytest

from saltbranch.base.openmetrics import Gauge, text

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (-?[0-9.e+-]+)")
_META = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.+)")


def read(told: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What `told` says, by the grammar of the specification; each family is whole, and declared before its samples."""
    *lines, end, last = told.split("\n")
    assert (end, last) == ("# EOF", "")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    declared: list[tuple[str, str]] = []
    current = ""
    for line in lines:
        if meta := _META.fullmatch(line):
            kind, current, said = meta.groups()
            assert (kind, current) not in declared
            assert current not in found
            assert kind == "HELP" or said == "gauge"
            declared.append((kind, current))
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name == current and ("TYPE", name) in declared
        pairs = re.findall(r'([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"', labels or "")
        plain = {
            key: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], word)
            for key, word in pairs
        }
        assert (plain, float(value)) not in found.get(name, [])
        found.setdefault(name, []).append((plain, float(value)))
    return found


NASTY = ["", "a", 'say "x"', "back\\slash", "line\nend", "\\n", '\\"', "ü ☃", '{a="b"} 1', "tab\t"]


def test_labels_come_back_as_they_were() -> None:
    gauge = Gauge("some_info", "What it is.")
    for number, word in enumerate(NASTY):
        gauge.add(number, word=word, other="x")
    told = read(text([gauge]))
    assert told == {"some_info": [({"word": w, "other": "x"}, n) for n, w in enumerate(NASTY)]}


def test_what_is_no_utf8_is_replaced() -> None:
    gauge = Gauge("a", "A.")
    gauge.add(1, word="x\udcff")
    assert read(text([gauge]).encode().decode()) == {"a": [({"word": "x?"}, 1)]}


@pytest.mark.parametrize("value", [0, 1, 12, 1764438000.25, 1e20, True, False, -3])
def test_values(value: float) -> None:
    gauge = Gauge("a", "A.")
    gauge.add(value)
    gauge.add(None, word="not known")
    assert read(text([gauge])) == {"a": [({}, float(value))]}


def test_without_samples_there_is_no_family() -> None:
    assert text([Gauge("a", "A.")]) == "# EOF\n"


def test_both_parsers_of_prometheus_read_the_same() -> None:
    old = pytest.importorskip("prometheus_client.parser")
    new = pytest.importorskip("prometheus_client.openmetrics.parser")
    gauge, other = Gauge("some_info", "What it is."), Gauge("b_timestamp_seconds", "When.")
    for number, word in enumerate(NASTY):
        gauge.add(number, word=word)
    other.add(1764438000.25)
    told = text([gauge, other])
    for parser in (old, new):
        families = list(parser.text_string_to_metric_families(told))
        rows = [(s.name, s.labels, s.value) for f in families for s in f.samples]
        assert rows == [
            *(("some_info", {"word": w}, float(n)) for n, w in enumerate(NASTY)),
            ("b_timestamp_seconds", {}, 1764438000.25),
        ]
