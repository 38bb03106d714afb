"""What docs/decoders.md and docs/extend.md say of decoders is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgeseq.config import StreamConfig, parse_config
from edgeseq.config.docstrings import field_docs
from edgeseq.config.resolve import resolve
from edgeseq.core import decoders, pipeline
from edgeseq.core.decoders.family import Family
from edgeseq.core.types import Message, Options, Reason, StreamRule

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "decoders.md").read_text(encoding="utf-8")
EXTEND = (DOCS / "extend.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_example_is_a_configuration(block: str) -> None:
    """Each example works as it stands."""
    resolved = resolve(parse_config(block), DOCS, environment={"HOME": "nowhere"})
    assert len(resolved.rules) == block.count("[[streams]]")


def test_page_has_a_row_and_an_example_of_every_decoder() -> None:
    """No decoder is left out, and none is told of that there is not; the configuration's key names them, too."""
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) - {reason.value for reason in Reason}
    assert rows == set(decoders.FAMILIES)
    assert {
        name for block in BLOCKS for name in re.findall(r'^decoder = "(\w+)"', block, re.MULTILINE)
    } == rows
    assert all(re.search(rf"\b{name}\b", field_docs(StreamConfig)["decoder"]) for name in rows)


def test_page_names_the_default_topics() -> None:
    """The column of topics begins with what is subscribed where a table names none."""
    for name, family in decoders.FAMILIES.items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
        told = re.findall(r"`([^`]+)`", row)
        assert set(told) <= set(family.topics), name
        assert told


def test_decoder_of_the_extend_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the example, with the line that it asks for, decodes what its text says."""
    (code,) = re.findall(r"```python\n(.*?)```", EXTEND, re.DOTALL)
    module = ModuleType("sensorhub")
    exec(compile(code, "sensorhub.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "edgeseq.core.decoders.sensorhub", module)
    monkeypatch.setattr(decoders.FAMILIES, "names", (*decoders.NAMES, "sensorhub"))
    family: Family = decoders.FAMILIES["sensorhub"]
    rule = StreamRule("hub", 10**9, topics=family.topics, decoder=family.name)
    state = pipeline.new_state((rule,), {}, Options())
    payloads = (b"temp=21.5;hum=40;rssi=-60", b"temp=-;hum=41", b"temp=warm", b"\xff")
    batch = pipeline.accept(state, [Message("hub/attic/data", payload, 10**18) for payload in payloads])
    assert [(info.field, info.unit) for info in state.registry.infos] == [("temp", "°C"), ("hum", "%")]
    assert str(batch.readings.value.tolist()) == "[21.5, 40.0, nan, 41.0]"
    assert [r.reason for r in batch.rejections] == [Reason.MALFORMED, Reason.BAD_UTF8]
