"""System calls that reach the kernel's other side: refused, and each refusal is an event."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Arena, Done

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")


def reached(done: Done) -> bool:
    return "REACHED" in done.out


# A program around one call; REACHED is printed when the call does what it is for.
C = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  setbuf(stdout, 0);
  %s
  return 0;
}
"""
REACHED = 'puts("REACHED");'

# What is attempted -> (the call, the event that it leaves).
ATTEMPTS = {
    "a user namespace": (f"if (unshare(CLONE_NEWUSER) == 0) {REACHED}", "unshare"),
    "a mount namespace": (f"if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {REACHED}", "unshare"),
    "a namespace by clone": (
        "long p = syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0);"
        f"if (p == 0) _exit(0); if (p > 0) {{ {REACHED} }}",
        "clone",
    ),
    "a key for the kernel to keep": (
        f'if (syscall(SYS_add_key, "user", "replicante-test", "x", 1L, -2) > 0) {REACHED}',
        "add_key",
    ),
    "the keyring": (f"if (syscall(SYS_keyctl, 0, -3, 1) != -1) {REACHED}", "keyctl"),
    "calls past the filter by a ring": (
        f"char p[120] = {{0}}; if (syscall(SYS_io_uring_setup, 1, p) >= 0) {REACHED}",
        "io_uring_setup",
    ),
    "faults by hand": (
        f"if (syscall(SYS_userfaultfd, O_CLOEXEC | 1) >= 0) {REACHED}",
        "userfaultfd",
    ),
    "counters of the processor": (
        "struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof a, .exclude_kernel = 1,"
        " .exclude_hv = 1, .config = PERF_COUNT_SW_TASK_CLOCK};"
        f"if (syscall(SYS_perf_event_open, &a, 0, -1, -1, 0) >= 0) {REACHED}",
        "perf_event_open",
    ),
    "a file's handle": (
        "struct { struct file_handle h; char b[128]; } x; int m; x.h.handle_bytes = 128;"
        f'if (syscall(SYS_name_to_handle_at, AT_FDCWD, ".", &x, &m, 0) == 0) {REACHED}',
        "name_to_handle_at",
    ),
    "comparing kernel objects": (
        f"if (syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0) == 0) {REACHED}",
        "kcmp",
    ),
    "executable data": (f"if (personality(READ_IMPLIES_EXEC) >= 0) {REACHED}", "personality"),
    "a detached tree": (f'if (syscall(SYS_open_tree, AT_FDCWD, ".", 0) >= 0) {REACHED}', "open_tree"),
    "segments of its own": (
        f"char b[64]; if (syscall(SYS_modify_ldt, 0, b, 64) >= 0) {REACHED}",
        "modify_ldt",
    ),
    "watching whole file systems": (
        f"if (syscall(SYS_fanotify_init, 0x200, 0) >= 0) {REACHED}",
        "fanotify_init",
    ),
    "the hypervisor's socket": (f"if (socket(40, SOCK_STREAM, 0) >= 0) {REACHED}", "socket"),
    "the kernel's events": (f"if (socket(AF_NETLINK, SOCK_RAW, 15) >= 0) {REACHED}", "socket"),
    "a secret area": (f"if (syscall(447, 0) >= 0) {REACHED}", "memfd_secret"),
}

# The same for what root alone may do plainly.
BY_ROOT = {
    # Plainly in a mount namespace of its own, which passes nothing on to the machine's.
    "a mount": (
        'if (unshare(CLONE_NEWNS) == 0) mount(0, "/", 0, MS_REC | MS_PRIVATE, 0);'
        f'if (mount("x", ".", "tmpfs", 0, 0) == 0) {REACHED}',
        "mount",
    ),
    "another root": (f'if (chroot(".") == 0) {REACHED}', "chroot"),
    "a program for the kernel": (
        "char a[128] = {0}; *(int *)a = 1; ((int *)a)[1] = 4; ((int *)a)[2] = 8; ((int *)a)[3] = 1;"
        f"if (syscall(SYS_bpf, 0, a, 72) >= 0) {REACHED}",
        "bpf",
    ),
    "the kernel's log": (f"if (syscall(SYS_syslog, 10, 0, 0) >= 0) {REACHED}", "syslog"),
    "raw packets": (f"if (socket(AF_PACKET, SOCK_RAW, 0) >= 0) {REACHED}", "socket"),
    "raw addresses": (f"if (socket(AF_INET, SOCK_RAW, 1) >= 0) {REACHED}", "socket"),
    "a file by its handle": (
        "struct { struct file_handle h; char b[128]; } x; int m; x.h.handle_bytes = 128;"
        'syscall(SYS_name_to_handle_at, AT_FDCWD, ".", &x, &m, 0); int f = open(".", O_RDONLY);'
        f"if (syscall(SYS_open_by_handle_at, f, &x, O_PATH) >= 0) {REACHED}",
        "open_by_handle_at",
    ),
    "another's namespace": (
        'int f = open("/proc/self/ns/uts", O_RDONLY);' + f"if (setns(f, 0) == 0) {REACHED}",
        "setns",
    ),
    "a file system's context": (f'if (syscall(SYS_fsopen, "tmpfs", 0) >= 0) {REACHED}', "fsopen"),
}


