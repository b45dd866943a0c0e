"""The options of `replicante run`: one table for parsing, `--help` and completion.

By hand, because an option parser costs more to import than the whole start of a sandbox may take.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class UsageError(Exception):
    """The command line can't be understood; the text says why."""


class Option:
    """One option of `run`.

    Attributes:
        name: with its two hyphens.
        metavar: what stands after it; empty for a switch.
        repeated: whether it may stand several times.
        help: one line.
        values: what may stand after it; empty for anything.
    """

    __slots__ = ("help", "metavar", "name", "repeated", "values")

    def __init__(
        self, name: str, metavar: str, help: str, *, repeated: bool = False, values: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.values = values
        self.repeated = repeated


OPTIONS = (
    Option("--policy", "POLICY", "a policy that ships (NAME), or FILE, or FILE:NAME"),
    Option(
        "--workspace", "DIR", "the directory to work on; default: the repository's top, else the current one"
    ),
    Option("--set", "NAME=VALUE", "the value of a policy variable", repeated=True),
    Option(
        "--visibility",
        "WHERE",
        "`whole`: every refused name is an event, and absolute paths cost more; default: `usual`",
        values=("usual", "whole"),
    ),
    Option("--explain", "", "say each denial at once, with its rule"),
    Option("--no-weaker", "", "refuse every stand-in, whatever the policy accepts"),
    Option("--plan", "", "print what would be set up, as JSON, and run nothing"),
    Option("--json", "", "the report at the end as one JSON object on standard error"),
    Option("--help", "", "show this text"),
)

USAGE = "replicante run [OPTIONS] [--] COMMAND [ARGUMENTS]..."
SUMMARY = "Run a program in a sandbox, under a policy."

_EXAMPLES = """\
Examples:
  replicante run -- python3 script.py
  replicante run --policy strict -- ls -la
  replicante run --policy coding-agent --workspace ~/src/app -- claude
  replicante run --policy ./agent.policy --explain -- make test
  replicante run --plan -- make test

Without --policy the repository's `.policy` or `replicante.policy` is used, else the operator's
default, else `moderate`. The exit code is the program's own, 128+n for a signal; 122 policy
refused, 123 consent needed, 124 time limit, 125 not set up, 126 may not be executed,
127 not found.
"""


class Parsed:
    """A command line of `run`, understood.

    Attributes:
        values: option name without hyphens -> value, for options that take one.
        switches: names without hyphens of the switches that were given.
        settings: name -> value of each `--set`.
        command: the program and its arguments.
    """

    __slots__ = ("command", "settings", "switches", "values")

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.switches: set[str] = set()
        self.settings: dict[str, str] = {}
        self.command: list[str] = []


def parse(arguments: Sequence[str]) -> Parsed:
    """Reads options up to `--` or the first word that is none; the rest is the command.

    Raises:
        UsageError: for an unknown option, a missing or a second value.
    """
    parsed = Parsed()
    known = {option.name: option for option in OPTIONS}
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word == "--":
            rest.pop(0)
            break
        if not word.startswith("-") or word == "-":
            break
        rest.pop(0)
        name, equals, value = word.partition("=")
        if name == "-h":
            name = "--help"
        option = known.get(name)
        if option is None:
            raise UsageError(f"there is no option `{name}`; `replicante run --help` lists them")
        if not option.metavar:
            if equals:
                raise UsageError(f"`{name}` takes no value")
            parsed.switches.add(name[2:])
            continue
        if not equals:
            if not rest or rest[0] == "--":
                raise UsageError(f"`{name}` needs {option.metavar} after it")
            value = rest.pop(0)
        _take(parsed, option, value)
    parsed.command = rest
    return parsed


def _take(parsed: Parsed, option: Option, value: str) -> None:
    key = option.name[2:]
    if option.values and value not in option.values:
        raise UsageError(f"`{option.name}` takes {' or '.join(option.values)}, not `{value}`")
    if not option.repeated:
        if key in parsed.values:
            raise UsageError(f"`{option.name}` is given twice")
        parsed.values[key] = value
        return
    name, equals, text = value.partition("=")
    if not equals:
        raise UsageError(f"`{option.name}` takes {option.metavar}, not `{value}`")
    if name in parsed.settings:
        raise UsageError(f"`{option.name} {name}=…` is given twice")
    parsed.settings[name] = text


def help_text() -> str:
    """What `replicante run --help` prints."""
    rows = [(f"{option.name} {option.metavar}".rstrip(), option.help) for option in OPTIONS]
    width = max(len(left) for left, _ in rows)
    lines = "\n".join(f"  {left:<{width}}  {right}" for left, right in rows)
    return f"Usage: {USAGE}\n\n{SUMMARY}\n\nOptions:\n{lines}\n\n{_EXAMPLES}"
