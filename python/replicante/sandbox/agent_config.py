"""`agent.toml`: which agent `replicante sandbox --config` runs."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replicante.errors import ConfigError


class AgentConfig(BaseModel):
    """The settings of one agent.

    Attributes:
        command: the program and its arguments.
        policy: a reference of policy-language T8; a relative file is meant from where the agent.toml lies.
        workspace: the directory to work on, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[str, ...] = Field(min_length=1)
    policy: str | None = None
    workspace: str | None = None


_REFERENCE_AGENT_KEYS = frozenset({"provider", "model", "goal", "mcp_servers"})


def read_agent_config(path: Path) -> AgentConfig:
    """Reads an `agent.toml`.

    Args:
        path: the file.

    Raises:
        ConfigError: it can't be read, is no TOML, or has a key or value that means nothing here.
    """
    try:
        with path.open("rb") as file:
            values: dict[str, object] = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", code="P001", help="name an agent.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}", code="P001", help="") from error
    section = values.get("agent")
    if isinstance(section, dict):
        values = cast("dict[str, object]", section)
    if "command" not in values and _REFERENCE_AGENT_KEYS & values.keys():
        raise ConfigError(
            f"{path}: the reference agent (`provider`, `model`, `goal`) is not part of this release",
            code="P080",
            help="name a program with `command = [...]`",
        )
    try:
        config = AgentConfig.model_validate(values)
    except ValidationError as error:
        raise _described(path, error) from error
    base = path.parent
    return config.model_copy(
        update={
            "workspace": None if config.workspace is None else str(base / config.workspace),
            "policy": _from(base, config.policy),
        }
    )


def _from(base: Path, policy: str | None) -> str | None:
    if policy is None or ("/" not in policy and "." not in policy):
        return policy
    return str(base / policy)


def _described(path: Path, error: ValidationError) -> ConfigError:
    """The first finding in one line, with the key that was probably meant."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(key, AgentConfig.model_fields, n=1)
        help = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(AgentConfig.model_fields)}"
        return ConfigError(f"{path}: unknown key `{key}`", code="P080", help=help)
    return ConfigError(f"{path}: `{key}`: {first['msg'].lower()}", code="P081", help="")
