r"""Variables and their values (T6): a string as written becomes its bound and its symbolic form.

Symbolic text keeps `${name}`; a literal dollar sign in it is written `\$`, and in plain text a backslash
`\\`, so that the core puts the values of a run in its places alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from replicante._core import contains_home, variable_problem

from . import ast
from .checks.names import did_you_mean
from .findings import Findings
from .statements import Both

PATH_VARIABLES = ("workspace", "home", "tmp", "cache", "runtime")
"""Variables that stand for a directory, at the start of a path pattern."""

WORD_VARIABLES = ("agent", "run", "user")
"""Variables that stand for a word, anywhere in a pattern."""

VARIABLES = (*PATH_VARIABLES, *WORD_VARIABLES)
"""The closed set."""

Place = Literal["path", "word", "anywhere", "nowhere"]
"""Where a string stands: a path pattern, another pattern, free text that takes every variable, or prose."""

# Private characters, so that no literal text reads like a variable.
_OPENS, _CLOSES = "\ue000", "\ue001"

_WILDCARDS = re.compile(r"[*?\[\]{}\\]")


def unbound_pattern(text: str) -> str:
    """Gives a bound pattern as one before binding: a dollar sign in it is no variable's."""
    return text.replace("$", "\\$")


def unbound_text(text: str) -> str:
    """Gives a plain text of a symbolic binder in the form that the core binds (`Both.symbolic`)."""
    return _unbound_plain(text).replace(_OPENS, "${").replace(_CLOSES, "}")


def _unbound_plain(text: str) -> str:
    """Gives a bound plain text as one before binding; in a pattern a backslash is an escape already."""
    return unbound_pattern(text.replace("\\", "\\\\"))


@dataclass(slots=True)
class Binder:
    """Binds the strings of one policy and remembers which variables it mentions."""

    values: Mapping[str, str]
    findings: Findings
    is_symbolic: bool = False
    """Whether each variable stands for itself: the text is then equal in every run."""
    mentioned: set[str] = field(default_factory=set[str])
    _usable: dict[str, str] = field(default_factory=dict[str, str])

    def pattern(self, literal: ast.StringLiteral, place: Place) -> Both[str]:
        """Gives a string in pattern form: wildcards bare, the same characters meant literally escaped."""
        return self._bind(literal, place, as_pattern=True)

    def plain(self, literal: ast.StringLiteral, place: Place) -> Both[str]:
        """Gives a string as the text that it stands for, all escapes resolved."""
        return self._bind(literal, place, as_pattern=False)

    def _bind(self, literal: ast.StringLiteral, place: Place, *, as_pattern: bool) -> Both[str]:
        bound: list[str] = []
        symbolic: list[str] = []
        for index, part in enumerate(literal.parts):
            if isinstance(part, ast.VariableReference):
                value = self._value(part, place, is_first=index == 0)
                bound.append(_WILDCARDS.sub(r"\\\g<0>", value) if as_pattern else value)
                symbolic.append(f"${{{part.name}}}")
            else:
                bound.append(part.pattern if as_pattern else part.plain)
                symbolic.append(unbound_pattern(part.pattern) if as_pattern else _unbound_plain(part.plain))
        texts = "".join(bound), "".join(symbolic)
        return Both(texts[0], texts[0] if texts[0] == texts[1] else texts[1])

    def _value(self, part: ast.VariableReference, place: Place, *, is_first: bool) -> str:
        name = part.name
        if name not in VARIABLES:
            meant = did_you_mean(name, VARIABLES)
            written = None if meant is None else f"${{{meant}}}"
            self.findings.did_you_mean(
                "P042", part.span, f"there is no variable `{name}`", written, rule="T6"
            )
            return "/unknown" if is_first else "unknown"
        self.mentioned.add(name)
        if self.is_symbolic:
            return f"{_OPENS}{name}{_CLOSES}"
        if not self._may_stand(part, place, is_first=is_first):
            return name  # what stands in its place starts no second path
        if name not in self._usable:
            self._usable[name] = self._usable_value(part)
        return self._usable[name]

    def _usable_value(self, part: ast.VariableReference) -> str:
        """Gives the value of a variable; told once what is wrong with it, another stands in for it."""
        name = part.name
        value = self.values.get(name)
        if value is None:
            self.findings.error(
                "P040", part.span, f"the variable `{name}` has no value in this run", rule="T6"
            )
        elif (problem := variable_problem(name, value)) is not None:
            self.findings.error("P040", part.span, f"the value of `{name}` {problem}", rule="T6")
        elif name == "workspace" and contains_home(value, self.values.get("home")):
            message = f"the workspace `{value}` contains the home directory"
            self.findings.error("P041", part.span, message, rule="T6")
        else:
            return value
        return f"/{name}" if name in PATH_VARIABLES else name

    def _may_stand(self, part: ast.VariableReference, place: Place, *, is_first: bool) -> bool:
        if place == "anywhere":
            return True
        if place == "nowhere":
            self.findings.error("P043", part.span, "no variable is replaced here", rule="T6")
            return False
        if part.name in PATH_VARIABLES and not (place == "path" and is_first):
            message = f"`${{{part.name}}}` stands only at the start of a path"
            self.findings.error("P043", part.span, message, rule="T6")
            return False
        return True
