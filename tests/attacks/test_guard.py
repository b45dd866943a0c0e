"""Switching the guard off: the policy, the state, the package and the shim, wherever they lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import replicante

if TYPE_CHECKING:
    from tests.conftest import Arena

ABSENT = "listing and lookups outside of the view"
READ_ONLY = "changes of what is shown read-only"
WIDE = "language 1\\n\\npolicy wide extends permissive {\\n}\\n"


def test_the_policy_of_the_repository(arena: Arena) -> None:
    policy = arena.workspace / ".policy"
    text = "language 1\n\npolicy narrow extends moderate {\n}\n"
    arena.write(policy, text)
    arena.attack(
        f"printf '{WIDE}' > .policy; printf '{WIDE}' > new; mv -f new .policy; rm -f .policy; true",
        effect=lambda _: not policy.exists() or policy.read_text() != text,
        restore=lambda: restore(arena, policy, text),
        unseen=READ_ONLY,
    )


def restore(arena: Arena, path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    arena.write(path, text)


def test_a_started_run_obeys_the_policy_that_it_started_with(arena: Arena) -> None:
    """The operator's policy file, which a link in the workspace leads to, stays as it was."""
    arena.write(arena.workspace / ".env", "token-77aa")
    text = "language 1\n\npolicy narrow extends moderate {\n}\n"
    arena.write(arena.workspace / "rules.txt", text)
    policy = arena.write(arena.base / "narrow.policy", text)
    (arena.workspace / "rules.policy").symlink_to(policy)
    inside = arena.inside(f"printf '{WIDE}' > rules.policy; cat .env", policy=str(policy))
    assert policy.read_text() == text
    assert "token-77aa" not in inside.out
    assert "read " + str(arena.workspace / ".env") in inside.denials


def test_the_state_of_the_product_in_the_workspace(arena: Arena) -> None:
    """Records and compiled policies are neither read nor changed, even where the workspace holds them."""
    if arena.account.uid == 0:
        pytest.skip("root's state has a fixed place outside of every workspace")
    arena.state = arena.own_directory(arena.workspace / "state")
    arena.inside("true")
    compiled = arena.state / "replicante" / "compiled"
    before = sorted(path.name for path in compiled.iterdir())
    assert before
    script = "cat state/replicante/compiled/*; touch state/replicante/compiled/forged; ls -R state/replicante"
    forged = compiled / "forged"
    arena.attack(
        script,
        effect=lambda done: forged.exists() or "baseline" in done.out or before[0] in done.out,
        restore=lambda: forged.unlink(missing_ok=True),
        seen="* */state/replicante*",
    )


def test_the_state_of_root(arena: Arena) -> None:
    if arena.account.uid != 0:
        pytest.skip("plainly nobody but root reads it")
    arena.inside("true")
    arena.attack("ls /var/lib/replicante", effect=lambda done: "runs" in done.out, unseen=ABSENT)


def test_the_package_in_an_environment_of_the_workspace(arena: Arena) -> None:
    """The interpreter that starts us lies in the workspace; what it loads next can't be changed."""
    prefix = arena.workspace / ".venv"
    # Made by us and given away: its interpreter is the one of the tests, which reaches the package.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (site,) = prefix.glob("lib/python3*/site-packages")
    (site / "reach.pth").write_text(
        "".join(
            f"{path}\n"
            for path in {str(Path(replicante.__path__[0]).parent), *sys.path}
            if os.path.isdir(path)
        )
    )
    for path in (prefix, *prefix.rglob("*")):
        arena.own(path)
    arena.python = str(prefix / "bin" / "python")
    evil = site / "evil.pth"
    arena.attack(
        f"echo 'import os' > {evil.relative_to(arena.workspace)}",
        effect=lambda _: evil.exists(),
        restore=lambda: evil.unlink(missing_ok=True),
        unseen=READ_ONLY,
    )


def test_the_shim_by_its_process(arena: Arena) -> None:
    """The shim is no process of the sandbox: neither its descriptors nor its files have a name inside."""
    inside = arena.inside("ls -l /proc/[0-9]*/fd; cat /proc/[0-9]*/maps; ls -l /proc/[0-9]*/exe")
    assert "journal" not in inside.out
    assert "replicante-shim" not in inside.out


def test_masks_can_not_be_taken_away(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", "token-77aa")
    inside = arena.inside("umount .env; umount -l .env; mount --move .env x; cat .env")
    assert "token-77aa" not in inside.out
    assert any(denial in {"syscall umount", "syscall umount2", "syscall mount"} for denial in inside.denials)
