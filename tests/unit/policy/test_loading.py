"""Files, imports and names: what is read, and what is refused (R1, T7, T8)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from replicante import PolicyError, load_policy, parse_policy


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"language 1\n{text}\n")
    return path


def codes(path: Path | str, **options: str) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        load_policy(path, **options)  # pyright: ignore[reportArgumentType]
    return [diagnostic.code for diagnostic in refused.value.diagnostics]


def test_an_import_makes_policies_nameable(tmp_path: Path) -> None:
    base = write(tmp_path, "lib/base.policy", 'policy base { filesystem { allow read "/a" } }')
    main = write(tmp_path, "main.policy", 'import "lib/base.policy"\npolicy p extends base {}')
    policy = load_policy(main)
    assert [entry.name for entry in policy.ancestry] == ["base", "p"]
    digests = {path.name: sha256 for path, sha256 in policy.closure}
    assert digests == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (base.resolve(), main.resolve())
    }


def test_imports_stay_inside_the_repository(tmp_path: Path) -> None:
    (tmp_path / "repo/.git").mkdir(parents=True)
    write(tmp_path, "outside.policy", "policy o {}")
    write(tmp_path, "repo/lib.policy", "policy l {}")
    write(tmp_path, "repo/sub/ok.policy", 'import "../lib.policy"\npolicy p extends l {}')
    write(tmp_path, "repo/sub/bad.policy", 'import "../../outside.policy"\npolicy p {}')
    assert load_policy(tmp_path / "repo/sub/ok.policy").name == "p"
    assert codes(tmp_path / "repo/sub/bad.policy") == ["P021"]


@pytest.mark.parametrize(
    "path", ["/etc/x.policy", "~/x.policy", "./x.policy", "https://x.example/p", "none.policy"]
)
def test_odd_imports_are_refused(tmp_path: Path, path: str) -> None:
    assert codes(write(tmp_path, "main.policy", f'import "{path}"\npolicy p {{}}')) == ["P021"]


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "outside/o.policy", "policy o {}")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/lib").symlink_to(tmp_path / "outside")
    assert codes(write(tmp_path, "root/main.policy", 'import "lib/o.policy"\npolicy p {}')) == ["P021"]


def test_an_import_cycle_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", 'import "b.policy"\npolicy a {}')
    write(tmp_path, "b.policy", 'import "a.policy"\npolicy b {}')
    assert codes(tmp_path / "a.policy") == ["P022"]


def test_imports_are_not_endless(tmp_path: Path) -> None:
    for number in range(18):
        write(tmp_path, f"p{number}.policy", f'import "p{number + 1}.policy"\npolicy p{number} {{}}')
    assert codes(tmp_path / "p0.policy") == ["P022"]


def test_two_policies_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "policy same {}")
    assert codes(write(tmp_path, "b.policy", 'import "a.policy"\npolicy same {}')) == ["P016"]


def test_a_file_with_several_policies_needs_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, "two.policy", "policy a {}\npolicy b {}")
    assert codes(path) == ["P024"]
    assert load_policy(path, name="b").name == "b"
    assert load_policy(f"{path}:a").name == "a"
    assert codes(path, name="c") == ["P020"]


def test_a_word_names_a_policy_that_ships() -> None:
    assert codes("no-such-policy") == ["P020"]
    assert load_policy("baseline", variables={"home": "/home/ada", "workspace": "/w"}).name == "baseline"


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.policy")
    (tmp_path / "link.policy").symlink_to(write(tmp_path, "real.policy", "policy p {}"))
    (tmp_path / "large.policy").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "bytes.policy").write_bytes(b"language 1\npolicy p \xff {}")
    assert codes(tmp_path / "fifo.policy") == ["P021"]
    assert codes(tmp_path / "link.policy") == ["P021"]
    assert codes(tmp_path / "none.policy") == ["P021"]
    assert codes(tmp_path / "large.policy") == ["P007"]
    assert codes(tmp_path / "bytes.policy") == ["P003"]


def test_a_variable_without_value_is_told_once() -> None:
    text = 'language 1\npolicy p { filesystem { allow read "${workspace}/a", "${workspace}/b" } }'
    with pytest.raises(PolicyError) as refused:
        parse_policy(text)
    assert [diagnostic.code for diagnostic in refused.value.diagnostics] == ["P040"]


@pytest.mark.parametrize(
    ("workspace", "home", "code"),
    [
        ("/home/ada", "/home/ada", "P041"),
        ("/home", "/home/ada", "P041"),
        ("/", "/home/ada", "P041"),
        ("relative", "/home/ada", "P040"),
        ("/a/../b", "/home/ada", "P040"),
    ],
)
def test_a_workspace_that_holds_the_home_is_refused(workspace: str, home: str, code: str) -> None:
    text = 'language 1\npolicy p { filesystem { allow read "${workspace}/a" } }'
    with pytest.raises(PolicyError) as refused:
        parse_policy(text, variables={"workspace": workspace, "home": home})
    assert [diagnostic.code for diagnostic in refused.value.diagnostics] == [code]


def test_an_operator_replaces_a_host_set() -> None:
    text = "language 1\npolicy p { network { allow connect @python-packages port 443 } }"
    policy = parse_policy(text, host_sets={"python-packages": ["mirror.example"]})
    assert policy.compile().decide("connect", "mirror.example", port=443).allowed
    assert not policy.compile().decide("connect", "pypi.org", port=443).allowed
    assert policy.bindings.host_sets == {"@python-packages": ("mirror.example",)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("lark", "pydantic", "replicante._core")
    code = f"import sys, replicante; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
