"""The runs on this machine at a glance, and their removal. Must not know sockets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from chaperon_engine.errors import UserError
from chaperon_engine.runs.directory import RunDirectory, all_runs
from chaperon_engine.runs.files import read_whole, write_atomic
from chaperon_engine.runs.record import read_record
from chaperon_engine.runs.report import Report
from chaperon_engine.text import visible


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list of runs."""

    id: str
    load_test: str
    state: str
    """`running`, `finished` or `killed` (its engine is gone and left no report)."""
    started_at: str
    """ISO 8601, UTC."""
    status: str
    """When finished: `complete`, `stopped`, `aborted` or `failed`."""
    size_bytes: int
    path: str
    tag: str = ""
    file: str = ""


def list_runs() -> list[RunSummary]:
    """All runs of this user, the newest first. Directories without a readable run.json are left
    out."""
    found = []
    for directory in reversed(all_runs()):
        try:
            record = read_record(directory)
        except UserError:
            continue
        found.append(
            RunSummary(
                id=directory.id,
                load_test=record.load_test,
                state=directory.state(),
                started_at=record.started_at or record.created_at,
                status=record.status,
                size_bytes=directory.size_bytes(),
                path=str(directory.path),
                tag=record.tag,
                file=record.file,
            )
        )
    return found


def load_report(run: str) -> Report:
    """The report of a finished run, by id, unique prefix, or path of a run or a report.json.

    Raises UserError.
    """
    directory = RunDirectory.find(run)
    try:
        return msgspec.json.decode(read_whole(directory.report), type=Report)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(f"{directory.report} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UserError(
            f"{directory.report} is damaged ({visible(error)}): `chaperon recover {directory.id}` "
            "makes it again from the journal"
        ) from None
    if directory.state() == "running":
        raise UserError(f"{directory.id} is still running: it has no report yet")
    raise UserError(
        f"{directory.id} was killed before its report: `chaperon recover {directory.id}` makes one"
    )


def save_report(directory: RunDirectory, report: Report) -> None:
    """Write report.json. Raises OSError."""
    write_atomic(directory.report, msgspec.json.encode(report))


def delete_run(run: str) -> None:
    """Remove a run that is not running. Raises UserError."""
    RunDirectory.find(run).delete()


def prune_runs(*, keep: int = 20, older_than: timedelta | None = None) -> list[str]:
    """Remove all but the newest `keep` runs, and of those removed only what is older than
    `older_than`. Running runs stay. Answers the ids that are gone."""
    limit = None if older_than is None else datetime.now(UTC) - older_than
    removed = []
    ended = [found for found in reversed(all_runs()) if found.state() != "running"]
    for directory in ended[max(keep, 0) :]:
        started = datetime.strptime(directory.id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        if limit is None or started < limit:
            directory.delete()
            removed.append(directory.id)
    return removed
