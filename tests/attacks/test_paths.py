"""Files that no rule shows, and files that a rule closes: read and written under every name they can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Done

TOKEN = "leak-5f2c"  # noqa: S105 -- what must not come out
ABSENT = "listing and lookups outside of the view"
READ_ENV = "read */ws/.env"


def leaked(done: Done) -> bool:
    return TOKEN in done.out


# Each prints the workspace's `.env`, which `baseline/secret-files` closes.
SPELLINGS = {
    "plainly": "cat .env",
    "by dots": "mkdir -p a/b && cat a/b/../../.env",
    "by the root of a process": 'cat "/proc/self/root$PWD/.env"',
    "by the working directory of a process": "cat /proc/self/cwd/.env",
    "by a symbolic link": "ln -sf .env innocent && cat innocent",
    "by a link to the directory": 'ln -sfn "$PWD" here && cat here/.env',
    "by a link of /proc": "exec 5<. && cat /proc/self/fd/5/.env",
    "by a copy": "cp .env copied && cat copied",
    "by an archive": "tar cf - .env | tar xOf -",
    "by mapping it": "python3 -c 'import mmap; f = open(\".env\"); print(mmap.mmap(f.fileno(), 0, 1, 1)[:])'",
    "by sendfile": "python3 -c 'import os; os.sendfile(1, os.open(\".env\", 0), 0, 99)'",
    "by reopening a handle": (
        'python3 -c \'import os; fd = os.open(".env", os.O_PATH); print(open(f"/proc/self/fd/{fd}").read())\''
    ),
    "as a script": 'sh -c ". ./.env; echo $LEAK"',
}


@pytest.mark.parametrize("script", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_secret_of_the_workspace(arena: Arena, script: str) -> None:
    arena.write(arena.workspace / ".env", f"LEAK={TOKEN}\nexport LEAK\necho $LEAK\n")
    arena.attack(script, effect=leaked, seen=READ_ENV)


def test_a_secret_by_a_link_made_before(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", TOKEN)
    (arena.workspace / "innocent").symlink_to(arena.workspace / ".env")
    arena.attack("cat innocent", effect=leaked, seen=READ_ENV)


def test_a_secret_by_a_hard_link(arena: Arena) -> None:
    arena.write(arena.workspace / ".env", TOKEN)
    name = arena.workspace / "innocent"
    arena.attack(
        "ln .env innocent; cat innocent; cat .env",
        effect=leaked,
        restore=lambda: name.unlink(missing_ok=True),
        seen=READ_ENV,
    )


def test_a_secret_moved_out_of_its_rule(arena: Arena) -> None:
    victim = arena.write(arena.workspace / ".env", TOKEN)
    moved = arena.workspace / "free"

    def restore() -> None:
        if moved.exists():
            moved.replace(victim)

    arena.attack("mv .env free; cat free || cat .env", effect=leaked, restore=restore, seen=READ_ENV)


def test_a_secret_in_a_directory_that_is_moved(arena: Arena) -> None:
    arena.write(arena.workspace / "app" / ".env", TOKEN)
    moved = arena.workspace / "free"

    def restore() -> None:
        if moved.exists():
            moved.rename(arena.workspace / "app")

    script = "mv app free; cat free/.env || cat app/.env"
    arena.attack(script, effect=leaked, restore=restore, seen="read */.env")


def test_a_file_beside_the_workspace(arena: Arena) -> None:
    victim = arena.write(arena.outside / "notes", TOKEN)
    arena.attack(f"cat {victim}", effect=leaked, unseen=ABSENT)


def test_a_file_beside_the_workspace_by_dots(arena: Arena) -> None:
    arena.write(arena.outside / "notes", TOKEN)
    arena.attack("cat ../outside/notes", effect=leaked, unseen=ABSENT)


def test_a_link_that_leads_out(arena: Arena) -> None:
    victim = arena.write(arena.outside / "notes", TOKEN)
    (arena.workspace / "notes").symlink_to(victim)
    arena.attack("cat notes", effect=leaked, unseen=ABSENT)


def test_the_names_beside_the_workspace(arena: Arena) -> None:
    arena.write(arena.outside / TOKEN, "")
    arena.attack("ls ../outside; ls ..", effect=leaked, unseen=ABSENT)


def test_the_root_directory_behind_the_view(arena: Arena) -> None:
    victim = arena.write(arena.outside / "notes", TOKEN)
    for root in ("/proc/1/root", "/proc/1/cwd", "/proc/self/task/$$/root", "/.."):
        # The first process is another user's: plainly only root sees through it.
        if root.startswith("/proc/1/") and arena.account.uid != 0:
            continue
        way = f"{root}{victim}" if not root.endswith("cwd") else f"{root}/{victim.relative_to('/')}"
        arena.attack(f"cat {way} || cat {victim}", effect=leaked, unseen=ABSENT)


def test_a_write_outside_the_workspace(arena: Arena) -> None:
    victim = arena.write(arena.outside / "notes", "kept")
    arena.attack(
        f"echo lost > {victim}",
        effect=lambda _: victim.read_text() != "kept",
        restore=lambda: void(victim.write_text("kept")),
        unseen=ABSENT,
    )


def test_a_write_through_a_dangling_link(arena: Arena) -> None:
    target = arena.outside / "made"
    (arena.workspace / "dangling").symlink_to(target)
    arena.attack(
        "echo x > dangling",
        effect=lambda _: target.exists(),
        restore=lambda: target.unlink(missing_ok=True),
        unseen=ABSENT,
    )


def test_a_write_in_place_of_a_tool(arena: Arena) -> None:
    """What the sandbox shows as `/tmp` and home is its own: nothing lands on the machine."""
    victim = arena.base / "home" / ".bashrc"
    arena.attack(
        f"echo evil > {victim}",
        effect=lambda _: victim.exists(),
        restore=lambda: victim.unlink(missing_ok=True),
        unseen=ABSENT,
    )


def test_a_directory_renamed_out(arena: Arena) -> None:
    inner = arena.workspace / "inner"
    arena.write(inner / "file", "x")
    moved = arena.outside / "inner"

    def restore() -> None:
        if moved.exists():
            moved.rename(inner)

    arena.attack(f"mv inner {moved}", effect=lambda _: moved.exists(), restore=restore, unseen=ABSENT)


def test_deleting_the_workspace_itself(arena: Arena) -> None:
    elsewhere = arena.base / "gone"

    def restore() -> None:
        if elsewhere.exists():
            elsewhere.rename(arena.workspace)

    arena.attack(
        f"mv {arena.workspace} {elsewhere}",
        effect=lambda _: elsewhere.exists(),
        restore=restore,
        unseen=ABSENT,
    )


def void(_: object) -> None:
    """Takes a result that nobody needs."""
