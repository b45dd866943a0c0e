//! System calls: the groups of the policy language and the classic BPF program of a policy.
//!
//! The numbers come from the `syscalls` crate, which generates them from the kernel's own tables. Calls whose verdict
//! does not depend on arguments have constant verdicts, so that the kernel's bitmap (Linux 5.11) skips the program.
//! Sources: `policy-language.md` C1, `kernel.md` §5, seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`.

use std::collections::{BTreeMap, BTreeSet};

mod bpf;
mod groups;

pub use bpf::{Instruction, assemble};
pub use groups::{GROUPS, group, group_names};

/// A processor architecture that runs agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// The architecture this code was built for, or `None` where agents can't run.
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// The number of a system call, or `None` if this architecture lacks it.
    pub fn number(self, name: &str) -> Option<u32> {
        let id = match self {
            Self::X86_64 => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            Self::Aarch64 => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
        };
        u32::try_from(id).ok()
    }

    /// The name of a system call number, or `None` if the table doesn't know it.
    pub fn name(self, number: u32) -> Option<&'static str> {
        let number = usize::try_from(number).ok()?;
        match self {
            Self::X86_64 => syscalls::x86_64::Sysno::new(number).map(|call| call.name()),
            Self::Aarch64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name()),
        }
    }

    /// All names of this architecture.
    pub fn names(self) -> BTreeSet<&'static str> {
        match self {
            Self::X86_64 => syscalls::x86_64::Sysno::iter().map(|call| call.name()).collect(),
            Self::Aarch64 => syscalls::aarch64::Sysno::iter().map(|call| call.name()).collect(),
        }
    }
}

/// What happens to one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// Refused with an event: the broker answers with this `errno`.
    Refuse(u16),
    /// Refused at once and without event, for calls that programs probe on every start.
    Quiet(u16),
    /// Allowed or refused by the arguments.
    Check(Check),
    /// Ends the process with SIGSYS.
    Kill,
}

/// Argument checks. All look at values in registers, never at memory that the caller can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `clone`: no `CLONE_NEW*` in the flags (argument 0).
    CloneFlags,
    /// `socket`, `socketpair`: families, types and protocols of `kernel.md` §5.
    Socket,
    /// `ioctl`: not TIOCSTI, TIOCLINUX, TIOCSETD (argument 1).
    Ioctl,
    /// `prctl`: not `PR_SET_MM`, `PR_SET_PTRACER` (argument 0).
    Prctl,
    /// `personality`: only 0, `ADDR_NO_RANDOMIZE` and the query 0xffffffff (argument 0).
    Personality,
    /// No setuid or setgid bit in the mode, which stands in this argument.
    Mode(u8),
    /// As `Mode`, where the flags in `flags` say that the call creates a file.
    OpenMode { flags: u8, mode: u8 },
    /// `mknod`, `mknodat`: no device, and no setuid or setgid bit.
    Mknod(u8),
}

pub const EPERM: u16 = 1;
pub const ENOSYS: u16 = 38;
pub const EAFNOSUPPORT: u16 = 97;
pub const EPROTONOSUPPORT: u16 = 93;

/// What a policy says of one call, as the engine decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    Allowed,
    /// `errno` as the deciding rule says it, else the built-in answer.
    Denied {
        errno: Option<u16>,
    },
    Killed,
}

/// The verdict of every call of `arch`; `rule` asks the engine for a call by name.
///
/// `never` of C1 (modules, kexec, reboot, swap, raw ports), namespaces, mounts and `io_uring` stay refused whatever the
/// policy says: no mode gives them back (`kernel.md` §5).
pub fn verdicts(arch: Arch, rule: impl Fn(&str) -> Ruling) -> BTreeMap<u32, Verdict> {
    let floor: BTreeSet<&str> = groups::FLOOR.iter().flat_map(|name| group(name)).collect();
    let mut table = BTreeMap::new();
    for name in arch.names() {
        let Some(number) = arch.number(name) else { continue };
        let verdict = match rule(name) {
            Ruling::Killed => Verdict::Kill,
            Ruling::Denied { errno: Some(errno) } => Verdict::Refuse(errno),
            Ruling::Denied { errno: None } => refusal(name),
            Ruling::Allowed if floor.contains(name) => refusal(name),
            Ruling::Allowed => checked(name),
        };
        table.insert(number, verdict);
    }
    table
}

