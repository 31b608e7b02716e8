"""S3 and stores that speak its protocol: the documents of other formats as objects of a bucket.

Owns: names of objects, the client's settings, what its errors mean. Must not know any format.

The client is botocore, the lower half of AWS's own SDK: boto3 on top of it adds objects that one
call does not need. Who writes to S3 has profiles, SSO, roles and instance credentials set up for
that SDK, and no lighter client reads all of them. It is an extra, loaded when an export begins.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from chaperon_engine.export import registry, settings
from chaperon_engine.export.address import http_address, positive_seconds, whole_number
from chaperon_engine.export.exporter import Exporter, FileExporter, Option, Output, chunks
from chaperon_engine.export.files import ExportError, destination_for, safe_name, started
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible

MAX_RETRIES = 20
_SPOOLED_BYTES = 4 * 1024 * 1024
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
_REFUSED = {
    "NoSuchBucket": "there is no such bucket: make it, or check region and endpoint-url",
    "AccessDenied": "these credentials may not put objects there (s3:PutObject)",
    "AllAccessDisabled": "the bucket is closed to everybody",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the session's credentials have expired: log in again",
    "ExpiredTokenException": "the session's credentials have expired: log in again",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket lies in another region: say it with s3.region",
    "AuthorizationHeaderMalformed": "the bucket lies in another region: say it with s3.region",
    "EntityTooLarge": "the document is too large for one object",
}


class S3Exporter(Exporter):
    """An object for each of the `formats`, and the resolved config and scenarios beside them."""

    summary = "documents of other formats, to a bucket of S3 or a store like it"
    destination = "BUCKET[/PREFIX]"
    options = (
        Option("formats", "which documents, with commas between", "json"),
        Option("endpoint-url", "of a store that is not AWS"),
        Option("region", "of the bucket, when the SDK does not know it"),
        Option("profile", "of the SDK's configuration"),
        Option("timeout", "of connecting, and of each wait for the store", "10s"),
        Option("retries", "further attempts of one request", "2"),
    )

    def find_option(self, name: str) -> Option | None:
        """Also those of the wrapped exporters: `csv.separator`."""
        format, dot, inner = name.partition(".")
        if not dot:
            return super().find_option(name)
        try:
            return settings.find_option(_wrapped(format), inner)
        except ExportError:
            return None

    def check(self, output: Output) -> None:
        """Everything that needs no network; credentials are found when they are needed."""
        if find_spec("botocore") is None:
            raise ExportError("the s3 exporter needs an extra: pip install 'chaperon[s3]'")
        _place(output.destination)
        _formats(output)
        _client_settings(output.options)

    def export(self, report: Report, output: Output) -> str:
        """Puts the objects; the same run exported again replaces them."""
        bucket, prefix = _place(output.destination)
        stem = _stem(prefix, report)
        store = _Store(bucket, output.options)
        extensions: list[str] = []
        for extension, document in _documents(report, output):
            try:
                store.put(f"{stem}.{extension}", document, _content_type(extension))
            except ExportError as error:
                there = f"; {' and '.join(extensions)} are there already" if extensions else ""
                raise ExportError(f"{error}{there}") from error
            extensions.append(extension)
        return f"s3://{bucket}/{stem}.{extensions[0]} (and {', '.join(extensions[1:])})"


def _place(text: str) -> tuple[str, str]:
    """(bucket, prefix without slashes around it)."""
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        # What looks like an address may have credentials in it.
        shown = "" if "@" in text or "?" in text else f" {visible(text, 100)!r}"
        raise ExportError(f"the s3 destination{shown} is not of the form BUCKET[/PREFIX]")
    if not prefix.isprintable():
        raise ExportError(f"the s3 prefix {visible(prefix, 100)!r} has invisible characters")
    return bucket, prefix.strip("/")


def _stem(prefix: str, report: Report) -> str:
    """As below `results`, but with the run's id: nobody looks for a free name in a bucket."""
    run = report.run
    name = f"{safe_name(run.tag)}-{safe_name(run.id)}" if run.tag else safe_name(run.id)
    parts = (prefix, f"{started(report):%Y-%m-%d}", safe_name(run.load_test, "load-test"), name)
    return "/".join(part for part in parts if part)


def _content_type(extension: str) -> str:
    return _TYPES.get(extension.rpartition(".")[2], "application/octet-stream")


def _wrapped(format: str) -> FileExporter:
    exporter = registry.find(format)
    if not isinstance(exporter, FileExporter):
        raise ExportError(f"s3.formats: {visible(format, 60)} makes no document")
    return exporter


