"""SHA-256 without OpenSSL: `hashlib` loads a library of megabytes, which a start of some 40 ms would feel.

The interpreter's own implementation is what `hashlib` falls back to; where a build lacks it, that is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # CPython 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256  # CPython 3.11
        except ImportError:
            from hashlib import sha256

__all__ = ["sha256"]
