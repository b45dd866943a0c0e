"""Connections are decided as N2 to N8 say, evaluated naively: names, ports, address classes, blocks."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from hypothesis import event, given, settings
from hypothesis import strategies as st

from replicante import PolicyError, parse_policy

PUBLIC = ("1.1.1.1", "8.8.8.8")
PRIVATE = ("10.0.0.5", "10.1.0.5")
LOOPBACK = ("127.0.0.1",)
BLOCKS = ("1.1.1.0/30", "10.0.0.0/8", "10.0.0.5", "127.0.0.0/8")
NAMES = ("x.example", "a.x.example", "b.a.x.example")
NAME_PATTERNS = (*NAMES, "*.x.example", "**.x.example")
PORTS = (80, 443, 8080)
RANGES = ("80, 443", "80..8080", "1..65535", "8000..9000")


@dataclass(frozen=True)
class Written:
    effect: str
    host: str
    """A pattern, a block, or `any`."""
    ports: str
    to: str

    @property
    def denies(self) -> bool:
        return self.effect == "deny"

    def text(self) -> str:
        host = self.host if self.host == "any" else f'"{self.host}"'
        port = "" if not self.ports else f" port {self.ports}"
        to = "" if self.denies or not self.to else f" to {self.to}"
        return f"{self.effect} connect {host}{port}{to}"

    def has_port(self, port: int) -> bool:
        if not self.ports:
            return True
        pairs = (part.split("..") for part in self.ports.split(", "))
        return any(int(pair[0]) <= port <= int(pair[-1]) for pair in pairs)

    def has_name(self, name: str) -> bool:
        """N2; a deny closes downward (S8)."""
        if self.host == "any":
            return True
        if self.host in BLOCKS:
            return False
        stars, _, rest = self.host.rpartition("*.")
        above = name.split(".")
        if self.denies and not stars and name.endswith(f".{rest}"):
            return True
        if "*" not in self.host:
            return name == self.host
        extra = len(above) - len(rest.split("."))
        if not name.endswith(f".{rest}"):
            return False
        return extra >= 1 if self.host.startswith("**") or self.denies else extra == 1

    def has_block(self, address: str) -> bool:
        return self.host in BLOCKS and ip_address(address) in ip_network(self.host)

    def admits(self, address: str) -> bool:
        """N7: what `to` says of a class beside the public one."""
        return (
            address in PUBLIC
            or (address in PRIVATE and "private" in self.to)
            or (address in LOOPBACK and "loopback" in self.to)
        )


def connects(rules: list[Written], name: str, port: int, addresses: tuple[str, ...]) -> bool:
    """N8 for a name."""
    mine = [rule for rule in rules if rule.has_port(port)]
    if any(rule.denies and rule.has_name(name) for rule in mine):
        return False
    by_name = [rule for rule in mine if not rule.denies and rule.has_name(name)]
    if not by_name:
        return False
    return any(
        not any(rule.denies and rule.has_block(address) for rule in mine)
        and (
            any(rule.admits(address) for rule in by_name)
            or any(not rule.denies and rule.has_block(address) for rule in mine)
        )
        for address in addresses
    )


def connects_to_address(rules: list[Written], address: str, port: int) -> bool:
    """An address literal matches only blocks and `any`."""
    mine = [rule for rule in rules if rule.has_port(port)]
    if any(rule.denies and (rule.host == "any" or rule.has_block(address)) for rule in mine):
        return False
    return any(
        not rule.denies and (rule.has_block(address) or (rule.host == "any" and rule.admits(address)))
        for rule in mine
    )


HOSTS = st.sampled_from([*NAME_PATTERNS, *BLOCKS, *BLOCKS, "any"])
ALLOWS = st.builds(
    Written,
    effect=st.just("allow"),
    host=HOSTS,
    ports=st.sampled_from(RANGES),
    to=st.sampled_from(["", "", "private", "loopback", "private, loopback"]),
)
DENIES = st.builds(
    Written, effect=st.just("deny"), host=HOSTS, ports=st.sampled_from(["", *RANGES]), to=st.just("")
)


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.one_of(ALLOWS, ALLOWS, ALLOWS, DENIES), min_size=2, max_size=8),
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.lists(st.sampled_from([*PUBLIC, *PRIVATE, *LOOPBACK]), min_size=1, max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_connections(rules: list[Written], requests: list[tuple[str, tuple[str, ...]]]) -> None:
    text = "language 1\npolicy p { network {\n" + "\n".join(rule.text() for rule in rules) + "\n} }"
    try:
        engine = parse_policy(text).compile()
    except PolicyError as refused:
        raise AssertionError(f"{text}\n{[one.render() for one in refused.diagnostics]}") from refused
    for port in PORTS:
        for name, addresses in requests:
            expected = connects(rules, name, port, addresses)
            event(f"name: {expected}")
            decided = engine.decide("connect", name, port=port, resolves=addresses).allowed
            assert decided == expected, (name, port, addresses, text)
        for address in (*PUBLIC, *PRIVATE, *LOOPBACK):
            expected = connects_to_address(rules, address, port)
            assert engine.decide("connect", address, port=port).allowed == expected, (address, port, text)
