"""Memory, processes, processor time and traffic by cgroup v2: each is exceeded plainly and held inside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from tests.kernels.guest import Ended

AMOUNTS = ("memory", "processes", "cpu", "freeze")
ONLY_BY_GROUP = "swap"
WITHOUT_LEFTOVERS = (
    *("memory", "processes", "io", "cpu", "spent", "strong", "after", "first"),
    *("delegated", "part", "escape", "end"),
)
MIB = 1 << 20


def number(text: str, word: str) -> int:
    """The number behind a word that the agent printed."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{word} "))


def probed(guest: Ended, name: str) -> dict[str, Any]:
    """What a probe found of control groups."""
    findings = cast("list[dict[str, Any]]", json.loads(guest.text(f"{name}.out")))
    return next(finding for finding in findings if finding["mechanism"] == "cgroup")


def test_a_hog_is_killed_at_its_limit(guest: Ended) -> None:
    assert "held 200" in guest.text("memory.plain")
    assert "held" not in guest.text("memory.out")
    assert guest.facts["memory"]["code"] == "137"
    assert guest.hits("memory") == {"memory": 1}
    assert guest.report("memory")["limits"] == [{"resource": "memory", "count": 1, "limit": 64 * MIB}]


def test_processes_are_refused_above_their_number(guest: Ended) -> None:
    assert number(guest.text("processes.plain"), "made") == 60
    # The agent's own first process counts, the sandbox's does not.
    assert number(guest.text("processes.out"), "made") == 19
    assert guest.hits("processes") == {"processes": 1}


def test_a_fork_bomb_is_held_and_ends_with_the_shim(guest: Ended) -> None:
    seen = guest.facts["bomb"]
    assert 10 < int(seen["most"]) <= 40
    assert seen["code"] == "137"
    assert seen["agents"] == "0"


def test_a_flood_of_refused_forks_is_a_few_events(guest: Ended) -> None:
    assert guest.hits("bomb")["processes"] > 0
    assert len(guest.events("bomb")) < 50


def test_processor_time_that_is_spent_ends_the_run(guest: Ended) -> None:
    assert number(guest.text("cpu.plain"), "spun") > 1000
    assert guest.facts["spent"]["code"] == "124"
    assert guest.hits("spent") == {"cpu-time": 1}


def test_processor_time_is_throttled(guest: Ended) -> None:
    plain, inside = (number(guest.text(f"cpu.{kind}"), "spun") for kind in ("plain", "out"))
    assert int(guest.facts["cpu"]["throttled"]) > 0
    # A fifth of a core for some three seconds: plainly two cores are there.
    assert inside < 1200 < plain


def test_writing_is_throttled_on_the_disk_of_the_workspace(guest: Ended) -> None:
    plain, inside = (number(guest.text(f"io.{kind}"), "wrote") for kind in ("plain", "out"))
    # 8 MiB at 2 MiB a second.
    assert plain < 3000 < inside
    assert guest.guarantees("io")["io"] == ("held", "cgroup io.max on the workspace's disk")


def test_the_ledger_says_that_groups_hold(guest: Ended) -> None:
    ledger = guest.guarantees("memory")
    assert {ledger[name][0] for name in AMOUNTS} == {"held"}
    assert all("cgroup" in ledger[name][1] for name in AMOUNTS)
    assert ledger[ONLY_BY_GROUP][0] == "held"
    assert probed(guest, "probe")["present"] is True


def test_a_run_without_stand_ins_starts(guest: Ended) -> None:
    assert guest.facts["strong"]["code"] == "0"
    assert not [name for name, (state, _) in guest.guarantees("strong").items() if state == "weaker"]
    # The group is the top of what the agent sees: programs take their size from it. 4 GiB is `moderate`'s.
    assert guest.text("strong.out") == f"0::/\n{4096 * MIB}\n"


