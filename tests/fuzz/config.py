"""The configuration: any text is a configuration that the daemon can use, or a ConfigError that says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgeseq.config import Config, NodeConfig, StreamConfig, parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.registry import nameable
from edgeseq.core.topics import filter_fault
from edgeseq.errors import ConfigError

BASE = Path("/nowhere")
ENVIRONMENT = {"HOME": "/nowhere"}
STREAM = '[[streams]]\ntopic="a/+"\nevery="10m"\n'
TOKENS = (
    *sorted(
        {f"{field.name}=" for table in (NodeConfig, StreamConfig) for field in msgspec.structs.fields(table)}
    ),
    *("[node]\n", "[mqtt]\n", "[journal]\n", "[bundles]\n", "[[streams]]\n", "[log]\n"),
    *(
        '"10m"',
        '"1h30m"',
        '"9999999d"',
        '"0s"',
        '"a/#"',
        '"+/b"',
        '"edgeseq/#"',
        '"last"',
        '"mean"',
        '"hold"',
    ),
    *(
        "true",
        "1e999",
        "-1",
        "nan",
        "0x7fffffffffffffff",
        "{ max = 1 }",
        '["a","b"]',
        "'''",
        "1979-05-27",
        "\\u0000",
    ),
)


def seeds() -> list[bytes]:
    """Give small configurations, each with another feature."""
    streams = (
        "",
        'fields=["t","h"]\nexclude=["a/b"]\non_gap="hold"\n',
        'field="v"\nseason="1d"\nhorizon="24h"\nunit="C"\naggregate="mean"\n',
        'time="ts"\nid="i"\nquality="q"\ngood=[1,"ok",true]\nmax_age="1h"\nsilent_after="1h"\n',
        'kind="counter"\nretained=true\nalerts=false\npath=false\n',
        'limits={min=1,max=2}\nbundle="b.edgeseq"\nestimate="e.edgeseq"\n',
        'bundle="b"\nknown={o={topic="w/o",field="h",time="t",value="v"}}\n',
    )
    channels = '[[streams]]\nname="p"\nevery="1s"\nchannels={f="a/f",v="a#x.y"}\nlimits={v={max=11}}\nunit={v="mm"}\n'
    tables = (
        '[node]\nname="n"\nclock="readings"\nmax_streams=5\nstate_dir="s"\n',
        '[mqtt]\nhost="h"\nport=1\nversion="3.1.1"\ntls=true\nca_file="c"\ntopic_prefix="e/f"\n',
        '[mqtt]\nusername="u"\npassword_file="p"\nsession_expiry="7d"\ninflight=9\nqos=0\n',
        '[journal]\ndurability="none"\nsnapshot_every="1h"\n[log]\nlevel="info"\n',
        '[bundles]\ntrusted_keys="k"\nallow_unsigned=true\nruntime="numpy"\nvariant="float32"\n',
    )
    texts = [STREAM + rest for rest in streams] + [channels, *(table + STREAM for table in tables)]
    return [text.encode() for text in texts]


def new() -> Callable[[bytes], None]:
    """Give the check; it remembers nothing."""
    return check


def check(data: bytes) -> None:
    """Read an input as a file's text; what is accepted can be subscribed to and its streams named."""
    try:
        resolved = resolve(parse_config(data.decode("utf-8", "replace")), BASE, environment=ENVIRONMENT)
    except ConfigError as refused:
        assert_told(refused, len(data))
        return
    assert isinstance(resolved.config, Config)
    assert [fault for f in resolved.filters if (fault := filter_fault(f))] == []
    assert all(rule.period_ns > 0 and rule.horizon > 0 for rule in resolved.rules)
    nameable(resolved.rules)


def assert_told(refused: ConfigError, size: int) -> None:
    """Look at an error: it says where, and is not much longer than the file."""
    assert refused.where
    assert len(str(refused)) < 4 * size + 4000
