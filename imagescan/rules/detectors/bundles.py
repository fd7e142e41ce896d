"""Native code in several builds, of which none is for this image."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.archives.values import JOINT, outer_path
from imagescan.bundles.bundle import Bundle
from imagescan.facts import ImageFacts
from imagescan.findings import Certainty, Tier, TrailLine
from imagescan.loader.values import LinkMap, LoaderKind
from imagescan.rules.blame import blame_present
from imagescan.rules.detectors.common import bundle_of, trail_lines
from imagescan.rules.detectors.registry import Detector, Parameters
from imagescan.rules.messages import library_missing, symbol_missing, version_missing
from imagescan.rules.observation import Observation

VALUES = frozenset({"name", "wanted", "place", "host", "remedy"})

MAXIMUM_BUILDS = 30  # shown in a trail

_UNSATISFIED = "java.lang.UnsatisfiedLinkError: "
_NPM_CPUS = {"amd64": "x64", "386": "ia32", "arm64": "arm64", "arm": "arm"}
_RID_CPUS = {"amd64": "x64", "386": "x86", "arm64": "arm64", "arm": "arm"}
_WHEEL_CPUS = {"amd64": "x86_64", "386": "i686", "arm64": "aarch64", "arm": "armv7l"}


def unusable_bundles(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Bundles without a build that the image's own host could load; one cause is one bundle, or the
    libraries of one loader in one archive.

    Certain failures do not exist here: whether the host asks for it is the program's business. Latent
    are those that the host goes on without, as far as is known.
    """
    for bundle in facts.bundles:
        yield Observation(
            cause=(bundle.kind, bundle.name, bundle.path.rpartition(JOINT)[0] or bundle.path),
            object=bundle.path,
            tier=Tier.PLUGIN,
            certainty=Certainty.LATENT if bundle.optional else Certainty.CONDITIONAL,
            items=bundle.variants,
            related=tuple(one for one in bundle.members if one != bundle.path),
            values={
                "name": bundle.name,
                "wanted": bundle.wanted,
                "place": _place(bundle),
                "host": bundle.host,
                "remedy": _remedy(facts, bundle),
            },
            runtime_message=_message(bundle),
            trail=_trail(bundle),
            blame=blame_present(facts, outer_path(bundle.path)),
            condition=f"when {'it is installed' if bundle.kind == 'wheel' else f'{bundle.host} loads it'}",
        )


def _place(bundle: Bundle) -> str:
    """Where people look for it: the archive, the package, the directory."""
    if bundle.kind in ("archive", "wheel"):
        return outer_path(bundle.path)
    if bundle.kind == "python" and bundle.path.endswith("/WHEEL"):
        return bundle.path.rsplit("/", 2)[0]
    return bundle.path.rpartition("/")[0] if bundle.kind == "dotnet" else bundle_of(bundle.path)


def _trail(bundle: Bundle) -> tuple[TrailLine, ...]:
    """The builds that were looked at, and the loader's search where one was tried."""
    looked_at = tuple(
        TrailLine("build", path, f"not for {bundle.wanted}") for path in bundle.members[:MAXIMUM_BUILDS]
    )
    missing = bundle.link_map.missing if bundle.link_map else ()
    return (*looked_at, *(trail_lines(missing[0].trail) if missing else ()))


def _message(bundle: Bundle) -> str:
    """What the host says; "" where every loader of native code has words of its own."""
    if bundle.link_map is None:
        return ""
    text = first_problem(bundle.link_map)
    return f"{_UNSATISFIED}{text}" if text and bundle.kind == "archive" else text


def first_problem(link_map: LinkMap) -> str:
    """The line of the loader for what keeps an object from being opened; "" for nothing."""
    if link_map.missing:
        return library_missing(link_map, link_map.missing[0], is_program=False)
    versions = [one for one in link_map.missing_versions if not one.weak]
    if versions:
        return version_missing(link_map, versions[0])
    return next((symbol_missing(link_map, one) for one in link_map.missing_symbols), "")


def _remedy(facts: ImageFacts, bundle: Bundle) -> str:
    """One sentence or two in the words of the package manager that brings such bundles."""
    cpu = facts.platform.architecture
    musl = LoaderKind.MUSL.value in bundle.wanted
    if bundle.kind == "node":
        return (
            "Run npm ci in a stage of this distribution instead of copying node_modules from elsewhere, or "
            f"fetch for the image: npm install --os=linux --cpu={_NPM_CPUS.get(cpu, cpu)} "
            f"--libc={'musl' if musl else 'glibc'}."
        )
    if bundle.kind == "dotnet":
        rid = f"linux-{'musl-' if musl else ''}{_RID_CPUS.get(cpu, cpu)}"
        return f"Publish for the image: dotnet publish -r {rid}."
    if bundle.kind in ("python", "wheel"):
        tag = f"{'musllinux_1_2' if musl else 'manylinux2014'}_{_WHEEL_CPUS.get(cpu, cpu)}"
        return (
            "Install with the image's own Python, in the image or in a stage of it; or fetch wheels for it: "
            f"pip install --platform {tag} --only-binary=:all:{_python_option(bundle)} --target DIR."
        )
    return _archive_remedy(bundle, musl)


def _python_option(bundle: Bundle) -> str:
    words = bundle.wanted.split()
    return f" --python-version {words[1]}" if words[:1] == ["Python"] and len(words) > 1 else ""


def _archive_remedy(bundle: Bundle, musl: bool) -> str:
    choice = f"Take a version of it that is built for {bundle.wanted}, or another base image"
    base = " with glibc, such as debian:stable-slim" if musl else ""
    help_of_gcompat = (
        " The package gcompat helps some libraries, and what loads may still crash." if musl else ""
    )
    return " ".join(filter(None, (f"{choice}{base}.{help_of_gcompat}", bundle.advice)))


UNUSABLE_BUNDLE = Detector("unusable-bundle", unusable_bundles, values=VALUES)
