"""What a forge and two registries of packages serve by HTTP: a git repository, a wheel, a package of npm.

As a program it makes them; argument: where.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOSTS = ("allowed.test", "denied.test")
WHEEL = "hello-1.0-py3-none-any.whl"


def make(top: Path) -> None:
    """Makes everything that is served."""
    (top / "files").mkdir(parents=True)
    with zipfile.ZipFile(top / "files" / WHEEL, "w") as wheel:
        wheel.writestr("hello.py", "print('hello from a wheel')\n")
        wheel.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("hello-1.0.dist-info/WHEEL", tag)
        names = ("hello.py", *(f"hello-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")))
        wheel.writestr("hello-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in names))
    (top / "simple" / "hello").mkdir(parents=True)
    (top / "simple" / "hello" / "index.html").write_text(f'<a href="/files/{WHEEL}">{WHEEL}</a>')

    manifest = {"name": "hello", "version": "1.0.0", "main": "index.js"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {
            "package.json": json.dumps(manifest),
            "index.js": "console.log('hello from npm')",
        }.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    (top / "files" / "hello-1.0.0.tgz").write_bytes(packed.getvalue())
    digest = base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
    for host in HOSTS:
        dist = {"tarball": f"https://{host}/files/hello-1.0.0.tgz", "integrity": f"sha512-{digest}"}
        package = {
            "name": "hello",
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": {**manifest, "dist": dist}},
        }
        (top / "npm" / host).mkdir(parents=True)
        (top / "npm" / host / "hello").write_text(json.dumps(package))

    tree = top / "tree"
    identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_CONFIG_GLOBAL": "/dev/null"}
    identity |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t", "PATH": os.environ["PATH"]}
    tree.mkdir()
    (tree / "README").write_text("hello from git\n")
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "README"),
        ("commit", "-q", "-m", "first"),
        ("clone", "-q", "--bare", ".", str(top / "hello.git")),
    ):
        subprocess.run(("git", *command), cwd=tree, check=True, env=identity)


async def serve(top: Path, method: str, target: str, fields: Mapping[str, str], body: bytes) -> bytes | None:
    """A whole response, `None` where nothing of the kind is served."""
    path, _, query = target.partition("?")
    if path.startswith("/hello.git/"):
        return await backend(top, method, path, query, fields, body)
    if not path.startswith(("/simple/", "/npm/", "/files/")):
        return None
    file = top / path.strip("/")
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    kinds = {".html": "text/html", "": "application/json"}
    return response("200 OK", kinds.get(file.suffix, "application/octet-stream"), file.read_bytes())


def response(status: str, kind: str, data: bytes) -> bytes:
    """One response of HTTP/1.1."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def backend(
    top: Path, method: str, path: str, query: str, fields: Mapping[str, str], body: bytes
) -> bytes:
    """What git's own program answers (git-http-backend(1), by CGI)."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(top),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": fields.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": fields.get("git-protocol", ""),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate(body)
    head, _, data = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return response(headers.get("Status", "200 OK"), headers.get("Content-Type", "text/plain"), data)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
