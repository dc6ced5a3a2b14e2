"""What only a command says, since a file of it may come from somebody else: where the user's keys are sent, and whether
code of a run directory is run. It is written to no file, and one that stands in a file is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from toffee_pipeline.config.base import NOT_CONTENT

ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+])(:\d{1,5})?/?")
ALLOWED = "allowed is http(s)://host[:port], without user, password, path or query"
KEYS, CODE = "where your keys are sent", "whether compiled code of a run directory is run"
OF_COMMANDS = dict.fromkeys(("endpoint_url", "cache_endpoint_url", "api_key_variable", "url"), KEYS) | {
    "share_compiled": CODE
}
"""Keys of the settings that only a command says, and what they say."""


def of_file(endpoint_url: str | None) -> dict[str, Any]:
    """The context in which a config of a file is validated. endpoint_url: of the command that reads the file, which
    takes the place of those that the config was run with."""
    return {"endpoint_url": endpoint_url}


def refusal(value: object, says: str = KEYS) -> str:
    """Of one that stands in a file; what may hold a password is not shown. says: as in `OF_COMMANDS`."""
    shown = value if isinstance(value, str) and re.fullmatch(r"[\w:/.\[\]-]+", value) else "what stands here"
    return f"{shown} is refused: {says} is said on the command line{', or by AWS_ENDPOINT_URL_S3' * (says == KEYS)}"


def keys_of_commands(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of `OF_COMMANDS` with a value, and that, in a file of settings."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        if key in OF_COMMANDS and value not in (None, False):
            yield f"{prefix}{key}", value
        else:
            yield from keys_of_commands(value, f"{prefix}{key}.")


def _check(url: str | None, info: ValidationInfo) -> str | None:
    if info.context is None:
        if url is not None and not ENDPOINT.fullmatch(url):
            raise ValueError(ALLOWED)
        return url
    if url is not None:
        raise ValueError(refusal(url))
    found: str | None = info.context["endpoint_url"]
    return found


EndpointUrl = Annotated[str | None, AfterValidator(_check), Field(exclude=True, validate_default=True), NOT_CONTENT]
"""None: AWS, or what AWS_ENDPOINT_URL_S3 says."""


def _check_shared(shared: bool, info: ValidationInfo) -> bool:
    if shared and info.context is not None:
        raise ValueError(refusal(shared, CODE))
    return shared


ShareCompiled = Annotated[bool, AfterValidator(_check_shared), Field(exclude=True), NOT_CONTENT]
