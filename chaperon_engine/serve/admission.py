"""From what somebody asked for to what the queue may run: names, options, addresses, exports.

Nothing is added unless everything that was asked for together is in order. Must not know: HTTP.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaperon_engine import export
from chaperon_engine.client.describing import describe
from chaperon_engine.client.queue import QueuedTest
from chaperon_engine.definition.confine import inside
from chaperon_engine.definition.discover import default_folders, discover
from chaperon_engine.definition.plan import LaunchRequest, Plan
from chaperon_engine.definition.problems import did_you_mean, listed
from chaperon_engine.errors import UserError
from chaperon_engine.net.allowed import AllowedTargets
from chaperon_engine.net.url import Origin
from chaperon_engine.serve.line import Item
from chaperon_engine.serve.options import (
    NO_AGENTS,
    OptionParser,
    Options,
    output_path,
    read_options,
)
from chaperon_engine.serve.store import QueueStore
from chaperon_engine.serve.targets import files_within, origins, urls_within
from chaperon_engine.text import visible

MAX_TESTS = 50
"""In one request; each is loaded by a process of its own before it is queued."""
MAX_WAITING_REQUESTS = 16
MAX_NAME_LENGTH = 500
FILE_FORMATS = ("csv", "json", "timeline")
"""Exports that write one file below the results folder and nothing else."""
_SUFFIXES = (".py", ".toml", ".json")

MakeItem = Callable[[str, str, LaunchRequest], Item]
"""(id, name, request) to an item."""


class TooBusy(UserError):
    """Too many requests wait for their files to be loaded."""


class Admission:
    """What this server runs for others."""

    def __init__(
        self,
        store: QueueStore,
        make_item: MakeItem,
        *,
        folders: Sequence[Path],
        targets: AllowedTargets,
        parser: OptionParser,
        exports: Mapping[str, str] | None = None,
        results: Path,
    ):
        """`exports`: formats that the operator allows beyond those that only write a file, with
        the destination of each, which nobody else chooses."""
        self._store = store
        self._make_item = make_item
        self._folders = folders
        self._targets = targets
        self._parser = parser
        self._exports_allowed = {**dict.fromkeys(FILE_FORMATS, ""), **(exports or {})}
        self._results = results
        self._loading = asyncio.Semaphore(1)
        self._waiting = 0

    async def admit(self, asked: Sequence[QueuedTest]) -> list[Item]:
        """The items to queue. Raises UserError, and leaves nothing behind then."""
        try:
            parsed = [test for one in asked for test in self._parser.parse(one)]
        except ValueError as error:
            raise UserError(visible(error)) from None
        if not parsed:
            raise UserError("no load tests given: load_tests must have at least one")
        if len(parsed) > MAX_TESTS:
            raise UserError(f"{len(parsed)} load tests at once; {MAX_TESTS} are allowed")
        items: list[Item] = []
        id = ""
        try:
            for number, test in enumerate(parsed):
                id = str(uuid.uuid4())
                try:
                    items.append(await self._admit(id, test))
                except TooBusy:
                    raise
                except UserError as error:
                    where = f"load_tests[{number}]: " if len(parsed) > 1 else ""
                    raise UserError(f"{where}{self._without_folders(error)}") from None
        except BaseException:
            self.drop([*(item.id for item in items), id])
            raise
        return items

    async def admit_own(self, request: LaunchRequest) -> Item:
        """The owner's own launch, who may run anything: only that it can be run is checked."""
        if request.data is None and not os.path.isabs(request.file):
            raise UserError("the file of a launch must be an absolute path")
        if request.listen:
            raise UserError(f"listen: {NO_AGENTS}")
        export.check(request.exports, request.export_options)
        plan = await self._describe(request)
        plan.check_ready()
        return self._make_item(str(uuid.uuid4()), plan.load_test, request)

    def drop(self, ids: Iterable[str]) -> None:
        """Forget items that were not queued after all."""
        for id in ids:
            self._store.drop_inputs(id)

    async def _admit(self, id: str, test: QueuedTest) -> Item:
        options = read_options(test.options)
        exports = self._exports(options)
        self._refuse_files(options.config, "config")
        request = LaunchRequest(
            **await asyncio.to_thread(self._source, test.test),
            sessions=options.sessions,
            duration_s=options.duration_s,
            iterations=options.iterations,
            shared_iterations=options.shared_iterations,
            warmup_s=options.warmup_s,
            workers=options.workers,
            seed=options.seed,
            tag=options.tag,
            metrics=options.metrics,
            exports=exports,
            detach=True,
            max_time_s=options.max_time_s,
        )
        bare = await self._without_config(request, test)
        own = frozenset[Origin]() if bare is None else origins(_urls_of(bare))
        self._check_targets(test, options, own)
        request = msgspec.structs.replace(request, targets=self._targets.texts(own))
        if options.config:
            path = self._keep(id, "config.json", options.config)
            request = msgspec.structs.replace(request, config_file=str(path))
        plan = bare if bare and not options.config else await self._describe(request)
        plan.check_ready()
        return self._make_item(id, plan.load_test, request)

    # files

    def _source(self, test: str | dict[str, Any]) -> dict[str, Any]:
        """What to load, as fields of a LaunchRequest."""
        if isinstance(test, str):
            file, name = self._locate(test)
            return {"file": str(file), "name": name}
        folders = self._present()
        if not folders:
            raise UserError("this server has no folder of scenarios: see --folder")
        files = list(_files_of(test))
        for folder in folders:
            if all(_file_in(folder, file) for file in files):
                return {"data": test, "folder": str(folder.resolve())}
        return {"data": test, "folder": str(folders[0].resolve())}

    def _locate(self, test: str) -> tuple[Path, str | None]:
        """The file and the name in it that `test` means, in one of the folders."""
        if not test or len(test) > MAX_NAME_LENGTH:
            raise UserError(f"test must have 1 to {MAX_NAME_LENGTH} characters")
        file, _, name = test.partition(":")
        if Path(file).suffix.lower() not in _SUFFIXES:
            return self._find_by_name(test)
        for folder in self._folders:
            path = _file_in(folder, file)
            if path is not None and path.suffix.lower() in _SUFFIXES:
                return path, name or None
        known = [self._shown(entry.file) for entry in discover(self._present())]
        raise UserError(
            f"there is no load test file '{visible(file, 80)}' here{did_you_mean(file, known)}"
        )

    def _find_by_name(self, name: str) -> tuple[Path, str | None]:
        """A load test by its class's name alone, when only one file has it."""
        entries = [entry for entry in discover(self._present()) if entry.is_load_test]
        files = {entry.file for entry in entries if entry.name == name}
        if not files:
            known = {entry.name for entry in entries}
            raise UserError(
                f"there is no load test '{visible(name, 80)}' here{did_you_mean(name, known)}"
            )
        if len(files) > 1:
            some = listed(sorted(self._shown(file) for file in files))
            raise UserError(f"several files have a load test '{visible(name, 80)}': {some}")
        return self._locate(f"{self._shown(files.pop())}:{name}")

    def _present(self) -> list[Path]:
        return [folder for folder in self._folders if folder.is_dir()]

    def _shown(self, file: str) -> str:
        """`file` as it is named from outside."""
        for folder in self._folders:
            if Path(file).is_relative_to(folder):
                return str(Path(file).relative_to(folder))
        return Path(file).name

    def _without_folders(self, error: UserError) -> str:
        """The sentence without where on this machine the file lies."""
        if error.path is None:
            return error.message
        line = "" if error.line is None else f":{error.line}"
        return f"{self._shown(error.path)}{line}: {error.message}"

    def _keep(self, id: str, name: str, document: dict[str, Any]) -> Path:
        try:
            return self._store.write_input(id, name, document)
        except OSError as error:
            raise UserError(f"the request cannot be kept: {error.strerror}") from None

    # what may be reached

    def _refuse_files(self, table: dict[str, Any], what: str) -> None:
        for where in files_within(table, what):
            raise UserError(
                f"{visible(where, 200)} names a file of this machine, which a request must not: "
                "put it into the load test"
            )

    async def _without_config(self, request: LaunchRequest, test: QueuedTest) -> Plan | None:
        """The plan of the file itself, without anything from outside; None when it has none."""
        if not isinstance(test.test, str):
            return None
        try:
            return await self._describe(request)
        except TooBusy:
            raise
        except UserError:  # It may lack what the request's config says.
            return None

    def _check_targets(self, test: QueuedTest, options: Options, own: frozenset[Origin]) -> None:
        """Every address that came from outside must be allowed, wherever in the request it is."""
        found = list(urls_within(options.config, "config"))
        if not isinstance(test.test, str):
            found += urls_within(test.test, "test")
        for where, url in found:
            if not self._targets.allows(url, own):
                raise UserError(
                    f"{visible(where, 200)} is {visible(url, 200)}, which this server must not "
                    "load; its operator allows more with --allow-target"
                )

    def _exports(self, options: Options) -> dict[str, str]:
        """Format to destination."""
        path = output_path(self._results, options.output) if options.output else ""
        known = [name for name in self._exports_allowed if name in export.formats()]
        found: dict[str, str] = {}
        for format in options.export:
            if format not in known:
                raise UserError(
                    f"export '{visible(format, 60)}' is not allowed here"
                    f"{did_you_mean(format, known)}"
                )
            if path and format not in FILE_FORMATS:
                raise UserError(f"output is for files; {format} goes where the operator says")
            found[format] = path or self._exports_allowed[format]
        export.check(found)
        return found

    async def _describe(self, request: LaunchRequest) -> Plan:
        if self._waiting >= MAX_WAITING_REQUESTS:
            raise TooBusy("too many requests wait for their files to be loaded: try again later")
        self._waiting += 1
        try:
            async with self._loading:
                return await describe(request)
        finally:
            self._waiting -= 1


