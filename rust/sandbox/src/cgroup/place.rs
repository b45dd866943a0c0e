//! Where groups of ours can be made. Only looks: nothing of the machine's hierarchy is changed here.

use super::Controller;
use super::group::LEAF;
use crate::view::{is_at_or_below, join, parent};
use rustix::fs::{Access, access};
use std::fs;

/// A group below which groups of ours can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its directory.
    pub directory: String,
    /// Where the hierarchy that shows it is mounted.
    pub mount: String,
    /// What it can hand to groups below it; never empty.
    pub controllers: Vec<Controller>,
    /// Whether it is the hierarchy's root, which alone may hold processes beside groups with controllers.
    pub(super) root: bool,
}

/// A cgroup v2 mount of this process.
struct Mount {
    /// The group at its top, as `/proc/self/cgroup` writes it.
    root: String,
    point: String,
}

/// Looks for a group in which this process may make others: its own, if it was delegated.
///
/// `asking` is a process that would not be in it if this were a launch (that of `doctor`, which asks by a child).
///
/// # Errors
/// Why there is none, in words that follow "no cgroup v2 is delegated here".
pub fn find(asking: Option<i32>) -> Result<Place, String> {
    let text = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let own = own_group(&text).ok_or("this kernel has no cgroup v2")?;
    let info = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let (mount, directory) = directory_of(&own, &cgroup_mounts(&info))
        .ok_or_else(|| format!("no cgroup2 mount shows this process's group {own}"))?;
    // A run of ours that was killed leaves the group to which it had moved, and who joins that belongs to its parent.
    let directory = if directory.ends_with(&format!("/{LEAF}")) {
        parent(&directory).to_owned()
    } else {
        directory
    };
    look_at(mount, directory, asking)
}

fn look_at(mount: String, directory: String, asking: Option<i32>) -> Result<Place, String> {
    let read = |name: &str| {
        let path = join(&directory, name);
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let controllers = Controller::listed(&read("cgroup.controllers")?);
    if controllers.is_empty() {
        return Err(format!("{directory} has no controllers"));
    }
    for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
        let path = if name.is_empty() {
            directory.clone()
        } else {
            join(&directory, name)
        };
        access(path.as_str(), Access::WRITE_OK)
            .map_err(|errno| format!("{path} can't be written: {errno}"))?;
    }
    // The hierarchy's root has no type.
    let Ok(kind) = read("cgroup.type") else {
        return Ok(Place {
            directory,
            mount,
            controllers,
            root: true,
        });
    };
    if kind.trim() != "domain" {
        return Err(format!("{directory} is of type {}", kind.trim()));
    }
    // KERNEL: a group that hands controllers down may hold no process; 0 stands for one of another pid namespace.
    let known = [i32::try_from(std::process::id()).ok(), asking];
    let others = read("cgroup.procs")?
        .lines()
        .filter(|line| !known.contains(&line.parse().ok()))
        .count();
    if others > 0 {
        return Err(format!("{others} other processes are in {directory}"));
    }
    Ok(Place {
        directory,
        mount,
        controllers,
        root: false,
    })
}

/// Where cgroup v2 is mounted: nobody inside may write there, whoever owns the groups.
pub fn mounts() -> Vec<String> {
    let info = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    cgroup_mounts(&info)
        .into_iter()
        .map(|mount| mount.point)
        .collect()
}

/// The disk (major and minor number) that holds `path`: limits of reading and writing are for whole disks.
///
/// # Errors
/// Where `path` lies on none, in words.
pub fn disk_of(path: &str) -> Result<(u32, u32), String> {
    let stat = rustix::fs::stat(path).map_err(|errno| format!("{path}: {errno}"))?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let entry = format!("/sys/dev/block/{major}:{minor}");
    if major == 0 || fs::metadata(&entry).is_err() {
        return Err(format!("{path} lies on no block device"));
    }
    if fs::metadata(format!("{entry}/partition")).is_err() {
        return Ok((major, minor));
    }
    // KERNEL: the entry is a link into the disk's directory, so `..` of a partition is its disk.
    fs::read_to_string(format!("{entry}/../dev"))
        .ok()
        .and_then(|text| {
            let (major, minor) = text.trim().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .ok_or_else(|| format!("{entry}: its disk can't be found"))
}

/// The version 2 line of `/proc/self/cgroup`; `None` too for a group above this process's cgroup namespace.
fn own_group(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .filter(|path| path.starts_with('/') && !path.split('/').any(|segment| segment == ".."))
        .map(str::to_owned)
}

/// The first mount that shows a group, and the directory there that does.
fn directory_of(group: &str, mounts: &[Mount]) -> Option<(String, String)> {
    let mount = mounts.iter().find(|mount| is_at_or_below(group, &mount.root))?;
    let below = if mount.root == "/" {
        group
    } else {
        &group[mount.root.len()..]
    };
    let directory = match below.trim_start_matches('/') {
        "" => mount.point.clone(),
        below => join(&mount.point, below),
    };
    Some((mount.point.clone(), directory))
}

/// The cgroup v2 mounts of a `/proc/PID/mountinfo` (proc(5)).
fn cgroup_mounts(info: &str) -> Vec<Mount> {
    info.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            if after.split(' ').next() != Some("cgroup2") {
                return None;
            }
            let mut fields = before.split(' ').skip(3);
            Some(Mount {
                root: plain(fields.next()?)?,
                point: plain(fields.next()?)?,
            })
        })
        .collect()
}

/// A field of mountinfo without its octal escapes; `None` if it is not UTF-8.
fn plain(field: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "25 1 0:22 / /sys rw shared:7 - sysfs sysfs rw\n\
        33 25 0:28 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n\
        34 25 0:29 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n\
        35 25 0:29 /user.slice /mnt/part rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_group_is_found_by_the_mount_that_shows_it() {
        let mounts = cgroup_mounts(MIXED);
        assert_eq!(mounts.len(), 2);
        let found = |group, mounts| directory_of(group, mounts).map(|(_, directory)| directory);
        for (group, mounts, directory) in [
            ("/a/b", &mounts[..], Some("/sys/fs/cgroup/uni fied/a/b")),
            ("/user.slice/x", &mounts[1..], Some("/mnt/part/x")),
            ("/user.slice", &mounts[1..], Some("/mnt/part")),
            ("/user.slices", &mounts[1..], None),
        ] {
            assert_eq!(found(group, mounts).as_deref(), directory, "{group}");
        }
    }

    #[test]
    fn a_group_above_the_namespace_is_none_of_ours() {
        assert_eq!(own_group("1:cpu:/\n0::/a\n").as_deref(), Some("/a"));
        assert_eq!(own_group("0::/../b\n"), None);
        assert_eq!(own_group("1:cpu:/\n"), None);
    }

    #[test]
    fn what_has_no_block_device_has_no_disk() {
        assert!(disk_of("/proc").is_err());
        assert!(disk_of("/absent-for-certain").is_err());
    }
}