@pytest.mark.parametrize(("call", "name"), ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_a_call_that_no_agent_needs(arena: Arena, call: str, name: str) -> None:
    arena.attack(arena.compiled(C % call), effect=reached, seen=f"syscall {name}")


@pytest.mark.parametrize(("call", "name"), BY_ROOT.values(), ids=BY_ROOT.keys())
def test_a_call_that_root_alone_has(arena: Arena, call: str, name: str) -> None:
    if arena.account.uid != 0:
        pytest.skip("the kernel refuses it plainly, so there is nothing to show")
    arena.attack(arena.compiled(C % call), effect=reached, seen=f"syscall {name}")


@X86
def test_a_call_by_the_gate_of_32_bits(arena: Arena) -> None:
    call = 'long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); if (r > 0) ' + REACHED
    inside = arena.attack(arena.compiled(C % call), effect=reached, seen="syscall foreign-architecture")
    # No rule can name it, so none is proposed.
    assert [denial["would_allow"] for denial in inside.report["denials"]] == [None]


@X86
def test_a_call_by_the_numbers_of_x32_is_seen(arena: Arena) -> None:
    """Most kernels lack x32, so the plain run may fail; the event must be there all the same."""
    inside = arena.inside(arena.compiled(C % f"if (syscall(0x40000000 | SYS_getpid) > 0) {REACHED}"))
    assert not reached(inside)
    assert "syscall foreign-architecture" in inside.denials


def test_typing_into_the_terminal(arena: Arena) -> None:
    """TIOCSTI, on a terminal that the program opened itself."""
    call = (
        "int m = posix_openpt(O_RDWR); grantpt(m); unlockpt(m); setsid();"
        " int s = open(ptsname(m), O_RDWR); ioctl(s, TIOCSCTTY, 0);"
        f' if (ioctl(s, TIOCSETD, &(int){{0}}) == 0) {REACHED} if (ioctl(s, TIOCSTI, "x") == 0) {REACHED}'
    )
    arena.attack(arena.compiled(C % call), effect=reached, seen="syscall ioctl")


def test_a_namespace_by_clone3(arena: Arena) -> None:
    """Its flags lie in memory, so it does not exist: libc then calls clone, whose flags the filter sees."""
    call = (
        "struct { uint64_t flags, rest[10]; } a = {CLONE_NEWUSER}; a.rest[3] = 17;"
        "long p = syscall(SYS_clone3, &a, sizeof a);"
        f"if (p == 0) _exit(0); if (p > 0) {{ {REACHED} }}"
    )
    arena.attack(arena.compiled(C % call), effect=reached, unseen="calls of an absent name")


def test_a_device_of_the_machine(arena: Arena) -> None:
    devices = [f"/dev/{name}" for name in ("mem", "kvm", "vda", "sda", "nvme0n1", "loop0", "loop-control")]
    device = next((device for device in devices if os.access(device, os.R_OK)), None)
    if arena.account.uid != 0 or device is None:
        pytest.skip("nothing here may be opened plainly, so there is nothing to show")
    call = f'if (open("{device}", O_RDONLY) >= 0) {REACHED}'
    arena.attack(arena.compiled(C % call), effect=reached, unseen="listing and lookups outside of the view")


def test_a_device_made_by_hand(arena: Arena) -> None:
    if arena.account.uid != 0:
        pytest.skip("the kernel refuses it plainly, so there is nothing to show")
    node = arena.workspace / "null"
    arena.attack(
        "mknod null c 1 3",
        effect=lambda _: node.exists(),
        restore=lambda: node.unlink(missing_ok=True),
        seen="syscall mknod*",
    )
