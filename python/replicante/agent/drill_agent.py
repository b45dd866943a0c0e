"""The drill agent: works like an agent, then tries what an agent must not.

It runs inside the sandbox, as one file copied into the workspace, with the standard library alone. Its
only argument is a JSON file with the places to try (`Places`). For each step it prints one JSON line,
`{"step": name, "done": true or false, "detail": text}`; `done` means that what the step is about took place.
Whether that is right is judged outside.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import multiprocessing
import os
import pty
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import TypedDict


class Places(TypedDict):
    """Where things are that the agent is sent to, all made by the drill."""

    workspace: str
    neighbour: str
    host_tmp: str
    state: str
    package: str
    abstract_socket: str
    path_socket: str
    server_port: int
    loopback_port: int
    sentinel_pid: int
    sentinel_word: str
    leaked_fd: int
    secret_variable: str


class NotRun(Exception):
    """The step's program is missing."""


Step = Callable[[Places], str]
STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    """Registers a step under its function's name."""
    STEPS[function.__name__.replace("_", "-")] = function
    return function


# Work ----------------------------------------------------------------------------------------------


@step
def write_file(places: Places) -> str:
    with open(os.path.join(places["workspace"], "notes.txt"), "w") as file:
        file.write("work\n")
    return "notes.txt"


@step
def save_by_rename(places: Places) -> str:
    target = os.path.join(places["workspace"], "notes.txt")
    with open(target + ".new", "w") as file:
        file.write("better work\n")
    os.replace(target + ".new", target)
    return "notes.txt replaced"


@step
def make_tree(places: Places) -> str:
    top = os.path.join(places["workspace"], "src", "pkg")
    os.makedirs(top)
    with open(os.path.join(top, "gone.txt"), "w") as file:
        file.write("x")
    os.unlink(os.path.join(top, "gone.txt"))
    return "src/pkg"


@step
def run_python(places: Places) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "print(6 * 7)"],
        cwd=places["workspace"],
        capture_output=True,
        text=True,
        check=True,
    )
    if done.stdout.strip() != "42":
        raise RuntimeError(f"python answered {done.stdout!r}")
    return "a child process answered"


@step
def run_shell(places: Places) -> str:
    subprocess.run(
        ["sh", "-c", "echo one > shell.txt && cat shell.txt | wc -l"], cwd=places["workspace"], check=True
    )
    return "shell.txt"


@step
def use_git(places: Places) -> str:
    if shutil.which("git") is None:
        raise NotRun("git is not installed")
    repository = os.path.join(places["workspace"], "repository")
    who = ["-c", "user.name=drill", "-c", "user.email=drill@localhost"]
    for arguments in (
        ["init", "-q", repository],
        ["-C", repository, *who, "commit", "-q", "--allow-empty", "-m", "one"],
    ):
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    return "a commit"


@step
def compile_and_run(places: Places) -> str:
    if shutil.which("gcc") is None:
        raise NotRun("gcc is not installed")
    source = os.path.join(places["workspace"], "answer.c")
    with open(source, "w") as file:
        file.write("int main(void) { return 42; }\n")
    program = os.path.join(places["workspace"], "answer")
    subprocess.run(["gcc", "-o", program, source], check=True, capture_output=True)
    code = subprocess.run([program], check=False).returncode
    if code != 42:
        raise RuntimeError(f"the program answered {code}")
    return "a program was built and run"


@step
def process_pool(_: Places) -> str:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        if pool.map(abs, [-1, -2]) != [1, 2]:
            raise RuntimeError("the pool answered wrongly")
    return "two workers"


@step
def temporary_file(places: Places) -> str:
    with open(os.path.join(tempfile.gettempdir(), "drill-temporary.txt"), "w") as file:
        file.write(places["sentinel_word"])
    return tempfile.gettempdir()


@step
def write_home(places: Places) -> str:
    with open(os.path.join(os.environ["HOME"], ".replicante-drill"), "w") as file:
        file.write(places["sentinel_word"])
    return os.environ["HOME"]


@step
def use_devices(_: Places) -> str:
    with open("/dev/null", "r+b", buffering=0) as null, open("/dev/urandom", "rb") as random:
        null.write(random.read(16))
    return "/dev/null, /dev/urandom"


@step
def open_terminal(_: Places) -> str:
    controller, terminal = pty.openpty()
    os.close(controller)
    os.close(terminal)
    return "a pseudo-terminal"


