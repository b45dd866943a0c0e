"""Names that the view does not show: in partial directories each attempt is refused and an event."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Arena, Done

TOKEN = "leak-77d0"  # noqa: S105 -- what must not come out
ELSEWHERE = "listing and lookups outside of the view"

# Each looks at a file of every Debian that no policy shows.
READINGS = {
    "plainly": "cat /etc/login.defs",
    "by dots": "cat /usr/../etc/login.defs",
    "by the root of a process": "cat /proc/self/root/etc/login.defs",
    "by a symbolic link": "ln -sf /etc/login.defs innocent && cat innocent",
    "from within": "cd /etc && cat login.defs",
    "by a handle": (
        'python3 -c \'import os; fd = os.open("/etc", os.O_PATH); '
        'print(open(os.open("login.defs", 0, dir_fd=fd)).read())\''
    ),
    "as a script": "sh -x /etc/login.defs 2>&1; cat /etc/login.defs",
}


@pytest.mark.parametrize("script", READINGS.values(), ids=READINGS.keys())
def test_a_setting_that_no_rule_shows(arena: Arena, script: str) -> None:
    arena.attack(script, effect=lambda done: "UID_MIN" in done.out, seen="read /etc/login.defs")


LOOKS = {
    "by listing": ("ls /etc", "read /etc"),
    "by stat": ("stat -c found-passwd /etc/login.defs", "read /etc/login.defs"),
    "by access": ("test -e /etc/login.defs && echo passwd", "read /etc/login.defs"),
    "by a link itself": ("find /etc/login.defs -maxdepth 0 -printf passwd", "read /etc/login.defs"),
    "by running it": ("/etc/init.d/procps 2>&1 | grep -i usage && echo passwd", "read /etc/init.d"),
    "by listing below": ("ls /var/lib | grep -q dpkg && ls /var/lib && echo passwd", "read /var/lib"),
    "where logs lie": ("ls /var/log && echo passwd", "read /var/log"),
    "where sockets lie": ("ls -d /run/lock && echo passwd", "read /run/lock"),
    "where sockets lie, by the old name": ("ls -d /var/run/lock && echo passwd", "read /run/lock"),
}


@pytest.mark.parametrize(("script", "seen"), LOOKS.values(), ids=LOOKS.keys())
def test_whether_a_name_exists(arena: Arena, script: str, seen: str) -> None:
    arena.attack(script, effect=lambda done: "passwd" in done.out, seen=seen)


def test_a_file_that_a_rule_closes_names_its_rule(arena: Arena) -> None:
    """Plainly only root reads it."""
    if arena.account.uid == 0:
        arena.attack("cat /etc/shadow", effect=lambda done: "root:" in done.out, seen="read /etc/shadow")
    for use in ("cat /etc/shadow", "/etc/shadow", "echo x >> /etc/shadow", "truncate -s 0 /etc/shadow"):
        done = arena.inside(use)
        assert "ermission denied" in done.err
        (denial,) = [denial for denial in done.report["denials"] if denial["resource"] == "/etc/shadow"]
        assert denial["rule"].startswith("baseline/")


def test_making_a_name_in_a_partial_directory(arena: Arena) -> None:
    for use in ("echo x > /etc/made-inside", "mkdir /etc/made-inside", "ln -s x /etc/made-inside"):
        done = arena.inside(use)
        assert "ermission denied" in done.err
        assert "read /etc/made-inside" in done.denials


def test_absence_is_told_once_a_second_and_nothing_hangs(arena: Arena) -> None:
    done = arena.inside("for i in $(seq 2000); do test -e /etc/none-$((i % 2)); done; echo through")
    assert "through" in done.out
    assert {"read /etc/none-0", "read /etc/none-1"} <= set(done.denials)


def test_names_that_programs_do_without_are_one_event(arena: Arena) -> None:
    done = arena.inside("cat /etc/ld.so.preload /etc/redhat-release /etc/selinux; true")
    assert done.denials == []
    (event,) = [event for event in arena.events(done.report["run"]) if event["k"] == "file.absent"]
    assert {"/etc/ld.so.preload", "/etc/redhat-release", "/etc/selinux"} <= set(event["resource"].split(", "))


def test_the_machines_own_scratch(arena: Arena) -> None:
    victim = Path(tempfile.mkdtemp(prefix="replicante-", dir="/var/tmp")) / "notes"
    arena.own(victim.parent)
    arena.write(victim, TOKEN)
    arena.attack(f"cat {victim}", effect=lambda done: TOKEN in done.out, unseen=ELSEWHERE)
    shutil.rmtree(victim.parent)


def test_settings_that_are_shown_are_as_ever(arena: Arena) -> None:
    done = arena.inside(
        "set -e; grep -q localhost /etc/hosts; ls /etc/ssl/certs > listed; test -s listed; "
        "readlink /etc/localtime > link || test -e /etc/localtime; ls -ld /etc /var /run; "
        "id -un; getent hosts localhost; echo x > /var/tmp/x; cat /var/tmp/x; touch done"
    )
    assert done.code == 0, done
    assert done.denials == []


OUTER = {
    "by listing": "ls /srv && echo found",
    "by stat": "stat -c 'found %Y' /srv",
    "by a link itself": "find /srv -maxdepth 0 -printf found",
    "by passing through": "ls -d /srv/. && echo found",
    "by entering": "cd /srv && echo found",
    "by a symbolic link": "ln -sfn /srv there && ls -d there/. && echo found",
}


@pytest.mark.parametrize("script", OUTER.values(), ids=OUTER.keys())
def test_a_directory_of_the_machine(arena: Arena, script: str) -> None:
    inside = arena.attack(script, effect=lambda done: "found" in done.out, seen="read /srv")
    assert {denial["rule"] for denial in inside.report["denials"]} == {"S1"}


def test_outer_names_are_told_whether_or_not_the_machine_has_them(arena: Arena) -> None:
    done = arena.inside("cat /boot/x /mnt/x /media/x /srv/x; true")
    assert {"read /boot", "read /mnt", "read /media", "read /srv"} <= set(done.denials)
    assert done.err.count("No such file") == 4


def test_a_name_at_the_root_that_a_rule_closes(arena: Arena) -> None:
    if os.geteuid() != 0:
        pytest.skip("the tests don't run as root")
    victim = Path(tempfile.mkdtemp(prefix="replicante-", dir="/"))
    arena.own(victim)
    arena.write(victim / "notes", TOKEN)
    policy = arena.policy(f'  filesystem {{ deny any "{victim}" as closed }}')
    inside = arena.attack(
        f"cat {victim}/notes", effect=lambda done: TOKEN in done.out, seen=f"read {victim}", policy=policy
    )
    assert {denial["rule"] for denial in inside.report["denials"]} == {"small/closed"}
    shutil.rmtree(victim)


HIDDEN = {
    "a file": "cat ~/.netrc",
    "a file in a directory": "cat ~/.config/gh",
    "a directory": "cat ~/.ssh/id_ed25519",
    "a file, made": f"echo {TOKEN} > ~/.npmrc; cat ~/.npmrc",
    "a directory, made": f"mkdir -p ~/.aws; echo {TOKEN} > ~/.aws/made; cat ~/.aws/made",
}


@pytest.mark.parametrize("script", HIDDEN.values(), ids=HIDDEN.keys())
def test_hidden_names_of_a_private_home(arena: Arena, script: str) -> None:
    home = arena.base / "home"
    for name in (".netrc", ".config/gh", ".ssh/id_ed25519"):
        arena.write(home / name, TOKEN)
    inside = arena.attack(script, effect=lambda done: TOKEN in done.out, seen="read */.*")
    assert {denial["rule"] for denial in inside.report["denials"]} == {"baseline/credentials"}


def test_a_hidden_directory_that_an_earlier_run_made(arena: Arena) -> None:
    arena.inside("touch ~/marker")
    state = Path("/var/lib") if arena.account.uid == 0 else arena.state
    newest = max(state.glob("replicante/homes/*/marker"), key=lambda path: path.stat().st_mtime)
    hidden = newest.parent / ".aws"
    hidden.unlink()
    arena.write(hidden / "credentials", TOKEN)
    done = arena.inside("cat ~/.aws/credentials; ls ~/.aws; true")
    assert TOKEN not in done.out + done.err
    assert "credentials" not in done.out
    assert {denial["rule"] for denial in done.report["denials"]} == {"baseline/credentials"}


def test_a_hidden_file_of_an_allowed_tree(arena: Arena) -> None:
    arena.write(arena.workspace / "plan.txt", TOKEN)
    policy = arena.policy('  filesystem { deny any "${workspace}/plan.txt" hidden as closed }')
    inside = arena.attack(
        "cat plan.txt", effect=lambda done: TOKEN in done.out, seen="read */plan.txt", policy=policy
    )
    assert "No such file" in inside.err


@pytest.fixture
def real_home(arena: Arena) -> Iterator[str]:
    """The owner's home, of which little is shown, for a user whose entry in `/etc/passwd` says so."""
    if os.geteuid() != 0:
        pytest.skip("the tests don't run as root")
    # Outside of `/tmp`, which is the sandbox's own.
    home = Path(tempfile.mkdtemp(prefix="replicante-home-", dir="/srv"))
    arena.own(home)
    (arena.base / "home").rmdir()
    (arena.base / "home").symlink_to(home)
    arena.write(home / "notes", TOKEN)
    arena.write(home / "shown" / "file", "to be read")
    arena.write(home / ".ssh" / "id_ed25519", TOKEN)
    arena.write(home / "closed" / "file", TOKEN)
    arena.write(home / "closed.txt", TOKEN)
    account = arena.account
    users = arena.write(
        arena.base / "passwd", f"{account.name}:x:{account.uid}:{account.gid}:them:{home}:/bin/sh\n"
    )
    script = 'mount --bind "$1" /etc/passwd; shift; exec "$@"'
    move = ("unshare", "-m", "sh", "-ec", script, "move", str(users))
    arena.account = replace(account, prefix=(*move, *account.prefix))
    yield arena.policy(
        """  override home real
  filesystem {
    allow read "${home}/shown/**" as shown
    deny any "${home}/closed", "${home}/closed.txt" as closed
  }"""
    )
    shutil.rmtree(home)


