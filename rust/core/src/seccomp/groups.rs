//! The closed set of system call groups (C1). `policy explain @GROUP` prints them.

use super::Arch;
use std::collections::BTreeSet;

/// Groups by name; `@standard` is everything that no other group names.
pub const GROUPS: &[(&str, &[&str])] = &[
    (
        "@mount",
        &[
            "mount",
            "umount",
            "umount2",
            "pivot_root",
            "chroot",
            "open_tree",
            "open_tree_attr",
            "move_mount",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "mount_setattr",
            "statmount",
            "listmount",
        ],
    ),
    (
        "@module",
        &[
            "init_module",
            "finit_module",
            "delete_module",
            "create_module",
            "query_module",
            "get_kernel_syms",
            "kexec_load",
            "kexec_file_load",
        ],
    ),
    ("@namespace", &["unshare", "setns"]),
    (
        "@debug",
        &[
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "pidfd_getfd",
            "kcmp",
            "process_madvise",
            "userfaultfd",
        ],
    ),
    ("@bpf", &["bpf"]),
    ("@keyring", &["add_key", "keyctl", "request_key"]),
    ("@perf", &["perf_event_open"]),
    (
        "@io-uring",
        &["io_uring_setup", "io_uring_enter", "io_uring_register"],
    ),
    (
        "@clock",
        &[
            "settimeofday",
            "clock_settime",
            "clock_adjtime",
            "adjtimex",
            "stime",
        ],
    ),
    ("@raw-io", &["iopl", "ioperm"]),
    ("@swap", &["swapon", "swapoff"]),
    ("@reboot", &["reboot"]),
    (
        "@privileged",
        &[
            "acct",
            "quotactl",
            "quotactl_fd",
            "syslog",
            "lookup_dcookie",
            "open_by_handle_at",
            "name_to_handle_at",
            "fanotify_init",
            "fanotify_mark",
            "modify_ldt",
            "vhangup",
            "lsm_get_self_attr",
            "lsm_set_self_attr",
            "lsm_list_modules",
            "memfd_secret",
            "nfsservctl",
            "_sysctl",
            "sysfs",
            "uselib",
            "ustat",
            "vserver",
            "afs_syscall",
            "tuxcall",
            "security",
            "getpmsg",
            "putpmsg",
            "epoll_ctl_old",
            "epoll_wait_old",
            "sethostname",
            "setdomainname",
            "mbind",
            "set_mempolicy",
            "set_mempolicy_home_node",
            "migrate_pages",
            "move_pages",
        ],
    ),
];

/// Groups that no policy gives back (`kernel.md` §5, C1 "never").
pub(super) const FLOOR: &[&str] = &[
    "@mount",
    "@module",
    "@namespace",
    "@bpf",
    "@keyring",
    "@perf",
    "@io-uring",
    "@clock",
    "@raw-io",
    "@swap",
    "@reboot",
];

/// The names of all groups, `@standard` first.
pub fn group_names() -> impl Iterator<Item = &'static str> {
    std::iter::once("@standard").chain(GROUPS.iter().map(|(name, _)| *name))
}

/// The calls of a group on every architecture that runs agents; empty for an unknown name.
pub fn group(name: &str) -> BTreeSet<&'static str> {
    if name == "@standard" {
        let mut all = Arch::X86_64.names();
        all.extend(Arch::Aarch64.names());
        for (_, calls) in GROUPS {
            for call in *calls {
                all.remove(call);
            }
        }
        return all;
    }
    GROUPS
        .iter()
        .filter(|(group, _)| *group == name)
        .flat_map(|(_, calls)| calls.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What programs call every day must be standard; what reaches the kernel's own controls must not.
    #[test]
    fn standard_holds_what_programs_call() {
        let standard = group("@standard");
        for call in [
            "read",
            "openat",
            "execve",
            "futex",
            "rseq",
            "landlock_restrict_self",
            "seccomp",
            "clone",
            "memfd_create",
        ] {
            assert!(standard.contains(call), "{call}");
        }
        for call in ["mount", "ptrace", "bpf", "io_uring_setup", "name_to_handle_at"] {
            assert!(!standard.contains(call), "{call}");
        }
    }

    #[test]
    fn group_members_exist_somewhere() {
        let (x86, arm) = (Arch::X86_64.names(), Arch::Aarch64.names());
        for (name, calls) in GROUPS {
            assert!(
                calls.iter().any(|call| x86.contains(call) || arm.contains(call)),
                "{name}"
            );
        }
    }
}
