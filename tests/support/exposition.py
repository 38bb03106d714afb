"""A strict reader of what scrapers read: it refuses what Prometheus 0.0.4 and OpenMetrics 1.0 forbid."""

from __future__ import annotations

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABEL})(?:,{_LABEL})*)\}})? (\S+)")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN")
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
    "gauge": ("",),
}

Samples = dict[tuple[str, tuple[str, ...]], float]
"""Name, labels as written → value."""


def parse(text: str, *, is_openmetrics: bool = False) -> Samples:
    """Read an exposition. Raises AssertionError for whatever the formats forbid."""
    assert text.endswith("# EOF\n" if is_openmetrics else "\n")
    # Lines end at line feeds alone: other separators may stand in a label.
    lines = text.split("\n")[: -2 if is_openmetrics else -1]
    types: dict[str, str] = {}
    helped: set[str] = set()
    samples: Samples = {}
    family = ""
    for line in lines:
        if line.startswith("# "):
            _, word, family, rest = line.split(" ", 3)
            assert re.fullmatch(_NAME, family), line
            if word == "HELP":
                assert family not in helped, f"{family} is described twice"
                helped.add(family)
            else:
                assert word == "TYPE", line
                assert family not in types, f"the samples of {family} do not stand together"
                assert rest in _SUFFIXES, line
                types[family] = rest
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, f"no sample: {line!r}"
        name, labels, value = found[1], tuple(re.findall(_LABEL, found[2] or "")), found[3]
        kind = types[family]
        suffixes = _SUFFIXES[kind] if is_openmetrics or kind == "histogram" else ("",)
        assert name in [family + suffix for suffix in suffixes], f"{name} stands below {family}"
        assert _NUMBER.fullmatch(value), line
        names = [label.partition("=")[0] for label in labels]
        assert len(set(names)) == len(names), f"a label twice: {line}"
        assert (name, labels) not in samples, f"twice: {line}"
        if kind == "counter":
            assert float(value) >= 0, line
        samples[name, labels] = float(value)
    assert helped == types.keys()
    _check_histograms(samples, [name for name, kind in types.items() if kind == "histogram"])
    return samples


def _check_histograms(samples: Samples, names: list[str]) -> None:
    """Demand rising buckets that end in +Inf, which is the count."""
    for name in names:
        buckets = [
            (labels[-1], value) for (found, labels), value in samples.items() if found == f"{name}_bucket"
        ]
        assert buckets[-1][0] == 'le="+Inf"', name
        counts = [value for _, value in buckets]
        assert counts == sorted(counts), name
        assert counts[-1] == samples[f"{name}_count", ()], name
