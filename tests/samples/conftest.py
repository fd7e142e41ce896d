from pathlib import Path

import pytest

from samples import build


@pytest.fixture(scope="session")
def samples_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where samples are built, each once in a session."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="session", params=build.names())
def sample(request: pytest.FixtureRequest, samples_directory: Path) -> Path:
    """The layout of one sample after the other."""
    return build.build(request.param, samples_directory)
