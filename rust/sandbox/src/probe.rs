//! What this machine can enforce, asked of the kernel and never of its version. Nothing of the agent runs here.

use crate::cgroup::{self, Controller};
use crate::sys::{self, Cloned};
use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::fs::{Access as FileAccess, access};
use rustix::process::{WaitOptions, waitpid};
use serde::Serialize;

/// One mechanism of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub mechanism: &'static str,
    pub present: bool,
    /// What was found, in a few words.
    pub found: String,
    /// The one change that helps, where it is absent.
    pub help: &'static str,
}

/// Probes every mechanism.
pub fn all() -> Vec<Finding> {
    vec![namespaces(), landlock(), seccomp(), fuse(), cgroup()]
}

fn namespaces() -> Finding {
    let attempt = match sys::clone_sandbox(None) {
        Ok(Cloned::Child) => {
            // KERNEL: where AppArmor restricts user namespaces, the clone succeeds and the capabilities are empty.
            let capable = rustix::thread::capabilities(None).is_ok_and(|sets| !sets.effective.is_empty());
            sys::leave(i32::from(!capable))
        }
        Ok(Cloned::Parent { pid, .. }) => match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) if status.exit_status() == Some(0) => Ok(()),
            _ => Err("made, but without capabilities (AppArmor restricts them)".to_owned()),
        },
        Err(errno) => Err(errno.to_string()),
    };
    Finding {
        mechanism: "namespaces",
        present: attempt.is_ok(),
        found: attempt
            .err()
            .unwrap_or_else(|| "user, mount, pid, net, ipc, uts, cgroup".to_owned()),
        help: if apparmor_restricts() {
            "load the AppArmor profile whose command `replicante doctor --fix` prints"
        } else {
            "allow unprivileged user namespaces for replicante-shim (AppArmor profile), or set \
             kernel.apparmor_restrict_unprivileged_userns=0 or user.max_user_namespaces above 0"
        },
    }
}

/// Whether this system lets only programs with a profile make user namespaces (Ubuntu since 23.10).
pub fn apparmor_restricts() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|setting| setting.trim() == "1")
}

fn landlock() -> Finding {
    let handled = (1..=7).rev().find(|level| {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::from(*level)))
            .and_then(Ruleset::create)
            .is_ok()
    });
    Finding {
        mechanism: "landlock",
        present: handled.is_some(),
        found: handled.map_or_else(
            || "absent".to_owned(),
            |level| format!("file rights of ABI {level}"),
        ),
        help: "boot with `landlock` in the lsm= list",
    }
}

fn seccomp() -> Finding {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let present = actions.split_whitespace().any(|action| action == "user_notif");
    let found = if present {
        "filter with notification"
    } else {
        "no user_notif action"
    };
    Finding {
        mechanism: "seccomp",
        present,
        found: found.to_owned(),
        help: "a kernel with CONFIG_SECCOMP_FILTER, 5.14 or later",
    }
}

fn fuse() -> Finding {
    let present = access("/dev/fuse", FileAccess::READ_OK | FileAccess::WRITE_OK).is_ok();
    let found = if present {
        "/dev/fuse can be opened"
    } else {
        "/dev/fuse can't be opened: refused reads are not seen"
    };
    Finding {
        mechanism: "fuse",
        present,
        found: found.to_owned(),
        help: "chmod 0666 /dev/fuse, or load the module fuse",
    }
}

fn cgroup() -> Finding {
    // The process that asks would have become the shim, and so not stand beside it.
    let asking = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    let (present, found) = match cgroup::find(asking) {
        Ok(place) => {
            let missing: Vec<&str> = Controller::ALL
                .into_iter()
                .filter(|controller| !place.controllers.contains(controller))
                .map(Controller::word)
                .collect();
            let without = if missing.is_empty() {
                String::new()
            } else {
                format!(" without {}", missing.join(", "))
            };
            (
                missing.is_empty(),
                format!("delegated at {}{without}", place.directory),
            )
        }
        Err(why) => (false, format!("not delegated ({why}): stand-ins for amounts")),
    };
    Finding {
        mechanism: "cgroup",
        present,
        found,
        help: "start it under `systemd-run --user --scope -p Delegate=yes`, as root without `--user`",
    }
}
