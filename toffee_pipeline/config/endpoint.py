"""Where a store is that is not AWS. Requests to it are signed with the user's keys, so it is told on the command line
or in the environment alone: it is written to no file, and one that stands in a file is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from toffee_pipeline.config.base import NOT_CONTENT

ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+])(:\d{1,5})?/?")
ALLOWED = "allowed is http(s)://host[:port], without user, password, path or query"
OF_COMMANDS = ("endpoint_url", "cache_endpoint_url", "api_key_variable", "url")
"""Keys of the settings that say where the user's keys are sent."""


def of_file(endpoint_url: str | None) -> dict[str, Any]:
    """The context in which a config of a file is validated. endpoint_url: of the command that reads the file, which
    takes the place of those that the config was run with."""
    return {"endpoint_url": endpoint_url}


def refusal(url: object) -> str:
    """Of one that stands in a file; what may hold a password is not shown."""
    shown = url if isinstance(url, str) and re.fullmatch(r"[\w:/.\[\]-]+", url) else "what stands here"
    return f"{shown} is refused: where your keys are sent is said on the command line, or by AWS_ENDPOINT_URL_S3"


def keys_of_commands(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of `OF_COMMANDS` with a value, and that, in a file of settings."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        if key in OF_COMMANDS and value is not None:
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