def _formats(output: Output) -> Iterator[tuple[FileExporter, Output]]:
    """The wrapped exporters with what they are told; all are checked before the first is given."""
    found = []
    names = [name.strip() for name in output.options["formats"].split(",")]
    for format in dict.fromkeys(names):
        exporter = _wrapped(format)
        given = {
            name.removeprefix(f"{format}."): value
            for name, value in output.options.items()
            if name.startswith(f"{format}.")
        }
        inner = settings.resolve(format, exporter, "", given, output.folder)
        exporter.check(inner)
        found.append((exporter, inner))
    return iter(found)


def _documents(report: Report, output: Output) -> Iterator[tuple[str, IO[bytes]]]:
    """(extension, content) of each object, one after the other, on disk when they are large."""
    companions: Mapping[str, bytes] = {}
    for exporter, inner in _formats(output):
        companions = destination_for(report, exporter.extension, None, Path()).companions
        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as file:
            for chunk in chunks(exporter.encode(report, inner.options)):
                file.write(chunk)
            file.seek(0)
            yield exporter.extension, file
    for extension, content in companions.items():
        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as file:
            file.write(content)
            file.seek(0)
            yield extension, file


def _client_settings(options: Mapping[str, str]) -> dict[str, Any]:
    """What botocore's Config is made of."""
    timeout_s = positive_seconds(options["timeout"], "s3.timeout")
    retries = whole_number(options["retries"], "s3.retries", MAX_RETRIES)
    config: dict[str, Any] = {
        "connect_timeout": timeout_s,
        "read_timeout": timeout_s,
        "retries": {"mode": "standard", "total_max_attempts": retries + 1},
    }
    if options["endpoint-url"]:
        http_address(options["endpoint-url"], "s3.endpoint-url", "http://HOST:PORT")
        # Stores like it seldom have a name for each bucket, nor AWS's newer checksums.
        config["s3"] = {"addressing_style": "path"}
        config["request_checksum_calculation"] = "when_required"
        config["response_checksum_validation"] = "when_required"
    return config


class _Store:
    """A bucket."""

    def __init__(self, bucket: str, options: Mapping[str, str]):
        self._bucket = bucket
        self._errors: Any = import_module("botocore.exceptions")
        endpoint = options["endpoint-url"]
        self._where = f"the bucket {visible(bucket, 100)!r}" + (
            f" at {visible(endpoint, 200)}" if endpoint else ""
        )
        session = import_module("botocore.session").Session(profile=options["profile"] or None)
        try:
            self._client: Any = session.create_client(
                "s3",
                region_name=options["region"] or ("us-east-1" if endpoint else None),
                endpoint_url=endpoint or None,
                config=import_module("botocore.config").Config(**_client_settings(options)),
            )
        except (self._errors.BotoCoreError, ValueError) as error:
            raise self._sentence(error) from error

    def put(self, key: str, document: IO[bytes], content_type: str) -> None:
        """Raises `ExportError`."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=document, ContentType=content_type
            )
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            raise self._sentence(error) from error

    def _sentence(self, error: Exception) -> ExportError:
        errors = self._errors
        if isinstance(error, errors.ClientError):
            told = self._refusal(error)
        elif isinstance(error, errors.NoCredentialsError | errors.PartialCredentialsError):
            told = (
                "no credentials were found: set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or "
                "$AWS_PROFILE, or s3.profile"
            )
        elif isinstance(error, errors.ProfileNotFound):
            told = "there is no such profile in the SDK's configuration: check s3.profile"
        elif isinstance(error, errors.SSLError):
            told = "the certificate cannot be verified; $AWS_CA_BUNDLE names further authorities"
        elif isinstance(error, errors.ConnectTimeoutError | errors.ReadTimeoutError):
            told = "the store does not answer in time (s3.timeout)"
        elif isinstance(error, errors.ConnectionError):
            told = "the store cannot be reached: check s3.endpoint-url and the network"
        else:
            told = f"{type(error).__name__}: {visible(error)}"
        return ExportError(f"cannot write to {self._where}: {told}")

    def _refusal(self, error: Any) -> str:
        code = str(error.response.get("Error", {}).get("Code", ""))
        words = str(error.response.get("Error", {}).get("Message", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        meaning = _REFUSED.get(code)
        known = str(status) if code == str(status) else f"{status} {code}"
        told = visible(f"{known}: {words}".strip(" :"), 300)
        return f"{meaning} ({told})" if meaning else f"the store answers {told}"
