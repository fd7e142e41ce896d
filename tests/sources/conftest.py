"""Real servers for the sources' tests, one of each for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system import RegistryServer, docker_engine, docker_registry, podman_engine


@pytest.fixture(scope="session")
def open_registry() -> Iterator[RegistryServer]:
    with docker_registry() as server:
        yield server


@pytest.fixture(scope="session")
def guarded_registry() -> Iterator[RegistryServer]:
    with docker_registry(user="me", password="se:cret") as server:
        yield server


@pytest.fixture(scope="session")
def docker_address() -> Iterator[str]:
    with docker_engine() as address:
        yield address


@pytest.fixture(scope="session")
def podman_address() -> Iterator[str]:
    with podman_engine() as address:
        yield address
