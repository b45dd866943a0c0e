"""Every diagnostic of the program: its stable code, its severity and its meaning in one line.

`docs/errors/CODE.md` says more of each; a test holds table and pages together. Codes are never used again.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs 13 ms to import, and a plain run may come here for one error
if TYPE_CHECKING:
    from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "P001": "unexpected word or character",
    "P002": "the text ends inside a block or rule",
    "P003": "not UTF-8, a byte-order mark, a control or a bidirectional character",
    "P004": "unterminated string",
    "P005": "unknown escape",
    "P006": "missing or unknown `language` version",
    "P007": "file or list too large",
    "P010": "unknown keyword",
    "P011": "unknown unit",
    "P012": "number out of range, or zero",
    "P013": "clause not valid for this rule",
    "P014": "clause or key stated twice",
    "P015": "duplicate key in an object",
    "P016": "duplicate label, alert, tripwire or policy name",
    "P020": "unknown policy after `extends`",
    "P021": "import outside the policy root, not relative, or of somebody else",
    "P022": "import or extends cycle, or too deep",
    "P023": "reserved policy name",
    "P024": "file holds several policies; name one",
    "P030": "path is not absolute",
    "P031": "path is not canonical, or `**` inside a segment",
    "P032": "`? [ ] { }` unescaped in a pattern",
    "P033": "`allow any` for files",
    "P034": "path through `/proc/self`",
    "P035": "wildcard within a label, or not first",
    "P036": "wildcard on a public suffix",
    "P037": "host name not valid",
    "P038": "CIDR has host bits, or a strange address literal",
    "P039": "allow connect without port",
    "P040": "variable has no value",
    "P041": "`${workspace}` contains the home directory",
    "P042": "unknown variable",
    "P043": "variable not allowed here",
    "P044": "unknown host set, syscall or stand-in",
    "P050": "allow is wholly covered by inherited denies",
    "P051": "limit is not smaller than the inherited one",
    "P052": "override lifts nothing",
    "P053": "hold on an action that cannot be held",
    "P054": "host name with `udp`",
    "P055": "method, path or secret without visible HTTP",
    "P056": "roots without `expose`",
    "P057": "`matches` without kind",
    "P058": "capability or variable that cannot be kept",
    "P059": "parents set a variable differently",
    "P060": "no enforcer for the rule",
    "P061": "sections of one kind repeated in a policy",
    "P070": "a test failed",
    "P071": "a test names no outcome the action can have",
    "P072": "wildcard in an expectation",
    "P080": "unknown key in TOML",
    "P081": "wrong type or value in TOML",
    "P082": "TOML key and its synonym both given",
    "P090": "trust needed and nobody to ask",
    "W110": "hold acts as deny here",
    "W120": "rule shadowed by another of the policy",
    "W121": "write and execute outside workspace, tmp, cache",
    "W122": "secret-looking variable kept",
    "W123": "secret revealed",
    "W124": "deny of `**.x` without `x`",
    "W125": "deny without a label",
    "W126": "wildcard that adds nothing",
    "W130": "limit above the machine's means",
    "W140": "child decides an inherited expectation differently",
    "L001": "the shim and the package differ, or the shim can't be started",
    "L002": "the shim can't read its launch description",
    "L003": "the compiled policy can't be used",
    "L010": "a mechanism of the sandbox can't be set up",
    "L011": "the policy asks for something that nothing enforces here",
    "L012": "the journal can't be written",
    "L013": "the shim met an error of its own",
    "L020": "agents can't run on this system",
    "L021": "the state directory is refused",
    "L022": "the workspace can't be used, or the caller has no account",
    "L023": "an argument or a variable's value can't be used",
    "L024": "the policy that was found is refused",
    "L025": "Python looks for modules in the workspace",
    "L026": "the drill did not start",
    "L027": "there is no supervisor in this release",
}
"""The meaning of each code: `P` policy, `W` warning about a policy, `L` launch."""


def severity_of(code: str) -> str:
    """Gives `warning` for a `W` code and `error` for every other."""
    return "warning" if code.startswith("W") else "error"
