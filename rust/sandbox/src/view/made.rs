//! Small files that the sandbox gets made instead of the host's (`kernel.md` §3, `decisions.md` §2).

use super::Inputs;

/// Path and text of each.
pub fn files(inputs: &Inputs<'_>) -> Vec<(&'static str, String)> {
    let (uid, gid) = (inputs.uid, inputs.gid);
    let (user, home) = (&inputs.bindings.user, &inputs.bindings.home);
    vec![
        (
            "/etc/hosts",
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.0.1\tsandbox\n".into(),
        ),
        ("/etc/hostname", "sandbox\n".into()),
        ("/etc/resolv.conf", "nameserver 198.18.0.1\n".into()),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".into(),
        ),
        (
            "/etc/passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\n{user}:x:{uid}:{gid}:{user}:{home}:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        (
            "/etc/group",
            format!("root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n"),
        ),
        ("/etc/machine-id", format!("{}\n", inputs.machine_id)),
    ]
}
