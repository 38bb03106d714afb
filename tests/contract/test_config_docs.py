"""Every key of the configuration is documented, and the documentation is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from edgeseq import config
from edgeseq.commands.config import config as config_command
from edgeseq.config import Config, parse_config
from edgeseq.config.docstrings import field_docs
from edgeseq.config.resolve import resolve
from edgeseq.config.sample import SAMPLE, sample

TABLES = [
    struct
    for struct in vars(config).values()
    if isinstance(struct, type)
    and issubclass(struct, msgspec.Struct)
    and struct.__module__.startswith(f"{config.__name__}.")
    if msgspec.structs.fields(struct)
]
KEYS = [(table, field.name) for table in TABLES for field in msgspec.structs.fields(table)]


def test_tables_are_all_found() -> None:
    """The tables under test are those of the file."""
    assert {table.__name__ for table in TABLES} == {
        "NodeConfig", "MqttConfig", "BundlesConfig", "JournalConfig", "LogConfig", "MetricsConfig", "ChannelConfig",
        "KnownConfig",
        "StreamConfig", "MaintenanceConfig", "HomeAssistantConfig", "Config",
    }  # fmt: skip


@pytest.mark.parametrize(("table", "key"), KEYS, ids=[f"{t.__name__}.{k}" for t, k in KEYS])
def test_key_has_a_sentence(table: type[msgspec.Struct], key: str) -> None:
    """Each key is explained by a sentence; a key without a value by default says what happens then."""
    doc = field_docs(table).get(key, "")
    assert re.fullmatch(r"\S.*[.}]", doc, re.DOTALL), f"{key}: {doc!r}"
    field: Any = next(f for f in msgspec.structs.fields(table) if f.name == key)
    if (
        not field.required
        and field.default is None
        and key not in ("topic", "quality", "cert_file", "key_file")
    ):
        assert "Default:" in doc or "found by itself" in doc or "none" in doc, f"{key}: {doc!r}"


def test_sample_explains_every_key() -> None:
    """The sample holds each key of each table with its sentence, and works as it stands."""
    printed = CliRunner().invoke(config_command, ["show", "--defaults"], catch_exceptions=False).output
    assert printed == sample()
    for table, key in KEYS:
        if table.__name__ in ("Config", "ChannelConfig", "KnownConfig"):
            continue
        assert re.search(rf"^#?{key} = ", printed, re.MULTILINE), key
        assert field_docs(table)[key].split("\n")[0][:60] in printed
    assert resolve(parse_config(printed), Path("/etc/edgeseq")).rules


def test_sample_names_all_choices_of_a_setting() -> None:
    """Where a setting has a closed set of values, the comment above it lists them all."""
    explained = {}
    comment = ""
    for line in sample().splitlines():
        if line.startswith("# "):
            comment += f" {line[2:]}"
            continue
        explained[line.lstrip("#").partition(" = ")[0]] = comment
        comment = ""
    assert 'One of "wall" | "readings".' in explained["clock"]
    assert "One of 0 | 1." in explained["qos"]
    closed = {
        f.name: f.type for table in TABLES for f in msgspec.structs.fields(table) if "Literal" in str(f.type)
    }
    assert len(closed) >= 9
    for key, hint in closed.items():
        values = [*re.findall(r"'([^']+)'", str(hint)), *re.findall(r"\b\d\b(?=[,\]])", str(hint))]
        assert values
        assert all(value in explained[key].partition("One of ")[2] for value in values), key


def test_sample_with_defaults_uncommented_means_the_same() -> None:
    """The values shown as defaults are the defaults."""
    shown = re.sub(r"^#(\w+ = (?!…))", r"\1", sample(), flags=re.MULTILINE)
    assert shown != sample()
    assert parse_config(shown) == SAMPLE == parse_config(sample())
    assert parse_config("") == Config()
