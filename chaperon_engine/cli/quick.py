"""`chaperon quick`: a load test of one URL, from arguments alone.

Owns: the way from a URL and options to a launch of `quick_scenario`. What may be secret (headers,
credentials, body) travels in launch.json, never in the arguments of a process.
"""

from __future__ import annotations

import base64
import json
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from chaperon_engine.cli.requesting import export_options, exports
from chaperon_engine.definition.plan import LaunchRequest
from chaperon_engine.errors import UserError
from chaperon_engine.text import visible

DEFAULT_DURATION_S = 10.0
MAX_BODY_BYTES = 4 * 1024 * 1024

_SERVICE = "services.target"
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}")


def quick(arguments: Namespace) -> int:
    """Load one URL, print how it goes and the summary."""
    request = quick_request(arguments)
    from chaperon_engine.cli.running import execute

    return execute(request)


def quick_request(arguments: Namespace) -> LaunchRequest:
    """What `chaperon quick` was asked to do. Raises UserError."""
    parts = split_url(arguments.url)
    body = _body(arguments.body)
    method = (arguments.method or ("GET" if body is None else "POST")).upper()
    if not _METHOD.fullmatch(method):
        raise UserError(f"{visible(arguments.method, 60)!r} is no HTTP method")
    overrides = [
        f"{_SERVICE}.base_url={_toml(_origin(parts))}",
        f"config.quick.method={_toml(method)}",
        f"config.quick.path={_toml(_path(parts))}",
    ]
    if parts.username is not None:
        pair = [unquote(parts.username), unquote(parts.password or "")]
        overrides.append(f"{_SERVICE}.basic_auth=[{_toml(pair[0])}, {_toml(pair[1])}]")
    for name, value in headers(arguments.header).items():
        overrides.append(f"{_SERVICE}.headers.{_toml(name)}={_toml(value)}")
    if body is not None:
        # The word makes it a secret: plan and report show `***` in place of a body.
        overrides.append(f"config.quick.secret_body={_toml(base64.b64encode(body).decode())}")
    if arguments.timeout is not None:
        overrides.append(f"{_SERVICE}.timeout={arguments.timeout!r}")
    if arguments.insecure:
        overrides.append(f"{_SERVICE}.insecure=true")
    sessions, requests = arguments.sessions, arguments.requests
    if requests is not None:
        sessions = min(sessions, requests)
    return LaunchRequest(
        file=str(Path(__file__).with_name("quick_scenario.py").absolute()),
        name="Quick",
        overrides=overrides,
        sessions={"*": sessions},
        duration_s=(arguments.duration or DEFAULT_DURATION_S) if requests is None else None,
        shared_iterations=requests,
        warmup_s=arguments.warmup,
        workers=arguments.workers,
        pin=not arguments.no_pin,
        seed=arguments.seed,
        tag=arguments.tag,
        exports=exports(arguments.out),
        export_options=export_options(arguments.out_option),
    )


def url_request(url: str) -> LaunchRequest:
    """What `chaperon quick URL` launches when nothing else is said. Raises UserError."""
    from chaperon_engine.cli.arguments import parse

    return quick_request(parse(["quick", url]))


def split_url(text: str) -> SplitResult:
    """The parts of an http or https URL; without a scheme http is meant. Raises UserError."""
    shown = visible(re.sub(r"//[^/@]*@", "//***@", text))
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(char.isspace() or not char.isprintable() for char in url):
        raise UserError(f"{shown!r} is no URL of the form http://HOST[:PORT]/PATH")
    if parts.scheme not in ("http", "https"):
        raise UserError(f"{shown!r} has the scheme {parts.scheme!r}; quick loads http and https")
    return parts


def headers(values: Sequence[str]) -> dict[str, str]:
    """`Name: value` arguments by name; a repeated name is joined with a comma. Raises UserError."""
    found: dict[str, str] = {}
    for value in values:
        name, colon, content = value.partition(":")
        name, content = name.strip(), content.strip()
        if not colon or not name:
            # The value is not shown: a header often is a secret.
            raise UserError("-H needs the form 'Name: value', with a colon")
        same = next((known for known in found if known.lower() == name.lower()), name)
        found[same] = f"{found[same]}, {content}" if same in found else content
    return found


def _body(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not text.startswith("@"):
        return os.fsencode(text)
    path = Path(text[1:]).expanduser()
    try:
        with path.open("rb") as file:
            body = file.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise UserError(f"the body {visible(path)} cannot be read: {error.strerror}") from None
    if len(body) > MAX_BODY_BYTES:
        limit = MAX_BODY_BYTES // 2**20
        raise UserError(
            f"the body {visible(path)} is larger than {limit} MiB; write a scenario that reads it"
        )
    return body


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _toml(text: str) -> str:
    """`text` as a TOML string: JSON's escapes are TOML's, but for DEL and lone surrogates."""
    clean = text.encode("utf-8", "replace").decode()
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")