def test_stand_ins_are_named_where_nothing_is_delegated(guest: Ended) -> None:
    ledger = guest.guarantees("undelegated")
    assert {ledger[name][0] for name in AMOUNTS} == {"weaker"}
    assert ledger["processes"][1].startswith("RLIMIT_NPROC")
    assert ONLY_BY_GROUP not in ledger
    assert number(guest.text("undelegated.out"), "made") < 20
    found = probed(guest, "probe-undelegated")
    assert found["present"] is False
    assert "can't be written" in found["found"]


def test_without_delegation_a_run_without_stand_ins_is_refused(guest: Ended) -> None:
    assert guest.facts["unwilling"]["code"] == "125"
    (line,) = guest.text("unwilling.err").splitlines()
    assert line.startswith("error[L011]: not started: no cgroup v2 is delegated here")


def test_a_group_that_was_given_to_a_user_is_used_and_left_as_it_was(guest: Ended) -> None:
    assert guest.facts["delegated"] == {"code": "137", "left": "0", "control": ""}
    assert {guest.guarantees("delegated")[name][0] for name in AMOUNTS} == {"held"}
    assert guest.hits("delegated") == {"memory": 1}
    assert probed(guest, "probe-delegated")["present"] is True


def test_what_a_group_lacks_is_left_to_stand_ins(guest: Ended) -> None:
    assert guest.facts["part"] == {"code": "137", "left": "0", "control": ""}
    ledger = guest.guarantees("part")
    states = {name: ledger[name][0] for name in AMOUNTS}
    assert states == {"memory": "held", "processes": "held", "cpu": "weaker", "freeze": "held"}
    found = probed(guest, "probe-part")
    assert (found["present"], found["found"]) == (
        False,
        "delegated at /sys/fs/cgroup/part/user without cpu, io",
    )


def test_runs_beside_each_other_keep_their_groups(guest: Ended) -> None:
    assert guest.facts["beside"] == {"code": "0", "left": "1"}
    assert guest.guarantees("beside")["memory"][0] == "held"


def test_a_group_with_others_in_it_is_not_used(guest: Ended) -> None:
    assert guest.facts["crowded"]["code"] == "0"
    assert {guest.guarantees("crowded")[name][0] for name in AMOUNTS} == {"weaker"}


def test_the_owner_of_the_group_can_t_leave_it(guest: Ended) -> None:
    assert guest.text("escape.plain") == "write done\n"
    assert guest.text("escape.out").splitlines() == [
        *["write Read-only file system"] * 2,
        "write No such file or directory",
    ]
    assert guest.guarantees("escape")["memory"][0] == "held"


@pytest.mark.parametrize(
    "case",
    [
        "memory",
        "processes",
        "io",
        "cpu",
        "spent",
        "strong",
        "after",
        "first",
        "delegated",
        "part",
        "escape",
        "end",
    ],
)
def test_no_group_is_left(guest: Ended, case: str) -> None:
    assert guest.facts[case]["left"] == "0"


def test_a_first_process_that_is_killed_takes_the_run_along(guest: Ended) -> None:
    assert guest.facts["first"]["code"] == "125"
    assert guest.facts["first"]["agents"] == "0"


def test_leftovers_are_removed_and_nothing_else(guest: Ended) -> None:
    assert guest.facts["killed"] == {"code": "137", "agents": "0", "left": "2"}
    removed = [path.rsplit("/", 1)[1] for path in json.loads(guest.text("leftovers.out"))]
    assert removed == [f"replicante-{guest.runs['killed'][0]}", "replicante-shims"]
    # A group that is not empty stays, and one with another name.
    assert guest.facts["leftovers"]["left"] == "/sys/fs/cgroup/others,/sys/fs/cgroup/user/replicante-kept/"


def test_a_run_starts_from_the_leaf_that_a_killed_one_left(guest: Ended) -> None:
    assert guest.facts["again"] == {"code": "0", "left": "1"}
    assert guest.guarantees("again")["memory"][0] == "held"
