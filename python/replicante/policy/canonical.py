"""Canonical JSON (RFC 8785) and the digests that are taken of it (policy-language.md D2)."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
"""What a digest is taken of: no floating point, so that no two writers can differ in a digit."""


def canonical_json(document: Json) -> bytes:
    """Gives the one UTF-8 text of a document: sorted keys, no white space (RFC 8785).

    Python sorts keys by code point and RFC 8785 by UTF-16 code unit. The two orders differ only beyond the
    basic plane, and every key of our documents is ASCII.
    """
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def sha256_hex(content: bytes) -> str:
    """Gives the SHA-256 of some bytes as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def digest(document: Json) -> str:
    """Gives the digest of a document: the SHA-256 of its canonical JSON, as 64 hex digits."""
    return sha256_hex(canonical_json(document))
