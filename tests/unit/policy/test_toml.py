"""The older configuration compiles to the same model, each key as the table of §17 says."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicante.policy.diagnostics import Source
from replicante.policy.parse import parse
from replicante.policy.toml import Translation, policy_name, translate

EXAMPLES = sorted((Path(__file__).parents[3] / "docs/examples").glob("sandbox*.toml"))


def translated(text: str) -> Translation:
    translation, diagnostics = translate(Source(text, "sandbox.toml"))
    assert [diagnostic.render() for diagnostic in diagnostics] == []
    assert translation is not None
    return translation


def statements(body: str) -> list[str]:
    text = translated(body).text
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_policy(path: Path) -> None:
    translation, diagnostics = translate(Source(path.read_text(encoding="utf-8"), path.name))
    assert diagnostics == []
    assert translation is not None
    file, found = parse(Source(translation.text))
    assert found == []
    assert file is not None
    assert file.policies[0].name.text == path.stem


KEYS: list[tuple[str, list[str]]] = [
    ('filesystem.root = "/d"', ['allow read "/d/**" as toml-filesystem-root']),
    (
        'filesystem.write_paths = ["/d/", "~/n"]',
        [
            'allow read, write, create, delete "/d/**" as toml-filesystem-write-paths',
            'allow read, write, create, delete "${home}/n/**" as toml-filesystem-write-paths-2',
        ],
    ),
    (
        'filesystem.read_only_paths = ["/r[1]"]',
        [
            r'allow read, execute "/r\[1\]/**" as toml-filesystem-read-only-paths',
            r'deny write, create, delete "/r\[1\]" as toml-filesystem-read-only-paths-2',
        ],
    ),
    ('filesystem.blocked_paths = ["/x/*"]', ['deny any "/x" as toml-filesystem-blocked-paths']),
    (
        'filesystem.blocked_paths = ["a.key"]',
        ['deny any "${workspace}/a.key" as toml-filesystem-blocked-paths'],
    ),
    ("filesystem.max_file_size_mb = 1.5", ["limit max-file 1536KiB"]),
    ("filesystem.max_total_size_mb = 2048", ["limit max-total 2GiB"]),
    ('network.mode = "none"', []),
    ('network.mode = "FULL"', ["allow connect any port 1..65535 as toml-network-mode"]),
    (
        'network.mode = "Full"\nnetwork.allowed_ports = [443, 80]',
        ["allow connect any port 80, 443 as toml-network-mode"],
    ),
    (
        'network.allowed_domains = ["*.a.example"]',
        ['allow connect "**.a.example", "a.example" port 80, 443 as toml-network-allowed-domains'],
    ),
    (
        'network.blocked_domains = ["*.a.example", "*"]',
        [
            'deny connect "a.example" as toml-network-blocked-domains',
            "deny connect any as toml-network-blocked-domains-2",
        ],
    ),
    ("network.blocked_ports = [25, 22]", ["deny connect any port 22, 25 as toml-network-blocked-ports"]),
    ("network.rate_limit_per_minute = 60", ["limit rate 60/min burst 60"]),
    ("network.max_connections = 9", ["limit connections 9"]),
    ("resources.max_memory_mb = 512", ["memory 512MiB"]),
    ("resources.max_cpu_percent = 150", ["cpu 1.500"]),
    ("resources.max_processes = 5\nresources.max_threads = 9", ["processes 5", "threads 9"]),
    ("resources.max_file_descriptors = 64", ["open-files 64"]),
    ('mcp.allowed_servers = ["g"]', ['allow call "g:*" as toml-mcp-allowed-servers']),
    (
        'mcp.allowed_servers = ["g"]\nmcp.allowed_tools = ["g:get_*", "f:w:/srv/**"]',
        [
            'allow call "g:get_*" as toml-mcp-allowed-tools',
            'allow call "f:w" where some arg ** matches path "/srv/**"'
            ' and every arg ** matches path "/srv/**"'
            " as toml-mcp-allowed-tools-2",
        ],
    ),
    (
        'mcp.blocked_tools = ["shell:execute", "f:w:/etc/*", "f:w:rm *"]',
        [
            'deny call "shell:execute" as toml-mcp-blocked-tools',
            'deny call "f:w" where some arg ** matches path "/etc" as toml-mcp-blocked-tools-2',
            'deny call "f:w" where some arg ** matches text "rm *" as toml-mcp-blocked-tools-3',
        ],
    ),
    (
        'mcp.allowed_servers = ["g"]\nmcp.tool_rate_limits = { "g:x" = 5, "g:*" = 9 }',
        [
            'allow call "g:*" rate 9/min burst 9 as toml-mcp-allowed-servers',
            'allow call "g:x" rate 5/min burst 5 as toml-mcp-tool-rate-limits',
        ],
    ),
    ("network.allowed_domains = []", []),
]


@pytest.mark.parametrize(("keys", "expected"), KEYS, ids=[keys for keys, _ in KEYS])
def test_key(keys: str, expected: list[str]) -> None:
    body = "\n".join(f"sandbox.{line}" for line in keys.splitlines())
    assert statements(body) == expected


def test_a_larger_limit_overrides_the_mode_and_an_equal_one_says_nothing() -> None:
    assert statements('sandbox.mode = "strict"\nsandbox.resources.max_memory_mb = 2048') == [
        "override memory 2GiB"
    ]
    assert statements('sandbox.mode = "strict"\nsandbox.resources.max_memory_mb = 1024') == []
    assert statements('sandbox.mode = "strict"\nsandbox.resources.max_memory_mb = 10') == ["memory 10MiB"]


def test_network_none_covers_what_the_mode_allows() -> None:
    assert "deny connect any as toml-network-mode" in statements(
        'sandbox.mode = "moderate"\nsandbox.network.mode = "None"'
    )


def test_workspace_is_the_first_writable_path_below_the_root() -> None:
    found = translated('[sandbox.filesystem]\nroot = "/d"\nwrite_paths = ["/x", "/d/w", "/d/v"]')
    assert (found.root, found.workspace) == ("/d", "/d/w")
    assert translated('[sandbox.filesystem]\nroot = "/d/"').workspace == "/d"


def test_without_a_mode_the_stand_ins_of_the_built_ins_are_accepted() -> None:
    assert "accept weaker memory, processes, cpu, io, freeze, read-events" in translated("[sandbox]").text
    assert "accept weaker" not in translated('sandbox.mode = "strict"').text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/sandbox.toml", "sandbox"),
        ("My Box.toml", "my-box"),
        ("1.toml", "p-1"),
        ("strict.toml", "strict-toml"),
    ],
)
def test_name_of_the_policy(name: str, expected: str) -> None:
    assert policy_name(name) == expected


# Codes, line and column of the first finding, text.
REFUSED: list[tuple[list[str], tuple[int, int], str]] = [
    (["P001"], (1, 8), "[sandbox"),
    (["P081"], (1, 1), ""),
    (["P080"], (2, 2), "[sandbox]\n[other]"),
    (["P080"], (2, 1), "[sandbox]\nenabeld = true"),
    (["P080"], (3, 1), '[sandbox.network]\nmode = "Full"\nallowed_domain = ["a.example"]'),
    (["P081"], (2, 1), "[sandbox]\nenabled = false"),
    (["P081"], (2, 1), "[sandbox]\nenabled = 1"),
    (["P081"], (2, 1), '[sandbox]\nmode = "strct"'),
    (["P081"], (1, 1), "sandbox = 3"),
    (["P081"], (1, 1), "sandbox.network = 3"),
    (["P081"], (2, 1), "[sandbox.network]\nmax_connections = 0"),
    (["P081"], (2, 1), "[sandbox.network]\nmax_connections = true"),
    (["P081"], (2, 1), "[sandbox.network]\nmax_connections = -1"),
    (["P081"], (2, 1), "[sandbox.resources]\nmax_memory_mb = nan"),
    (["P081"], (2, 1), "[sandbox.resources]\nmax_memory_mb = 0.0000001"),
    (["P081"], (2, 1), '[sandbox.filesystem]\nroot = "rel"'),
    (["P081"], (2, 1), '[sandbox.filesystem]\nroot = ""'),
    (["P081"], (2, 1), '[sandbox.filesystem]\nwrite_paths = ["/a/../b"]'),
    (["P081"], (2, 1), '[sandbox.filesystem]\nwrite_paths = "/a"'),
    (["P081"], (3, 1), '[sandbox.network]\nmode = "None"\nallowed_domains = ["a.example"]'),
    (["P081"], (2, 1), "[sandbox.network]\nallowed_ports = [443]"),
    (["P081"], (2, 1), "[sandbox.network]\nblocked_ports = [0]"),
    (["P036"], (2, 1), '[sandbox.network]\nallowed_domains = ["*"]'),
    (["P082"], (3, 1), "[sandbox.resources]\nmax_open_files = 5\nmax_file_descriptors = 6"),
    (["P081"], (2, 1), '[sandbox.mcp]\nallowed_tools = ["github"]'),
    (["P081"], (2, 1), '[sandbox.mcp]\ntool_rate_limits = { "g:x" = 5 }'),
    (["P081"], (2, 1), '[sandbox.mcp]\ntool_rate_limits = { "g:x" = "5" }'),
]


@pytest.mark.parametrize(("codes", "place", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_refused(codes: list[str], place: tuple[int, int], text: str) -> None:
    translation, diagnostics = translate(Source(text, "sandbox.toml"))
    assert translation is None
    assert [diagnostic.code for diagnostic in diagnostics] == codes
    assert (diagnostics[0].span.line, diagnostics[0].span.column) == place


def test_keys_are_found_behind_strings_and_lists_that_span_lines() -> None:
    text = '[sandbox.filesystem]\nwrite_paths = [\n  "/a", # max = 1\n]\nroot = """\n/x"""\nbogus = 1\n'
    assert translate(Source(text, "s.toml"))[1][-1].span.line == 7
