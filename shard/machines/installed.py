"""Which machine types a shard knows, each in one version or several: name and version to class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .base import StateMachine


class Machines(Mapping[str, type[StateMachine]]):
    """The machine classes that are installed, in one version or several: by type the class of the lowest version.

    Raises ValueError for a class without a type_name, and for two classes of one type and version.
    """

    def __init__(self, classes: Iterable[type[StateMachine]]) -> None:
        self._versions: dict[str, dict[int, type[StateMachine]]] = {}
        for machine in classes:
            if not machine.type_name:
                raise ValueError(f"{machine.__name__} has no type_name")
            versions = self._versions.setdefault(machine.type_name, {})
            if machine.version in versions:
                version = f" in version {machine.version}" if machine.version != 1 else ""
                raise ValueError(f"two machines are called {machine.type_name!r}{version}")
            versions[machine.version] = machine
        self._lowest = {name: versions[min(versions)] for name, versions in self._versions.items()}

    def __getitem__(self, type_name: str) -> type[StateMachine]:
        return self._lowest[type_name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lowest)

    def __len__(self) -> int:
        return len(self._lowest)

    def find(self, type_name: str, version: int) -> type[StateMachine] | None:
        """The class of that type in that version, if it is installed."""
        return self._versions.get(type_name, {}).get(version)

    def versions(self, type_name: str) -> list[int]:
        """The versions of a type that are installed, ascending."""
        return sorted(self._versions.get(type_name, ()))