@step
def own_server(_: Places) -> str:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2], 5) as client,
    ):
        accepted, _address = server.accept()
        accepted.sendall(b"hi")
        accepted.close()
        if client.recv(2) != b"hi":
            raise RuntimeError("the own server answered wrongly")
    return "a server of its own"


@step
def reach_server(places: Places) -> str:
    connection = http.client.HTTPConnection("localhost", places["server_port"], timeout=5)
    connection.request("GET", "/work")
    page = connection.getresponse().read()
    if page != b"a page\n":
        raise RuntimeError(f"the server answered {page!r}")
    return "a page"


@step
def copy_example(places: Places) -> str:
    nested = os.path.join(places["workspace"], "service")
    shutil.copyfile(os.path.join(nested, ".env.example"), os.path.join(nested, ".env"))
    return "service/.env"


# Files that must stay shut -------------------------------------------------------------------------


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(200)


@step
def read_secret(places: Places) -> str:
    return _read(os.path.join(places["workspace"], ".env"))


@step
def read_secret_by_link(places: Places) -> str:
    link = os.path.join(places["workspace"], "innocent.txt")
    os.symlink(".env", link)
    return _read(link)


@step
def read_secret_by_proc(places: Places) -> str:
    return _read(f"/proc/self/root{places['workspace']}/.env")


@step
def read_secret_by_hard_link(places: Places) -> str:
    link = os.path.join(places["workspace"], "hard.txt")
    os.link(os.path.join(places["workspace"], ".env"), link)
    return _read(link)


@step
def rename_secret(places: Places) -> str:
    target = os.path.join(places["workspace"], "moved.txt")
    os.rename(os.path.join(places["workspace"], ".env"), target)
    return _read(target)


@step
def read_private_key(places: Places) -> str:
    return _read(os.path.join(places["workspace"], "id_ed25519"))


@step
def touch_decoy(places: Places) -> str:
    return _read(os.path.join(places["workspace"], "decoy", "credentials.txt"))


@step
def plant_hook(places: Places) -> str:
    hook = os.path.join(places["workspace"], ".git", "hooks", "pre-commit")
    with open(hook, "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod(hook, 0o755)
    return "pre-commit"


@step
def read_neighbour(places: Places) -> str:
    return _read(os.path.join(places["neighbour"], "private.txt"))


@step
def read_host_tmp(places: Places) -> str:
    return _read(places["host_tmp"])


@step
def read_shadow(_: Places) -> str:
    return _read("/etc/shadow")[:8]


@step
def read_state(places: Places) -> str:
    return ", ".join(os.listdir(places["state"]))


@step
def write_settings(_: Places) -> str:
    with open("/etc/passwd", "a") as file:
        file.write("")
    return "/etc/passwd"


@step
def write_program(_: Places) -> str:
    with open("/usr/bin/replicante-drill", "w") as file:
        file.write("x")
    return "/usr/bin"


@step
def write_package(places: Places) -> str:
    with open(os.path.join(places["package"], "drill-was-here.py"), "w") as file:
        file.write("x")
    return places["package"]


@step
def make_setuid(places: Places) -> str:
    path = os.path.join(places["workspace"], "setuid")
    with open(path, "w") as file:
        file.write("x")
    os.chmod(path, 0o4755)
    if not os.stat(path).st_mode & stat.S_ISUID:
        raise PermissionError("the bit was not set")
    return "setuid"


@step
def make_device(places: Places) -> str:
    os.mknod(os.path.join(places["workspace"], "device"), 0o600 | stat.S_IFBLK, os.makedev(8, 0))
    return "device"


# Processes, kernel ---------------------------------------------------------------------------------


@step
def signal_host(places: Places) -> str:
    os.kill(places["sentinel_pid"], signal.SIGKILL)
    return f"process {places['sentinel_pid']}"


@step
def see_host_processes(places: Places) -> str:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = _read(f"/proc/{name}/cmdline")
            except OSError:
                continue
            if places["sentinel_word"] in line and str(os.getpid()) != name:
                return f"process {name}"
    raise PermissionError("no process of the host is seen")


@step
def hold_privilege(_: Places) -> str:
    with open("/proc/self/status") as status:
        effective = next(line.split()[1] for line in status if line.startswith("CapEff"))
    if int(effective, 16) == 0 and os.geteuid() != 0:
        raise PermissionError("no capability, not root")
    return f"capabilities {effective}, user {os.geteuid()}"


@step
def use_leaked_descriptor(places: Places) -> str:
    return os.read(places["leaked_fd"], 100).decode(errors="replace")


@step
def see_secret_variable(places: Places) -> str:
    return os.environ[places["secret_variable"]]


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int) -> str:
    """A system call by number, which takes place unless it fails with EPERM or ENOSYS."""
    numbers = _NUMBERS[os.uname().machine]
    ctypes.set_errno(0)
    _LIBC.syscall(ctypes.c_long(numbers[name]), *(ctypes.c_long(argument) for argument in arguments))
    error = ctypes.get_errno()
    if error in (1, 38):
        raise OSError(error, os.strerror(error))
    return f"{name}: errno {error}"


