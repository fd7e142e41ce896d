"""Credentials are found where docker and podman keep them, and for the right registry only."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from imagescan.errors import Unauthorized
from imagescan.reference import ImageReference
from imagescan.sources.credentials import Credential, find_credential

HUB = "https://index.docker.io/v1/"


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


class Home:
    """A home directory with configuration files and credential helpers."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.environment = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory / "run")}
        (directory / "bin").mkdir()
        monkeypatch.setenv("PATH", f"{directory / 'bin'}:{os.environ['PATH']}")

    def docker(self, content: Any) -> Home:
        return self.write(".docker/config.json", content)

    def write(self, name: str, content: Any) -> Home:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return self

    def helper(self, name: str, script: str) -> Home:
        path = self.directory / "bin" / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return self

    def find(self, reference: str) -> Credential | None:
        return self.ask(reference)[0]

    def ask(self, reference: str) -> tuple[Credential | None, str]:
        found = find_credential(ImageReference.parse(reference), self.environment, 0.5)
        return found.credential, found.problem


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


def test_without_files_there_is_none(home: Home) -> None:
    assert home.ask("quay.io/a/b") == (None, "")


def test_an_inline_password_may_hold_colons(home: Home) -> None:
    home.docker({"auths": {"quay.io": auth("me", "a:b:ü")}})
    assert home.find("quay.io/a/b") == Credential("me", "a:b:ü")
    assert home.find("ghcr.io/a/b") is None
    assert home.find("quay.io.evil.example/a/b") is None


@pytest.mark.parametrize(
    "key", [HUB, "https://index.docker.io/v1", "docker.io", "index.docker.io", "registry-1.docker.io"]
)
def test_docker_hub_has_many_names(home: Home, key: str) -> None:
    home.docker({"auths": {key: auth("me", "x")}})
    assert home.find("alpine") == Credential("me", "x")


@pytest.mark.parametrize(
    "key", ["https://h.example:5000/v2/", "https://h.example:5000", "h.example:5000", "h.example:5000/"]
)
def test_keys_of_former_days_are_understood(home: Home, key: str) -> None:
    home.docker({"auths": {key: auth("me", "x")}})
    assert home.find("h.example:5000/a") == Credential("me", "x")
    assert home.find("h.example/a") is None


def test_the_most_specific_path_wins(home: Home) -> None:
    home.write(
        "run/containers/auth.json",
        {"auths": {name: auth(name, "x") for name in ("quay.io", "quay.io/org", "quay.io/org/app")}},
    )
    assert home.find("quay.io/org/app:1") == Credential("quay.io/org/app", "x")
    assert home.find("quay.io/org/other") == Credential("quay.io/org", "x")
    assert home.find("quay.io/organisation/app") == Credential("quay.io", "x")


def test_identity_tokens_come_in_two_forms(home: Home) -> None:
    home.docker(
        {
            "auths": {
                "a.example": {**auth("<token>", "t1")},
                "b.example": {**auth("x", ""), "identitytoken": "t2"},
            }
        }
    )
    assert home.find("a.example/x") == Credential(identity_token="t1")
    assert home.find("b.example/x") == Credential(identity_token="t2")


def test_files_are_asked_in_order(home: Home) -> None:
    places = [
        "explicit.json",
        ".docker/config.json",
        "run/containers/auth.json",
        ".config/containers/auth.json",
    ]
    for name in places:
        home.write(name, {"auths": {"quay.io": auth(name, "x")}})
    home.environment["REGISTRY_AUTH_FILE"] = str(home.directory / "explicit.json")
    for name in places:
        assert home.find("quay.io/x") == Credential(name, "x")
        (home.directory / name).unlink()
    assert home.find("quay.io/x") is None


def test_docker_config_names_another_directory(home: Home) -> None:
    home.docker({"auths": {"quay.io": auth("wrong", "x")}})
    home.write("other/config.json", {"auths": {"quay.io": auth("right", "x")}})
    home.environment["DOCKER_CONFIG"] = str(home.directory / "other")
    assert home.find("quay.io/x") == Credential("right", "x")


def test_a_registry_s_helper_wins_over_the_file_and_the_store(home: Home) -> None:
    for name in ("one", "two"):
        answer = json.dumps({"Username": name, "Secret": "$server"}).replace('"', '\\"')
        home.helper(name, f'read -r server; echo "{answer}"')
    home.docker({"auths": {"quay.io": {}}, "credHelpers": {"quay.io": "one"}, "credsStore": "two"})
    assert home.find("quay.io/x") == Credential("one", "quay.io")
    assert home.find("ghcr.io/x") == Credential("two", "ghcr.io")
    assert home.find("alpine") == Credential("two", HUB)


def test_a_helper_gives_identity_tokens(home: Home) -> None:
    home.helper("store", """echo '{"Username": "<token>", "Secret": "t"}'""")
    home.docker({"credsStore": "store"})
    assert home.find("quay.io/x") == Credential(identity_token="t")


def test_a_helper_that_knows_nothing_is_no_problem(home: Home) -> None:
    home.helper("store", "echo 'credentials not found in native keychain'; exit 1")
    home.docker({"credsStore": "store"}).write(
        "run/containers/auth.json", {"auths": {"quay.io": auth("me", "x")}}
    )
    assert home.find("quay.io/x") == Credential("me", "x")
    assert home.ask("ghcr.io/x") == (None, "")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo oops >&2; exit 3", "failed: oops"),
        ("echo not json", "gave a wrong answer"),
        ("echo '{}'", "gave a wrong answer"),
        ("head -c 100000 /dev/zero", "gave a wrong answer"),
        ("exec sleep 60", "did not answer within 0.5 s"),
    ],
)
def test_a_helper_in_trouble_is_told_and_does_not_hang_us(home: Home, script: str, says: str) -> None:
    home.helper("bad", script).docker({"credHelpers": {"quay.io": "bad"}})
    start = time.monotonic()
    credential, problem = home.ask("quay.io/x")
    assert credential is None
    assert says in problem
    assert time.monotonic() - start < 10


def test_a_helper_that_is_not_installed_is_told(home: Home) -> None:
    home.docker({"credsStore": "absent"})
    assert home.ask("quay.io/x") == (None, "the credential helper docker-credential-absent is not installed")


def test_a_helper_s_name_is_no_path(home: Home) -> None:
    home.docker({"credsStore": "../../bin/sh"})
    assert "is not the name of a credential helper" in home.ask("quay.io/x")[1]


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"auths": []}', '{"auths": {"quay.io": "x"}}', '{"auths": {"quay.io": {"auth": "%%"}}}',
        '{"auths": {"quay.io": {"auth": "bm9jb2xvbg=="}}}', '{"credHelpers": {"quay.io": 1}}',
        '{"credsStore": 1}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_line_that_names_it(home: Home, content: str) -> None:
    home.docker(content)
    with pytest.raises(Unauthorized) as caught:
        home.find("quay.io/x")
    assert ".docker/config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_not_read(home: Home) -> None:
    home.docker(" " * 1_100_000)
    with pytest.raises(Unauthorized, match="larger than"):
        home.find("quay.io/x")


def test_secrets_are_not_shown(home: Home) -> None:
    assert "hunter2" not in repr(Credential("me", "hunter2", "hunter2"))
    home.helper("bad", """echo '{"Username": "me", "Secret": 2, "x": "hunter2"}'""").docker(
        {"credsStore": "bad"}
    )
    assert "hunter2" not in home.ask("quay.io/x")[1]