HOME = {
    "an unlisted file": ("cat ~/notes", "S1"),
    "a hidden store": ("cat ~/.ssh/id_ed25519", "baseline/credentials"),
    "a closed file": ("cat ~/closed.txt", "small/closed"),
    "a closed directory": ("cat ~/closed/file", "small/closed"),
    "a closed directory, listed": ("ls ~/closed && cat ~/closed/*", "small/closed"),
}


@pytest.mark.parametrize(("script", "rule"), HOME.values(), ids=HOME.keys())
def test_an_owners_home(arena: Arena, real_home: str, script: str, rule: str) -> None:
    def leaked(done: Done) -> bool:
        return TOKEN in done.out

    inside = arena.attack(script, effect=leaked, seen="read */replicante-home-*", policy=real_home)
    assert rule in {denial["rule"] for denial in inside.report["denials"]}
    shown = arena.inside("cat ~/shown/file; cd ~/shown && cat file", policy=real_home)
    assert shown.out == "to be readto be read"


def whole(arena: Arena, script: str, policy: str = "moderate") -> Done:
    done = arena.call(arena.inside_command(["sh", "-c", script], policy, "--visibility", "whole"))
    arena.spent.append(done.report["run"])
    return done


WHOLE = {
    "a directory that no list names": ("ls -d /lost+found && echo found", "read /lost+found"),
    "the root, listed": ("ls /", "read /"),
    "above the shown trees, listed": ("ls /sys/devices", "read /sys/devices"),
    "where tools lie": ("ls -d /usr/../var/spool && echo found", "read /var/spool"),
}