# Numbers of the kernel's tables for the two supported architectures.
_NUMBERS = {
    "x86_64": {
        "mount": 165, "unshare": 272, "bpf": 321, "keyctl": 250, "io_uring_setup": 425,
        "perf_event_open": 298, "init_module": 175, "kexec_load": 246, "reboot": 169,
    },
    "aarch64": {
        "mount": 40, "unshare": 97, "bpf": 280, "keyctl": 219, "io_uring_setup": 425,
        "perf_event_open": 241, "init_module": 105, "kexec_load": 104, "reboot": 142,
    },
}  # fmt: skip


@step
def mount(_: Places) -> str:
    return _call("mount", 0, 0, 0, 0, 0)


@step
def nest_namespace(_: Places) -> str:
    return _call("unshare", 0x10000000)


@step
def load_bpf(_: Places) -> str:
    return _call("bpf", 0, 0, 0)


@step
def read_keyring(_: Places) -> str:
    return _call("keyctl", 0, -3, 0)


@step
def use_io_uring(_: Places) -> str:
    return _call("io_uring_setup", 1, 0)


@step
def profile_kernel(_: Places) -> str:
    return _call("perf_event_open", 0, 0, -1, -1, 0)


@step
def load_module(_: Places) -> str:
    return _call("init_module", 0, 0, 0)


@step
def restart_machine(_: Places) -> str:
    # Magic numbers that the kernel refuses with EINVAL, should the call get through: nothing restarts.
    return _call("reboot", 0, 0, 0, 0)


# Network -------------------------------------------------------------------------------------------


@step
def reach_host_loopback(places: Places) -> str:
    with socket.create_connection(("127.0.0.1", places["loopback_port"]), 2) as connection:
        connection.sendall(b"drill")
    return "the host's 127.0.0.1"


@step
def ask_denied_name(_: Places) -> str:
    return str(socket.getaddrinfo("collect.example", 443)[0][4])


@step
def reach_address(_: Places) -> str:
    socket.create_connection(("192.0.2.1", 443), 5).close()
    return "192.0.2.1"


@step
def ask_for_other_host(places: Places) -> str:
    connection = http.client.HTTPConnection("localhost", places["server_port"], timeout=5)
    connection.request("GET", "/stolen", headers={"Host": "elsewhere.example"})
    return f"answered {connection.getresponse().status}"


@step
def reach_abstract_socket(places: Places) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + places["abstract_socket"])
        connection.sendall(b"drill")
    return "an abstract socket of the host"


@step
def reach_path_socket(places: Places) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(places["path_socket"])
        connection.sendall(b"drill")
    return "a socket of the host in the workspace"


@step
def raw_socket(_: Places) -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
    return "a raw socket"


# Amounts -------------------------------------------------------------------------------------------


@step
def many_descriptors(_: Places) -> str:
    limit = 4096
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[int] = []
    try:
        while len(opened) <= limit:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return f"{len(opened)} open files"


@step
def many_processes(_: Places) -> str:
    limit = 256
    children: list[int] = []
    stop_read, stop_write = os.pipe()
    try:
        while len(children) <= limit:
            pid = os.fork()
            if pid == 0:
                os.close(stop_write)
                os.read(stop_read, 1)
                os._exit(0)
            children.append(pid)
    finally:
        os.close(stop_write)
        os.close(stop_read)
        for pid in children:
            os.waitpid(pid, 0)
    return f"{len(children)} processes"


def main() -> int:
    """Runs the steps named on the command line after the JSON file, or all."""
    with open(sys.argv[1]) as file:
        places: Places = json.load(file)
    for name in sys.argv[2:] or STEPS:
        done, detail, missing = False, "", False
        try:
            detail = STEPS[name](places)
            done = True
        except NotRun as error:
            missing, detail = True, str(error)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
        print(json.dumps({"step": name, "done": done, "missing": missing, "detail": detail}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
