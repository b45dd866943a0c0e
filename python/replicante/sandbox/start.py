"""From a command and its options to a launch that is ready, and to the shim.

On the way of a plain start whose compiled policy is in the cache nothing of the policy language is imported.
"""

from __future__ import annotations

import os

from replicante.sandbox import policy_cache, state
from replicante.sandbox.bindings import default_bindings, resolve_workspace
from replicante.sandbox.find_policy import (
    FoundPolicy,
    choose_policy,
    is_file_reference,
    operator_default,
    split_reference,
)
from replicante.sandbox.launch import Launch, Options, become_shim, prepare
from replicante.sandbox.shim import require_supported_system

TRUST_RECORD = "trusted.json"
"""The file of `replicante.policy.trust_store` in the state directory."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from replicante.sandbox.policy_cache import CompiledPolicy


class StartOptions:
    """What the operator says about one run.

    Attributes:
        policy: a reference of T8, or `None` to look for one.
        workspace: a directory, or `None` for the repository's top or the current directory.
        settings: variables set by the operator.
        no_weaker: refuse every stand-in.
        explain: say each denial at once.
        report: form of the report at the end, `text` or `json`.
        visibility: `usual`, or `whole` to have every refused name seen, at a cost for absolute paths.
    """

    __slots__ = ("explain", "no_weaker", "policy", "report", "settings", "visibility", "workspace")

    def __init__(
        self,
        *,
        policy: str | None = None,
        workspace: str | None = None,
        settings: Mapping[str, str] | None = None,
        no_weaker: bool = False,
        explain: bool = False,
        report: str = "text",
        visibility: str = "usual",
    ) -> None:
        self.policy = policy
        self.workspace = workspace
        self.settings = dict(settings or {})
        self.no_weaker = no_weaker
        self.explain = explain
        self.report = report
        self.visibility = visibility


def start(command: Sequence[str], options: StartOptions, task: str = "run") -> NoReturn:
    """Replaces this process by the shim that runs `command`.

    Args:
        command: the program and its arguments.
        options: what the operator says about the run.
        task: `run`, or `plan` to print what would be set up and run nothing.

    Raises:
        PolicyError: the policy has errors.
        ConsentError: a person must agree first.
        LaunchError: the run can't be set up.
    """
    become_shim(make_ready(command, options), task)


def make_ready(command: Sequence[str], options: StartOptions) -> Launch:
    """Everything up to the shim: policy, trust, directories, launch description.

    Raises:
        PolicyError: the policy has errors.
        ConsentError: a person must agree first.
        LaunchError: the run can't be set up.
    """
    require_supported_system()
    workspace = options.settings.get("workspace") or resolve_workspace(options.workspace)
    bindings = default_bindings(workspace, state.new_run_id(), options.settings)
    directory = state.open_state()
    found = choose_policy(options.policy, workspace, state.config_path())
    compiled = compiled_policy(found, bindings, directory)
    private = None
    if compiled.workspace is not None:
        from replicante.sandbox.configured_workspace import configured_workspace

        workspace, private = configured_workspace(compiled.workspace, directory)
        bindings = {**bindings, "workspace": workspace}
    launch_options = Options(
        no_weaker=options.no_weaker,
        explain=options.explain,
        report=options.report,
        visibility=options.visibility,
        workspace=private,
    )
    return prepare(command, compiled.packed, bindings, directory, launch_options)


def compiled_policy(found: FoundPolicy, bindings: Mapping[str, str], directory: str) -> CompiledPolicy:
    """The chosen policy, from the cache or made now, once a person's trust covers it.

    Args:
        found: of `choose_policy`.
        bindings: all eight variables.
        directory: the state directory.

    Raises:
        PolicyError: the policy has errors.
        ConsentError: a person must agree first.
    """
    reference = _absolute(found.reference)
    if found.top is None:
        trusted = "operator"
    else:
        # Consent is part of the key: after any change of the trust record the question is open again.
        record = policy_cache.file_sha256(os.path.join(directory, TRUST_RECORD))
        trusted = f"{record} {found.top} {operator_default(state.config_path())}"
    key = policy_cache.cache_key(reference, bindings, trusted)
    compiled = policy_cache.lookup(directory, key)
    if compiled is not None:
        return compiled
    from replicante.sandbox.compile_policy import compile_trusted

    compiled, closure = compile_trusted(FoundPolicy(reference, found.top), bindings, directory)
    policy_cache.store(directory, key, compiled, closure)
    return compiled


def _absolute(reference: str) -> str:
    if not is_file_reference(reference):
        return reference
    file, name = split_reference(reference)
    path = os.path.abspath(file)
    return path if name is None else f"{path}:{name}"
