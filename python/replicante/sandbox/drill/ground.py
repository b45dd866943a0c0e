"""The ground on which the drill takes place: a fresh workspace with decoys, and what lies around it.

Everything is made for one drill and removed afterwards; the current directory is never used.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import replicante.agent
from replicante.sandbox.bindings import owner_home
from replicante.sandbox.shim import package_dir
from replicante.sandbox.state import state_path

SECRET_VARIABLE = "REPLICANTE_DRILL_TOKEN"  # noqa: S105 -- the name of a variable, not a secret
_GIT_FILES = {
    "HEAD": "ref: refs/heads/main\n",
    "config": "[core]\n\trepositoryformatversion = 0\n",
    "description": "the drill's repository\n",
}


class Ground:
    """A context manager around one drill's places.

    Attributes:
        workspace: what the agent works on.
        neighbour: another project beside it.
        host_tmp: a file in the host's temporary directory.
        word: a secret word; where it turns up in the agent's output, something was read that must not be.
        asked: the paths that were asked of the drill's own server.
        sentinel: a process of the host that must survive.
        leaked_fd: a descriptor of a secret file that is open when the shim starts.
    """

    def __init__(self) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="replicante-drill-"))
        self.word = f"drill-{secrets.token_hex(8)}"
        self.workspace = self._base / "workspace"
        self.neighbour = self._base / "neighbour"
        descriptor, name = tempfile.mkstemp(prefix="replicante-drill-")
        os.close(descriptor)
        self.host_tmp = Path(name)
        self._closing: list[socket.socket] = []
        self._fill()
        self.sentinel = subprocess.Popen(  # noqa: S603 -- this very interpreter
            [sys.executable, "-c", "import sys; sys.stdin.read()", self.word], stdin=subprocess.PIPE
        )
        self.loopback = self._listen(socket.create_server(("127.0.0.1", 0)))
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._pages())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.abstract_name = f"replicante-{self.word}"
        self.abstract = self._listen(self._unix("\0" + self.abstract_name))
        self.path_socket = self._listen(self._unix(str(self.workspace / "host.sock")))
        self.leaked_fd = os.open(self.neighbour / "private.txt", os.O_RDONLY | os.O_CLOEXEC)
        self._write_places()

    def _fill(self) -> None:
        for directory in (
            self.workspace / ".git" / "hooks",
            self.workspace / ".git" / "objects",
            self.workspace / ".git" / "refs" / "heads",
            self.workspace / "service",
            self.workspace / "decoy",
            self.neighbour,
        ):
            directory.mkdir(parents=True)
        for name, text in _GIT_FILES.items():
            (self.workspace / ".git" / name).write_text(text)
        for secret in (
            self.workspace / ".env",
            self.workspace / "id_ed25519",
            self.workspace / "decoy" / "credentials.txt",
            self.neighbour / "private.txt",
            self.host_tmp,
        ):
            secret.write_text(f"TOKEN={self.word}\n")
        (self.workspace / "service" / ".env.example").write_text("TOKEN=write-yours-here\n")
        agent = Path(replicante.agent.__file__).parent / "drill_agent.py"
        shutil.copyfile(agent, self.workspace / "drill_agent.py")

    def _pages(self) -> type[BaseHTTPRequestHandler]:
        asked = self.asked

        class Pages(BaseHTTPRequestHandler):
            """Notes what is asked for."""

            def do_GET(self) -> None:
                """Answers with a page."""
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"a page\n")

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Pages

    @property
    def server_port(self) -> int:
        """Where the drill's own server listens, on the machine's loopback."""
        return self._server.server_port

    @property
    def policy(self) -> str:
        """The drill's policy with the port of its own server, outside of the workspace."""
        path = self._base / "drill-run.policy"
        rule = f'allow connect "localhost" port {self._server.server_port} to loopback as server'
        path.write_text(f"language 1\n\npolicy drill-run extends drill {{\n  network {{ {rule} }}\n}}\n")
        return str(path)

    def _unix(self, name: str) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        server.listen()
        return server

    def _listen(self, server: socket.socket) -> socket.socket:
        server.setblocking(False)
        self._closing.append(server)
        return server

    def _write_places(self) -> None:
        places: dict[str, str | int] = {
            "workspace": str(self.workspace),
            "neighbour": str(self.neighbour),
            "host_tmp": str(self.host_tmp),
            "state": state_path(),
            "package": package_dir(),
            "abstract_socket": self.abstract_name,
            "path_socket": str(self.workspace / "host.sock"),
            "server_port": self._server.server_port,
            "loopback_port": self.loopback.getsockname()[1],
            "sentinel_pid": self.sentinel.pid,
            "sentinel_word": self.word,
            "leaked_fd": self.leaked_fd,
            "secret_variable": SECRET_VARIABLE,
        }
        (self.workspace / "places.json").write_text(json.dumps(places))

    def was_reached(self, server: socket.socket) -> bool:
        """Whether anybody connected to a server of the ground, also if they have left again."""
        try:
            connection, _address = server.accept()
        except BlockingIOError:
            return False
        connection.close()
        return True

    def home_file(self) -> Path:
        """Where the file that the agent writes into its home would lie if that were the owner's."""
        return Path(owner_home()) / ".replicante-drill"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._closing:
            server.close()
        self._server.shutdown()
        self._server.server_close()
        os.close(self.leaked_fd)
        self.sentinel.kill()
        self.sentinel.communicate()
        self.host_tmp.unlink(missing_ok=True)
        shutil.rmtree(self._base, ignore_errors=True)
