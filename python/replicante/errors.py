"""Every exception of Replicante.

    ReplicanteError
    ├── PolicyError       a policy has errors; `.diagnostics`
    ├── PathError         a text is no canonical path                           (also a ValueError)
    ├── HostError         a text is no host name or address                     (also a ValueError)
    ├── PatternError      a text is no pattern; `.offset`                       (also a ValueError)
    ├── LaunchError       a run can't be started
    ├── ControlError      a running agent can't be reached or told something
    ├── StoreError        a record can't be read, written or trusted
    └── ConfigError       a settings file is wrong

A denial is no error: a decision is a value. Importing this module loads nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs more to import than everything here
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .policy.diagnostics import Diagnostic


class ReplicanteError(Exception):
    """The root of the tree; catching it catches everything that Replicante raises on purpose.

    Args:
        message: What is wrong, in one line, without a full stop.
        code: The stable code, which has a page in the documentation; None where there is none.
        help: What to do about it, in one line; None where nothing general can be said.
    """

    def __init__(self, message: str, *, code: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.help = help


class PolicyError(ReplicanteError):
    """A policy has errors and is refused as a whole.

    Args:
        message: What is wrong, in one line.
        diagnostics: All findings, warnings included, in the order of the text.
        code: The code of the first error.
        help: What to do about it.
    """

    def __init__(
        self,
        message: str,
        diagnostics: Iterable[Diagnostic] = (),
        *,
        code: str | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(message, code=code, help=help)
        self.diagnostics = tuple(diagnostics)


class PathError(ReplicanteError, ValueError):
    """A text is no canonical path (policy-language F4)."""


class HostError(ReplicanteError, ValueError):
    """A text is no host name and no address in strict form (policy-language N4, N5)."""


class PatternError(ReplicanteError, ValueError):
    """A text is no pattern (policy-language F3, N2).

    Args:
        message: What is wrong, in one line.
        code: The code of the diagnostic, `P030` to `P038`.
        offset: Where in the pattern, in bytes of its UTF-8 form.
        help: What to do about it.
    """

    def __init__(
        self, message: str, *, code: str | None = None, offset: int = 0, help: str | None = None
    ) -> None:
        super().__init__(message, code=code, help=help)
        self.offset = offset


class LaunchError(ReplicanteError):
    """A run can't be started; nothing was."""


class ControlError(ReplicanteError):
    """A running agent can't be reached, or refuses what it is told."""


class StoreError(ReplicanteError):
    """A journal or the store can't be read, written or trusted."""


class ConfigError(ReplicanteError):
    """A settings file is wrong."""
