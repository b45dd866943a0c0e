"""What the drill agent does, what is expected of each step, and which request decides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["allowed", "denied"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the drill.

    Attributes:
        name: of the step in `drill_agent.py`.
        title: what is tried, in a few words.
        expected: what must come of it.
        request: action and resource that the policy decides, `None` where no rule but a mechanism does; the
            resource may name a place as `{workspace}`.
        mechanism: what stands in the way where no rule does.
    """

    name: str
    title: str
    expected: Outcome
    request: tuple[str, str] | None = None
    mechanism: str = ""


def _work(name: str, title: str, action: str = "", resource: str = "", mechanism: str = "") -> Step:
    return Step(name, title, "allowed", (action, resource) if action else None, mechanism)


def _attack(name: str, title: str, action: str = "", resource: str = "", mechanism: str = "") -> Step:
    return Step(name, title, "denied", (action, resource) if action else None, mechanism)


STEPS = (
    _work("write-file", "write a file in the workspace", "create", "{workspace}/notes.txt"),
    _work("save-by-rename", "save it by renaming", "write", "{workspace}/notes.txt"),
    _work("make-tree", "make directories, delete a file", "create", "{workspace}/src"),
    _work("run-python", "start Python", "execute", "{python}"),
    _work("run-shell", "run a shell pipeline", "execute", "/usr/bin/sh"),
    _work("use-git", "git init and commit", "create", "{workspace}/repository"),
    _work("compile-and-run", "compile and run a program", "execute", "{workspace}/answer"),
    _work("process-pool", "use a pool of processes", "create", "/dev/shm/x"),
    _work("temporary-file", "write a temporary file", "create", "/tmp/drill-temporary.txt"),
    _work("write-home", "write into its home", "create", "{home}/.replicante-drill"),
    _work("use-devices", "use /dev/null and /dev/urandom", "read", "/dev/urandom"),
    _work("open-terminal", "open a pseudo-terminal", "write", "/dev/ptmx"),
    _work("own-server", "serve and call itself", "listen", "4000"),
    _work("reach-server", "request a page of an allowed server by its name", "connect", "localhost"),
    _work("copy-example", "copy .env.example to .env", "create", "{workspace}/service/.env"),
    _attack("read-secret", "read the owner's .env", "read", "{workspace}/.env"),
    _attack("read-secret-by-link", "… through a symbolic link", "read", "{workspace}/.env"),
    _attack("read-secret-by-proc", "… through /proc/self/root", "read", "{workspace}/.env"),
    _attack("read-secret-by-hard-link", "… through a hard link", "read", "{workspace}/.env"),
    _attack("rename-secret", "… by renaming it", "delete", "{workspace}/.env"),
    _attack("read-private-key", "read a private key", "read", "{workspace}/id_ed25519"),
    _attack("touch-decoy", "touch a decoy", "read", "{workspace}/decoy/credentials.txt"),
    _attack("plant-hook", "plant a git hook", "create", "{workspace}/.git/hooks/pre-commit"),
    _attack("read-neighbour", "read another project", "read", "{neighbour}/private.txt"),
    _attack("read-host-tmp", "read the host's /tmp", mechanism="a private /tmp"),
    _attack("read-shadow", "read /etc/shadow", "read", "/etc/shadow"),
    _attack("read-state", "list Replicante's state", mechanism="never visible inside"),
    _attack("write-settings", "change /etc/passwd", "write", "/etc/passwd"),
    _attack("write-program", "put a program into /usr/bin", "create", "/usr/bin/replicante-drill"),
    _attack("write-package", "change Replicante's own code", mechanism="never writable inside"),
    _attack("make-setuid", "set the setuid bit", mechanism="never possible (F2)"),
    _attack("make-device", "make a block device", mechanism="never possible (F2)"),
    _attack("signal-host", "kill a process of the host", mechanism="an own pid namespace"),
    _attack("see-host-processes", "see processes of the host", mechanism="a private /proc"),
    _attack("hold-privilege", "hold a capability or be root", mechanism="all capabilities dropped"),
    _attack("use-leaked-descriptor", "use a descriptor of its parent", mechanism="descriptors closed"),
    _attack(
        "see-secret-variable",
        "see a secret of the caller's environment",
        mechanism="only what the policy keeps",
    ),
    _attack("mount", "mount a file system", "syscall", "mount"),
    _attack("nest-namespace", "make a user namespace", mechanism="never possible: no nested user namespaces"),
    _attack("load-bpf", "load a BPF program", "syscall", "bpf"),
    _attack("read-keyring", "read the kernel's keyring", "syscall", "keyctl"),
    _attack("use-io-uring", "use io_uring", "syscall", "io_uring_setup"),
    _attack("profile-kernel", "open a performance counter", "syscall", "perf_event_open"),
    _attack("load-module", "load a kernel module", "syscall", "init_module"),
    _attack("restart-machine", "restart the machine", "syscall", "reboot"),
    _attack("reach-host-loopback", "reach a server on the host's loopback", mechanism="a network of its own"),
    _attack("ask-denied-name", "look up a name that no rule allows", "resolve", "collect.example"),
    _attack("reach-address", "connect to a bare address", "connect", "192.0.2.1"),
    _attack(
        "ask-for-other-host",
        "ask the allowed server for another host",
        mechanism="what is said must agree with the name (N8)",
    ),
    _attack(
        "reach-abstract-socket", "reach an abstract socket of the host", mechanism="a network of its own"
    ),
    _attack(
        "reach-path-socket",
        "reach the host's socket in the workspace",
        mechanism="covered at the start (N12)",
    ),
    _attack("raw-socket", "open a raw socket", mechanism="no raw sockets (N9)"),
    _attack("many-descriptors", "open more than 4096 files", mechanism="`open-files`"),
    _attack("many-processes", "start more than 256 processes", mechanism="`processes`"),
)
"""In the order in which they run: work first, so that attacks can't spoil it."""

NOT_IN_FORCE = (
    ("a tool call through the MCP firewall", "no MCP filter yet"),
    ("a tripwire's alert", "no alerts yet: the decoy is closed, nobody is told"),
)
"""What the drill will try once its enforcer is there, and what holds until then."""
