"""Credentials for a registry, from the files and helpers of docker and of podman.

A reference enters; a ``Credential`` or none leaves. Follows Docker's ``config.json`` and its
credential helper protocol, and containers-auth.json(5). Files are asked in this order, and the
first that knows the registry wins: ``$REGISTRY_AUTH_FILE``, ``$DOCKER_CONFIG/config.json`` or
``~/.docker/config.json``, ``$XDG_RUNTIME_DIR/containers/auth.json``,
``~/.config/containers/auth.json``.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from imagescan.dataclasses import dataclass, field
from imagescan.errors import ImageFormatError, Unauthorized
from imagescan.patterns import pattern
from imagescan.reference import DOCKER_HUB, ImageReference
from imagescan.sources.json_reader import JsonObject

FILE_SIZE_LIMIT = 1024 * 1024
"""Bytes of a credentials file."""

HELPER_OUTPUT_LIMIT = 64 * 1024
"""Bytes of a credential helper's answer."""

_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105
_HELPER_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name with a password, or an identity token (then both others are empty)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """What was found. ``problem`` says why a helper could not be asked; the registry may well
    answer without, so it is told only when the registry refuses."""

    credential: Credential | None
    problem: str = ""


def find_credential(
    reference: ImageReference, environment: Mapping[str, str], helper_timeout: float
) -> FoundCredential:
    """The credential for the repository, the most specific entry of the first file that has one.

    Raises:
        Unauthorized: a file is not readable or not valid.
    """
    problems: list[str] = []
    for path in credential_files(environment):
        content = _read_file(path)
        if content is None:
            continue
        found = _from_file(content, reference, str(path), helper_timeout)
        if found.credential is not None:
            return found
        if found.problem:
            problems.append(found.problem)
    return FoundCredential(None, "; ".join(problems))


def credential_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where credentials may be, in the order that they are asked."""
    home = environment.get("HOME", "")
    if explicit := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(explicit)
    if docker := environment.get("DOCKER_CONFIG"):
        yield Path(docker) / "config.json"
    elif home:
        yield Path(home) / ".docker" / "config.json"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    if config := environment.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield Path(config) / "containers" / "auth.json"


def _read_file(path: Path) -> JsonObject | None:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _bad_file(path, f"cannot be read: {error.strerror}") from None
    if len(data) > FILE_SIZE_LIMIT:
        raise _bad_file(path, f"is larger than {FILE_SIZE_LIMIT} bytes")
    try:
        return JsonObject.parse(data, "the credentials file")
    except ImageFormatError as error:
        raise _bad_file(path, f"is not valid: {error.message}") from None


def _bad_file(path: Path, reason: str) -> Unauthorized:
    return Unauthorized(f"the credentials file {reason}", where=str(path), advice="mend or remove it")


def _from_file(
    content: JsonObject, reference: ImageReference, path: str, helper_timeout: float
) -> FoundCredential:
    try:
        helpers = dict(content.text_map("credHelpers"))
        store = content.text("credsStore", "")
        auths = content.child("auths") or JsonObject({}, "auths")
        entries = {_normalised_key(key): auths.child(key) for key in auths.names()}
        for key in _keys(reference):
            if key in helpers:
                return _ask_helper(helpers[key], _server(reference, key), helper_timeout)
            entry = entries.get(key)
            credential = _inline(entry, path) if entry is not None else None
            if credential is not None:
                return FoundCredential(credential)
    except ImageFormatError as error:
        raise _bad_file(Path(path), f"is not valid: {error.message}") from None
    if store:
        return _ask_helper(store, _server(reference, reference.registry), helper_timeout)
    return FoundCredential(None)


def _keys(reference: ImageReference) -> Iterator[str]:
    """``quay.io/org/repo``, ``quay.io/org``, ``quay.io``; every name that Docker Hub goes by."""
    parts = reference.repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([reference.registry, *parts[:count]])
    if reference.registry == DOCKER_HUB:
        yield _DOCKER_HUB_KEY
        yield from _DOCKER_HUB_NAMES
    else:
        yield reference.registry


def _normalised_key(key: str) -> str:
    """A key as ``docker login`` wrote it in former days (``https://host/v1/``) without the rest."""
    if key == _DOCKER_HUB_KEY or "://" not in key:
        return key.rstrip("/") if key != _DOCKER_HUB_KEY else key
    host = key.partition("://")[2].partition("/")[0]
    return _DOCKER_HUB_KEY if host == "index.docker.io" else host


def _server(reference: ImageReference, key: str) -> str:
    """What to ask a helper for: docker stores Docker Hub's credential under the legacy key."""
    return _DOCKER_HUB_KEY if reference.registry == DOCKER_HUB else key


def _inline(entry: JsonObject, path: str) -> Credential | None:
    """The credential written into the file itself; None for the empty entry beside a helper."""
    if token := entry.text("identitytoken", ""):
        return Credential(identity_token=token)
    encoded = entry.text("auth", "")
    if not encoded:
        username = entry.text("username", "")
        return Credential(username, entry.text("password", "")) if username else None
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _bad_file(Path(path), "has an 'auth' that is not base64") from None
    username, colon, password = decoded.partition(":")
    if not colon:
        raise _bad_file(Path(path), "has an 'auth' without a colon")
    return _credential(username, password.rstrip("\0"))


def _credential(username: str, secret: str) -> Credential:
    if username == _IDENTITY_TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username, secret)


def _ask_helper(name: str, server: str, timeout: float) -> FoundCredential:
    """Run ``docker-credential-NAME get``; whatever goes wrong becomes the ``problem``."""
    program = f"docker-credential-{name}"
    if not _HELPER_NAME.fullmatch(name):
        return FoundCredential(None, f"{name!r} is not the name of a credential helper")
    try:
        answer = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        return FoundCredential(None, f"the credential helper {program} is not installed")
    except subprocess.TimeoutExpired:
        return FoundCredential(None, f"the credential helper {program} did not answer within {timeout:g} s")
    except OSError as error:
        return FoundCredential(None, f"the credential helper {program} cannot run: {error.strerror}")
    if answer.returncode != 0:
        said = (answer.stdout + answer.stderr)[:HELPER_OUTPUT_LIMIT].decode("utf-8", "replace").strip()
        if _NOT_FOUND in said.lower():
            return FoundCredential(None)
        return FoundCredential(
            None, f"the credential helper {program} failed: {said[:200] or 'no reason given'}"
        )
    return _read_answer(answer.stdout, program)


def _read_answer(answer: bytes, program: str) -> FoundCredential:
    try:
        if len(answer) > HELPER_OUTPUT_LIMIT:
            raise ImageFormatError("the answer is too long")
        content = JsonObject.parse(answer, "the answer")
        return FoundCredential(_credential(content.text("Username"), content.text("Secret")))
    except ImageFormatError as error:
        # The answer holds a secret: only its faults may be shown, not the answer itself.
        return FoundCredential(None, f"the credential helper {program} gave a wrong answer: {error.message}")
