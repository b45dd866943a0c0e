"""Patterns of paths, hosts and subjects: P030 to P038, and their normal form.

The core decides what is valid; this module says where it stands, and what would be right.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from replicante._core import check_path_pattern, is_public_suffix, normalize_host, parse_cidr
from replicante.errors import HostError, PatternError

from ..diagnostics import Edit, Span
from ..findings import Findings
from ..model import HostKind

_PATH_FIXES = {
    "P030": "start it with `/` or a path variable",
    "P031": "write it without empty and dot segments, and `**` as a whole segment",
    "P032": "put a backslash before it if you mean the character itself",
    "P034": "write `/proc/*/…`",
}


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host pattern in normal form."""

    kind: HostKind
    pattern: str


def check_path(pattern: str, span: Span, findings: Findings) -> bool:
    """Checks a bound path pattern (F3); tells whether it is valid."""
    try:
        check_path_pattern(pattern)
    except PatternError as error:
        code = error.code or "P031"
        findings.error(
            code,
            span,
            str(error),
            rule="F3",
            fix=_path_fix(code, pattern),
            edit=_path_edit(code, pattern, span, findings),
        )
        return False
    return True


def _path_fix(code: str, pattern: str) -> str | None:
    if code == "P030" and (pattern == "~" or pattern.startswith("~/")):
        return "write `${home}` instead of `~`"
    if code == "P030" and pattern.startswith("./"):
        return "write `${workspace}` instead of `.`"
    return _PATH_FIXES.get(code)


def _path_edit(code: str, pattern: str, span: Span, findings: Findings) -> Edit | None:
    """Gives the one right text of a wrong path, where there is one."""
    written = findings.text_of(span)
    if code == "P030":
        if pattern == "~" or pattern.startswith("~/"):
            return Edit(span, written.replace("~", "${home}", 1))
        if pattern.startswith("./"):
            return Edit(span, written.replace("./", "${workspace}/", 1))
        return None
    if code == "P031" and pattern.endswith("/") and len(pattern) > 1 and written.endswith('/"'):
        return Edit(span, written.rstrip('/"') + '"')
    if code == "P034":
        fixed = written.replace("/proc/self", "/proc/*", 1).replace("/proc/thread-self", "/proc/*", 1)
        return Edit(span, fixed)
    return None


def check_host(text: str, span: Span, findings: Findings, *, grants: bool) -> HostPattern | None:
    """Checks a host pattern and gives its normal form, or None after telling what is wrong.

    Args:
        text: The bound text: a name, perhaps with `*` or `**` as its first label, an address or a block.
        span: Where it is written.
        findings: Takes what is wrong.
        grants: Whether it stands in an allow, where a wildcard on a public suffix is refused (N3).
    """
    if text in ("*", "**"):
        if grants:
            findings.error(
                "P036",
                span,
                "`any` is how a rule allows every public host",
                rule="N3",
                fix="write `any`",
                edit=Edit(span, "any"),
            )
            return None
        return HostPattern("any", "")
    if "/" in text or ":" in text or _is_numeric(text):
        return _check_address(text, span, findings)
    return _check_name(text, span, findings, grants=grants)


def _is_numeric(text: str) -> bool:
    last = text.rstrip(".").rpartition(".")[2]
    return last.isdigit()


def _check_address(text: str, span: Span, findings: Findings) -> HostPattern | None:
    try:
        return HostPattern("net", parse_cidr(text))
    except (HostError, PatternError) as error:
        findings.error(
            "P038",
            span,
            str(error),
            rule="N5",
            fix=_block_fix(text),
            edit=_block_edit(text, span),
        )
        return None


def _right_block(text: str) -> str | None:
    try:
        block = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None
    return block if "/" in text and block != text else None


def _block_fix(text: str) -> str | None:
    block = _right_block(text)
    return None if block is None else f"write `{block}`"


def _block_edit(text: str, span: Span) -> Edit | None:
    block = _right_block(text)
    return None if block is None else Edit(span, f'"{block}"')


def _check_name(text: str, span: Span, findings: Findings, *, grants: bool) -> HostPattern | None:
    stars, rest = _split_wildcard(text)
    if "*" in rest:
        findings.error("P035", span, "`*` stands for a whole label and only as the first one", rule="N2")
        return None
    try:
        name = normalize_host(rest)
    except HostError as error:
        findings.error("P037", span, f"`{rest}` is no host name: {error}", rule="N4")
        return None
    if stars and grants and is_public_suffix(name):
        findings.error(
            "P036",
            span,
            f"`{text}` covers a public suffix: names of strangers",
            rule="N3",
            fix="name the hosts one by one",
        )
        return None
    return HostPattern("name", stars + name)


def _split_wildcard(text: str) -> tuple[str, str]:
    for stars in ("**.", "*."):
        if text.startswith(stars):
            return stars, text[len(stars) :]
    return "", text
