"""The AppArmor profile that lets the shim make user namespaces where the system lets only named programs.

Ubuntu since 23.10 gives an unprivileged process that makes a user namespace no capabilities in it, unless a
profile says `userns` (apparmor.d(5), kernel.apparmor_restrict_unprivileged_userns). The profile confines
nothing else: what an agent may do is the policy's to say.
"""

from __future__ import annotations

import shlex
from pathlib import Path

RESTRICTION = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
PROFILE_PATH = "/etc/apparmor.d/replicante-shim"


def restricts(setting: Path = RESTRICTION) -> bool:
    """Tells whether this system restricts user namespaces by AppArmor.

    Args:
        setting: the file of the kernel's setting.
    """
    try:
        return setting.read_text(encoding="ascii").strip() == "1"
    except (OSError, UnicodeDecodeError):
        return False


def profile(shim: str) -> str:
    """The profile's text.

    Args:
        shim: absolute path of the shim.
    """
    quoted = shim.replace("\\", "\\\\").replace('"', '\\"')
    for character in "*?[]{}^":
        quoted = quoted.replace(character, f"\\{character}")
    return (
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n\n"
        f'profile replicante-shim "{quoted}" flags=(unconfined) {{\n'
        "  userns,\n"
        "  include if exists <local/replicante-shim>\n"
        "}\n"
    )


def load_command(shim: str) -> str:
    """The shell command that writes the profile and loads it.

    Args:
        shim: absolute path of the shim.
    """
    text = shlex.quote(profile(shim))
    path = shlex.quote(PROFILE_PATH)
    return f"printf %s {text} | sudo tee {path} >/dev/null && sudo apparmor_parser -r {path}"
