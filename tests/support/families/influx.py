"""A household of influx line protocol."""

from __future__ import annotations

from edgeseq.core.types import Reason
from tests.support.families.household import EVERY_NS, Household, Sample, level, nothing, refused


def _influx_at(step: int, time_ns: int) -> list[Sample]:
    earlier_ns = time_ns - EVERY_NS // 2
    lines = [
        f"cpu,host=gateway,cpu=cpu-total usage_idle={level(step, 91.2)},usage_user={level(step, 5.1)} {earlier_ns}",
        f"cpu,cpu=cpu-total,host=gateway usage_idle={level(step, 91.0)},usage_user={level(step, 5.3)} {time_ns}",
        f'system,host=gateway load1={level(step, 0.4, 0.1)},n_users=2i,uptime_format="3 days, 4:11" {time_ns}',
        rf'disk,host=gateway,path=/data\ 1 used={3_100_000 + step}u,ok=t,label="a \"b\", c=1" {time_ns}',
    ]
    return [Sample("telegraf/gateway/metrics", "\n".join(lines).encode() + b"\n")]


_CPU, _SYSTEM, _DISK = (
    "cpu,cpu=cpu-total,host=gateway",
    "system,host=gateway",
    r"disk,host=gateway,path=/data\ 1",
)
_T = "telegraf/gateway/metrics"

INFLUX = Household(
    decoder="influx",
    topics=("telegraf/#",),
    start=nothing,
    at=_influx_at,
    streams=frozenset(
        {
            *((_T, f"{_CPU} {name}") for name in ("usage_idle", "usage_user")),
            *((_T, f"{_SYSTEM} {name}") for name in ("load1", "n_users")),
            (_T, f"{_DISK} used"),
        }
    ),
    malformed=(
        *refused(
            _T,
            {
                b"cpu usage_idle": Reason.MALFORMED,
                b"cpu,host=a usage_idle=hot 1772359200000000000": Reason.MALFORMED,
                b"cpu usage_idle=1 soon": Reason.BAD_TIME,
                b'cpu text="open 1772359200000000000': Reason.MALFORMED,
                b"cpu usage_idle=1e999": Reason.NOT_FINITE,
                b"cpu usage_idle=\xff": Reason.BAD_UTF8,
                b"": Reason.MALFORMED,
            },
        ),
    ),
)
