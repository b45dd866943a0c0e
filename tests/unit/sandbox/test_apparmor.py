"""The profile for systems that let only named programs make user namespaces."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from replicante.sandbox.apparmor import load_command, profile, restricts
from replicante.sandbox.doctor import Guarantee, fix_command


@pytest.mark.parametrize(
    ("content", "restricted"), [("1\n", True), ("0\n", False), ("", False), (None, False)]
)
def test_the_setting_is_read(tmp_path: Path, content: str | None, restricted: bool) -> None:
    setting = tmp_path / "setting"
    if content is not None:
        setting.write_text(content)
    assert restricts(setting) is restricted


def test_a_path_in_the_profile_stands_for_itself() -> None:
    text = profile('/opt/a "b"/[x]*/replicante-shim')
    assert '"/opt/a \\"b\\"/\\[x\\]\\*/replicante-shim" flags=(unconfined)' in text
    assert "\n  userns,\n" in text


def test_the_command_writes_just_the_profile() -> None:
    words = shlex.split(load_command("/opt/it's/replicante-shim"))
    written = subprocess.run(words[: words.index("|")], capture_output=True, text=True, check=True).stdout
    assert written == profile("/opt/it's/replicante-shim")
    assert words[words.index("|") + 1 :][:3] == ["sudo", "tee", "/etc/apparmor.d/replicante-shim"]


def test_what_holds_needs_no_command() -> None:
    assert fix_command(Guarantee("fuse", "", "held", "", "")) is None
    assert fix_command(Guarantee("fuse", "", "weaker", "", "x")) == "sudo chmod 0666 /dev/fuse"
    assert fix_command(Guarantee("landlock", "", "not held", "", "x")) is None
