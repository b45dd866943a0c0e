"""Secrets stay outside: the agent holds a placeholder, and only requests to the named host have the value."""

from __future__ import annotations

import os
import re
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Children
    from tests.network.conftest import World

VALUE = "sk-ant-api03-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4-0"
POLICY = """
  network {
    allow connect "allowed.test" port 9443 inspect tls as api
    allow connect "v4only.test" port 9443 inspect tls as other
    allow connect "allowed.test" port 80 protocol http as plain
  }
  environment { secret API_KEY from file "FILE" for "allowed.test" }
"""
CURL = "curl -sS --max-time 20"


@pytest.fixture
def api(world: World, children: Children) -> None:
    """Starts the API in the world outside."""
    program = str(Path(__file__).with_name("api.py"))
    certificate = str(world.authority.with_name("server.pem"))
    command = ["ip", "netns", "exec", world.outside, sys.executable, program, str(world.log), certificate]
    child = children.start(command)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"


@pytest.fixture
def policy(net: Arena) -> str:
    """A policy whose secret lies in a file of the user."""
    file = net.write(net.outside / "key", VALUE + "\n")
    file.chmod(0o600)
    return net.policy(POLICY.replace("FILE", str(file)))


def everything_of(net: Arena, run: str) -> str:
    """What is on record of a run."""
    return "".join(str(event) for event in net.events(run))


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("header", "got"),
    [
        ('-H "Authorization: Bearer $API_KEY"', f"Bearer {VALUE}"),
        ('-H "x-api-key: $API_KEY"', VALUE),
        ('-u "me:$API_KEY"', None),
    ],
)
def test_the_value_goes_to_its_host_and_does_not_come_back(
    net: Arena, world: World, policy: str, header: str, got: str | None
) -> None:
    script = f'echo "$API_KEY"; {CURL} -i {header} https://allowed.test:9443/v1/x'
    done = net.inside(script, policy=policy)
    (line,) = world.heard("api")
    if got is not None:
        assert line["key"] == got
    else:
        assert b64decode(line["key"].removeprefix("Basic ")) == b"me:" + VALUE.encode()
    assert line["encoding"] == "identity"
    placeholder = done.out.split("\n")[0]
    assert re.fullmatch(r"sk-ant-api03-[A-Za-z0-9]+", placeholder)
    assert len(placeholder) == len(VALUE)
    assert VALUE not in done.out
    if got is not None:
        assert done.out.count(placeholder) == 3
    assert VALUE not in everything_of(net, done.report["run"])


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("path", ["phrase", "bytes", "name"])
def test_no_part_of_an_answer_has_the_value(net: Arena, world: World, policy: str, path: str) -> None:
    """Not the phrase beside the status, nor a header with bytes that are no text, nor a header's name."""
    script = f'{CURL} -i -H "Authorization: $API_KEY" https://allowed.test:9443/{path}'
    done = net.inside(script, policy=policy)
    assert world.heard("api", path=f"/{path}", key=VALUE)
    assert "200 " in done.out
    assert VALUE.lower() not in done.out.lower()


@pytest.mark.usefixtures("api")
def test_encoded_credentials_do_not_come_back(net: Arena, world: World, policy: str) -> None:
    done = net.inside(f'{CURL} -i -u "me:$API_KEY" https://allowed.test:9443/v1/x', policy=policy)
    (line,) = world.heard("api")
    credentials = line["key"].removeprefix("Basic ")
    assert b64decode(credentials) == b"me:" + VALUE.encode()
    assert credentials not in done.out


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    "request_",
    [
        '-H "Authorization: Bearer $API_KEY" https://v4only.test:9443/v1/x',
        '-H "Authorization: Bearer $API_KEY" http://allowed.test/v1/x',
        '"https://allowed.test:9443/v1/x?key=$API_KEY"',
    ],
)
def test_the_placeholder_elsewhere_is_refused(net: Arena, world: World, policy: str, request_: str) -> None:
    done = net.inside(f"{CURL} {request_}", policy=policy)
    assert not world.heard("api")
    assert not world.heard("http")
    (denial,) = done.report["denials"]
    assert denial["rule"] == "small/secret.API_KEY"
    assert "the placeholder of API_KEY" in done.out


@pytest.mark.usefixtures("api")
def test_an_encoded_answer_is_no_way_around(net: Arena, world: World, policy: str) -> None:
    script = f'{CURL} -w "%{{http_code}}" -H "Authorization: $API_KEY" https://allowed.test:9443/gzip'
    done = net.inside(script, policy=policy)
    assert done.out.endswith("502"), done
    assert world.heard("api", path="/gzip")


def test_the_value_is_nowhere_inside(net: Arena, policy: str) -> None:
    """Not in the environment of any process, nor in a file that is shown."""
    script = "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; grep -r ZFoo . /tmp; true"
    done = net.inside(script, policy=policy)
    assert "API_KEY=sk-ant-api03-" in done.out
    assert VALUE not in done.out


def test_a_secret_that_is_not_there(net: Arena) -> None:
    body = POLICY.replace("FILE", str(net.outside / "none"))
    done = net.inside('echo "[$API_KEY]"', policy=net.policy(body))
    assert done.out == "[]\n"
    assert "replicante: the secret API_KEY is not set: " in done.err
    assert "none" in done.err


@pytest.mark.parametrize("kind", ["link", "fifo", "garbage"])
def test_a_source_that_is_none(net: Arena, kind: str) -> None:
    path = net.outside / "key"
    if kind == "link":
        net.write(net.outside / "real", VALUE)
        path.symlink_to(net.outside / "real")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        net.write(path, "two\nlines")
    net.own(path)
    policy = net.policy(POLICY.replace("FILE", str(path)))
    if kind == "garbage":
        done = net.call(net.inside_command(["true"], policy))
        assert done.code == 125
        assert "can't stand in a header" in done.err
    else:
        assert net.inside('echo "[$API_KEY]"', policy=policy).out == "[]\n"
