"""Requests on the command line get back the quotation marks that the shell took."""

from __future__ import annotations

import shlex

import pytest

from replicante.cli.request_words import request_text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("read '${workspace}/.env'", 'read "${workspace}/.env"'),
        ('connect "example.com" port 443', 'connect "example.com" port 443'),
        ("connect unix /run/x.sock", 'connect unix "/run/x.sock"'),
        ("connect a.example port 443 method GET path /v1 resolves 1.2.3.4,::1",
         'connect "a.example" port 443 method GET path "/v1" resolves "1.2.3.4", "::1"'),
        ("read /a via /b, /c", 'read "/a" via "/b", "/c"'),
        ("read /a made", 'read "/a" made'),
        ("syscall ptrace", "syscall ptrace"),
        ("listen 3000", "listen 3000"),
        ("call github:merge with '{\"a\": \"b c\"}'", 'call "github:merge" with {"a": "b c"}'),
        ("'read \"/a b\"'", 'read "/a b"'),
        ("read '\"/a\"'", 'read "/a"'),
    ],
)  # fmt: skip
def test_requests(line: str, text: str) -> None:
    assert request_text(shlex.split(line)) == text