/// Whether a call stays refused whatever a policy says.
pub fn is_floor(name: &str) -> bool {
    groups::FLOOR.iter().any(|floor| group(floor).contains(name))
}

/// The answer to a refused call whose rule names no `errno`: ENOSYS where programs probe, else EPERM.
fn refusal(name: &str) -> Verdict {
    match name {
        "io_uring_setup" | "memfd_secret" | "lsm_get_self_attr" | "lsm_set_self_attr"
        | "lsm_list_modules" => Verdict::Refuse(ENOSYS),
        _ => Verdict::Refuse(EPERM),
    }
}

fn checked(name: &str) -> Verdict {
    match name {
        "clone" => Verdict::Check(Check::CloneFlags),
        // Flags stand in memory: libc falls back to `clone` and `openat`, whose flags stand in registers.
        "clone3" | "openat2" | "setxattrat" | "removexattrat" | "file_setattr" => Verdict::Quiet(ENOSYS),
        "socket" | "socketpair" => Verdict::Check(Check::Socket),
        "ioctl" => Verdict::Check(Check::Ioctl),
        "prctl" => Verdict::Check(Check::Prctl),
        "personality" => Verdict::Check(Check::Personality),
        "chmod" | "fchmod" | "creat" => Verdict::Check(Check::Mode(1)),
        "fchmodat" | "fchmodat2" => Verdict::Check(Check::Mode(2)),
        "open" => Verdict::Check(Check::OpenMode { flags: 1, mode: 2 }),
        "openat" => Verdict::Check(Check::OpenMode { flags: 2, mode: 3 }),
        "mknod" => Verdict::Check(Check::Mknod(1)),
        "mknodat" => Verdict::Check(Check::Mknod(2)),
        _ => Verdict::Allow,
    }
}

/// The `errno` with which the broker answers a notified call.
pub fn answer(table: &BTreeMap<u32, Verdict>, number: u32, args: &[u64; 6]) -> u16 {
    match table.get(&number) {
        Some(Verdict::Refuse(errno)) => *errno,
        Some(Verdict::Check(Check::Socket)) => socket_answer(args),
        Some(_) => EPERM,
        None => ENOSYS,
    }
}

const AF_LOCAL_FAMILIES: [u64; 3] = [1, 2, 10]; // AF_UNIX, AF_INET, AF_INET6
const AF_NETLINK: u64 = 16;
const SOCK_TYPE_MASK: u64 = 0xf;
const SOCK_RAW: u64 = 3;

