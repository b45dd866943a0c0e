"""Starting programs in a sandbox: the public library API, its launch description, and `doctor`.

Names are resolved when they are used, so that importing one of them costs what that one needs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replicante.sandbox.api import Sandbox, run

__all__ = ["Sandbox", "run"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from replicante.sandbox import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