@pytest.mark.parametrize(("script", "seen"), WHOLE.values(), ids=WHOLE.keys())
def test_whole_visibility_sees_every_name(arena: Arena, script: str, seen: str) -> None:
    assert arena.plain(script).out
    done = whole(arena, script)
    assert done.out == ""
    assert seen in done.denials
    (elsewhere,) = [
        name for name in arena.ledger(done.report["run"])["invisible"] if name.startswith(ELSEWHERE)
    ]
    assert "where the sandbox has its own" in elsewhere
    assert "/tmp" in elsewhere


def test_whole_visibility_changes_nothing_else(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", TOKEN)
    done = whole(
        arena,
        "set -e; echo made > file; cat file; ls /usr/bin/env; echo x > /dev/null; ls /dev/shm; "
        "python3 -c 'import tempfile; tempfile.TemporaryFile()'; getent hosts localhost; "
        "touch ~/x /tmp/x /var/tmp/x; "
        "! touch /x; ! mkdir /dev/x; ! cat .env; ! ls /agent/masks; ! cat /etc/shadow; echo through",
    )
    assert "through" in done.out, done
    assert TOKEN not in done.out
    assert (arena.workspace / "file").read_text() == "made\n"
    assert {f"read {arena.workspace}/.env", "read /x", "read /etc/shadow"} <= set(done.denials)


# Over `/dev/fuse` an empty file that nobody may write, root neither.
CLOSED = """
set -e
touch "$1"; mount --bind "$1" /dev/fuse; mount -o remount,bind,ro /dev/fuse
shift; exec "$@"
"""


def test_without_fuse_the_same_is_refused_unseen(arena: Arena, real_home: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("the tests don't run as root")
    script = "cat /etc/login.defs ~/notes ~/closed.txt; ls -d /var/log /etc/init.d"
    close = ("unshare", "-m", "sh", "-c", CLOSED, "close", str(arena.base / "fuse"))
    done = arena.call([*close, *arena.inside_command(["sh", "-c", script], real_home)])
    run = done.report["run"]
    arena.spent.append(run)
    assert done.out == ""
    assert done.err.count("No such file") == 5
    assert done.denials == []
    assert ELSEWHERE in arena.ledger(run)["invisible"]
    asked = [*arena.inside_command(["true"], real_home, "--visibility", "whole")]
    refused = arena.call([*close, *asked])
    assert refused.code == 125
    assert "start without --visibility whole" in refused.err