fn socket_answer(args: &[u64; 6]) -> u16 {
    let family = args[0] & 0xffff_ffff;
    if !AF_LOCAL_FAMILIES.contains(&family) && family != AF_NETLINK {
        EAFNOSUPPORT
    } else if family != AF_NETLINK && args[1] & SOCK_TYPE_MASK == SOCK_RAW {
        EPERM
    } else {
        EPROTONOSUPPORT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        bpf::interpret(program, arch, number, args)
    }

    fn standard(name: &str) -> Ruling {
        if group("@standard").contains(&name) {
            Ruling::Allowed
        } else {
            Ruling::Denied { errno: None }
        }
    }

    #[test]
    fn every_number_gets_the_verdict_of_the_table() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let table = verdicts(arch, standard);
            let program = assemble(arch, &table);
            assert!(program.len() < 4096, "BPF_MAXINSNS");
            for number in 0..600 {
                let got = run(&program, arch.audit(), number, [0; 6]);
                let want = match table.get(&number) {
                    Some(Verdict::Allow | Verdict::Check(_)) => Some(bpf::RET_ALLOW),
                    Some(Verdict::Refuse(_)) => Some(bpf::RET_USER_NOTIF),
                    Some(Verdict::Quiet(errno)) => Some(bpf::RET_ERRNO | u32::from(*errno)),
                    Some(Verdict::Kill) => Some(bpf::RET_KILL_PROCESS),
                    None => Some(bpf::RET_ERRNO | u32::from(ENOSYS)),
                };
                // `socket` with family 0 and `openat` with no flags have their own answers below.
                if arch
                    .name(number)
                    .is_some_and(|name| matches!(name, "socket" | "socketpair"))
                {
                    continue;
                }
                assert_eq!(Some(got), want, "{arch:?} {number} {:?}", arch.name(number));
            }
        }
    }

    #[test]
    fn foreign_calls_are_notified() {
        let table = verdicts(Arch::X86_64, standard);
        let program = assemble(Arch::X86_64, &table);
        assert_eq!(
            run(&program, 0x4000_0003, 11, [0; 6]),
            bpf::RET_USER_NOTIF,
            "i386 execve"
        );
        assert_eq!(
            run(&program, Arch::X86_64.audit(), 0x4000_003b, [0; 6]),
            bpf::RET_USER_NOTIF,
            "x32 execve"
        );
    }

    #[test]
    fn arguments_decide() {
        let arch = Arch::X86_64;
        let table = verdicts(arch, standard);
        let program = assemble(arch, &table);
        let cases: [(&str, [u64; 6], bool); 22] = [
            ("clone", [0x0120_0011, 0, 0, 0, 0, 0], true),
            ("clone", [0x1000_0011, 0, 0, 0, 0, 0], false),
            ("clone", [0x0002_0000, 0, 0, 0, 0, 0], false),
            ("socket", [1, 1, 0, 0, 0, 0], true),
            ("socket", [2, 0x8_0001, 6, 0, 0, 0], true),
            ("socket", [2, 1, 262, 0, 0, 0], false),
            ("socket", [2, 3, 1, 0, 0, 0], false),
            ("socket", [16, 3, 0, 0, 0, 0], true),
            ("socket", [16, 3, 12, 0, 0, 0], false),
            ("socket", [40, 1, 0, 0, 0, 0], false),
            ("ioctl", [0, 0x5412, 0, 0, 0, 0], false),
            ("ioctl", [0, 0x5413, 0, 0, 0, 0], true),
            ("prctl", [35, 0, 0, 0, 0, 0], false),
            ("prctl", [15, 0, 0, 0, 0, 0], true),
            ("personality", [0x0004_0000, 0, 0, 0, 0, 0], true),
            ("personality", [8, 0, 0, 0, 0, 0], false),
            ("chmod", [0, 0o755, 0, 0, 0, 0], true),
            ("chmod", [0, 0o4755, 0, 0, 0, 0], false),
            ("openat", [0, 0, 0, 0o6777, 0, 0], true),
            ("openat", [0, 0, 0o100, 0o4755, 0, 0], false),
            ("mknodat", [0, 0, 0o010_644, 0, 0, 0], true),
            ("mknodat", [0, 0, 0o020_644, 0, 0, 0], false),
        ];
        for (name, args, allowed) in cases {
            let number = arch.number(name).unwrap();
            let got = run(&program, arch.audit(), number, args);
            assert_eq!(got == bpf::RET_ALLOW, allowed, "{name} {args:?} gave {got:#x}");
        }
    }

    #[test]
    fn the_floor_stays_refused_when_everything_is_allowed() {
        let table = verdicts(Arch::X86_64, |_| Ruling::Allowed);
        for name in [
            "mount",
            "unshare",
            "io_uring_setup",
            "init_module",
            "kexec_load",
            "bpf",
            "setns",
        ] {
            let verdict = table[&Arch::X86_64.number(name).unwrap()];
            assert!(matches!(verdict, Verdict::Refuse(_)), "{name}: {verdict:?}");
        }
    }
}
