"""Laws of who may see the dashboard: names and origins of ours alone, a token where others can reach it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from edgeseq.commands.dashboard import dashboard
from edgeseq.dashboard.security import COOKIE, Guard, guard_for, is_ours, read_token, refusal
from edgeseq.errors import ConfigError

TOKEN = "0123456789abcdef"
HERE = "127.0.0.1:8460"


def status(guard: Guard, method: str = "GET", path: str = "/events", **headers: str) -> int | None:
    """Give the status with which a request is refused, or None."""
    given = {name.replace("_", "-"): value for name, value in {"host": HERE, **headers}.items()}
    refused = refusal(guard, method, path, Headers(given))
    return refused.status_code if refused else None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8460", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5", "",
     "127.0.0.1@evil.example", "evil.example@127.0.0.1", "localhost/", "localhost:x", "[::1", "0.0.0.0"],
)  # fmt: skip
def test_foreign_host_is_refused(host: str) -> None:
    """A name that was made to lead to this machine is not one of ours."""
    assert status(Guard(), host=host) == 403
    assert status(Guard(), "POST", "/api/acknowledge", host=host, origin=f"http://{host}") == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1:8460", "[::1]:8460", "LOCALHOST"])
def test_own_host_is_let_in(host: str) -> None:
    """The names of this machine are, at any port: a tunnel may lead here."""
    assert status(Guard(), host=host) is None


def test_address_is_let_in_only_where_the_dashboard_listens_beyond_this_machine() -> None:
    """No foreign page has an address as its origin; a name must be given."""
    guard = guard_for("0.0.0.0", ["Dash.Example"], TOKEN)
    assert [is_ours(guard, host) for host in ("10.0.0.5:8460", "[fe80::1]", "dash.example", "evil.example")] == [
        True, True, True, False,
    ]  # fmt: skip


@given(st.text(max_size=30))
def test_host_header_never_raises(host: str) -> None:
    """Whatever stands in a Host header is judged."""
    is_ours(Guard(), host)
    is_ours(Guard(any_address=True), host)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8460.evil.example", ""],
)
def test_foreign_origin_is_refused(origin: str) -> None:
    """What another page asks for is refused, be it only to read."""
    for method, path in (("POST", "/api/acknowledge"), ("GET", "/events"), ("POST", "/login")):
        assert status(Guard(token=TOKEN), method, path, origin=origin) == 403


def test_request_that_changes_something_must_say_its_origin() -> None:
    """Browsers always say it; a script shows the token instead."""
    post = ("POST", "/api/acknowledge")
    assert status(Guard(), *post) == 403
    assert status(Guard(), *post, origin=f"http://{HERE}") is None
    assert status(Guard(), *post, origin=f"https://{HERE}") is None
    guard = Guard(token=TOKEN)
    assert status(guard, *post, authorization=f"Bearer {TOKEN}") is None
    assert status(guard, *post, authorization="Bearer nothing-of-the-kind") == 401


def test_other_sites_may_link_here_but_not_load() -> None:
    """A link of another site leads here; a script, picture or frame of it does not."""
    assert status(Guard(), path="/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None
    for site in ("cross-site", "same-site"):
        assert status(Guard(), path="/api/series", sec_fetch_site=site, sec_fetch_mode="no-cors") == 403


def test_token_is_needed_for_all_that_is_of_the_node() -> None:
    """Without it there are the login and its style alone."""
    guard = Guard(token=TOKEN)
    for path in ("/events", "/api/series", "/api/acknowledge", "/nothing", "/loginx", "/static"):
        assert status(guard, path=path) == 401
    assert (status(guard, path="/"), status(guard, path="/login")) == (303, None)
    assert status(guard, cookie=f"{COOKIE}={guard.pass_()}") is None
    for cookie in (TOKEN, "", "é", Guard(token=TOKEN).pass_()):
        assert status(guard, cookie=f"{COOKIE}={cookie}") == 401


@pytest.mark.parametrize("arguments", [("0.0.0.0", [], None), ("127.0.0.1", ["dash.example"], None)])
def test_others_can_reach_it_only_with_a_token(arguments: tuple[str, list[str], None]) -> None:
    """Listening beyond this machine, or under another name, demands a token and says how to give one."""
    with pytest.raises(ConfigError, match="others can reach") as caught:
        guard_for(*arguments)
    assert "--token-file" in str(caught.value)
    assert guard_for(arguments[0], arguments[1], TOKEN).token == TOKEN


def test_token_file_that_cannot_serve_is_a_clear_error(tmp_path: Path) -> None:
    """A short token and a missing file say where, and what to do."""
    short = tmp_path / "token"
    short.write_text("abc\n")
    with pytest.raises(ConfigError, match="too short") as caught:
        read_token(short)
    assert "abc" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(tmp_path / "none")
    short.write_text(f"{TOKEN}\n")
    assert read_token(short) == TOKEN


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", "evil.example:80", "127.0.0.1:x", "127.0.0.1:99999", ":8460", ""]
)
def test_listening_address_that_is_none_is_wrong_usage(listen: str) -> None:
    """The address is one with a port, so that it is plain who can reach it."""
    run = CliRunner().invoke(dashboard, ["--listen", listen])
    assert run.exit_code == 2
    assert "127.0.0.1:8460" in run.output