def _urls_of(plan: Plan) -> Iterable[str]:
    """The addresses that the file itself aims at, without anything from outside."""
    for service in plan.services:
        yield service.base_url
    for population in plan.populations:
        for _, url in urls_within(population.config.get("services", {}), "services"):
            yield url


def _file_in(folder: Path, name: str) -> Path | None:
    """The ordinary file that `name` means in `folder`, all links followed; never outside of it."""
    path = inside(folder, name)
    try:
        return path if path is not None and path.is_file() else None
    except (OSError, ValueError):  # such as a name that is too long
        return None


def _files_of(data: Mapping[str, Any]) -> Iterable[str]:
    """The scenario files that a load test as data names, as far as it can be seen."""
    scenarios = data.get("scenarios")
    waiting = list(scenarios) if isinstance(scenarios, list) else []
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            item = item.get("scenario")
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str):
            file, _, _ = item.partition(":")
            yield file if file.endswith(".py") else f"{file.replace('.', '/')}.py"


def checked_folders(given: Sequence[str]) -> list[Path]:
    """The folders that tests are taken from, absolute; those of `chaperon list` when none is
    given. Raises UserError."""
    if not given:
        return [folder.path.absolute() for folder in default_folders()]
    folders = []
    for text in given:
        path = Path(text).expanduser().absolute()
        if not path.is_dir():
            raise UserError(f"--folder {visible(path)} is no folder")
        folders.append(path)
    return folders
