"""One cluster of two shards for all tests of resource handles, and the same tests for both kinds of clients.

`client` is a blocking client, and once more an asyncio one whose coroutines are run to their end where they are called; a
test that needs more of either uses `endpoints`. `name` is a name that nobody else uses.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ocelog
import pytest
from ocelog.__main__ import main
from ocelog.cluster import LocalCluster


class Awaited:
    """An asyncio object whose methods block."""

    def __init__(self, runner: asyncio.Runner, target: Any) -> None:
        self._runner = runner
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return self._wrapped(getattr(self._target, name))

    def _wrapped(self, found: Any) -> Any:
        if inspect.isawaitable(found):
            return self._wrapped(self._runner.run(_result(found)))
        if callable(found) and not isinstance(found, type):
            return lambda *arguments, **keywords: self._wrapped(self._run(found, arguments, keywords))
        if hasattr(found, "__anext__") or hasattr(found, "__aenter__"):
            return Awaited(self._runner, found)
        if type(found).__name__.startswith("Async"):
            return Awaited(self._runner, found)
        return found

    def _run(self, function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        # Handles and streams are made inside the loop that their client belongs to.
        async def call() -> Any:
            result = function(*arguments, **keywords)
            return await result if inspect.isawaitable(result) else result

        return self._runner.run(call())

    def __iter__(self) -> Iterator[Any]:
        iterator = self._target.__aiter__()
        while True:
            try:
                yield self._runner.run(_result(iterator.__anext__()))
            except StopAsyncIteration:
                return

    def __enter__(self) -> Any:
        return self._wrapped(self._runner.run(_result(self._target.__aenter__())))

    def __exit__(self, *error: Any) -> None:
        self._runner.run(_result(self._target.__aexit__(*error)))


async def _result(awaitable: Any) -> Any:
    return await awaitable


@pytest.fixture(scope="session")
def endpoints() -> Iterator[list[str]]:
    """Where the cluster of all these tests listens."""
    with LocalCluster(shards=2, replicas=1) as cluster:
        yield cluster.endpoints


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, endpoints: list[str]) -> Iterator[Any]:
    """A client of each kind, to be used like a blocking one."""
    if request.param == "blocking":
        with ocelog.connect(endpoints) as client:
            yield client
        return
    with asyncio.Runner() as runner, Awaited(runner, _Connecting(endpoints)) as client:
        yield client


class _Connecting:
    def __init__(self, endpoints: list[str]) -> None:
        self._endpoints = endpoints

    async def __aenter__(self) -> Any:
        self._client = await ocelog.connect_async(self._endpoints)
        return self._client

    async def __aexit__(self, *error: Any) -> None:
        await self._client.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of this test's own."""
    return f"{request.module.__name__.rpartition('.')[2]}/{request.node.name}"


@pytest.fixture
def run(endpoints: list[str], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The command line `ocelog` on the cluster: exit code and what was printed."""

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "ocelog", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"OCELOG_ENDPOINTS": ",".join(endpoints)},
            cwd=tmp_path,
        )
        return done.returncode, done.stdout

    return run


@pytest.fixture
def run_here(
    endpoints: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The same without a process of its own, which costs more than all that it does."""
    monkeypatch.setenv("OCELOG_ENDPOINTS", ",".join(endpoints))

    def run_here(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as usage:
            code = int(usage.code or 0)
        return code, capsys.readouterr().out

    return run_here
