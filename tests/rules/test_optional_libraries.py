"""Which package a distribution leaves optional: by its name, and by what the image's database says."""

from __future__ import annotations

import pytest

from imagescan.rules.detectors.optional import OptionalPackage, optional_package, policy_names
from tests.startup.images import facts_of

RELEASE = {"libGLU.so.1": ("libglu1-mesa",), "libcaca.so.0": ("libcaca0",), "libodd.so.1": ("libodd-one",)}


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libatm.so.1", "libatm1"),
        ("libdb5.so.3", "libdb5-3"),
        ("libOpenCL.so.1", "libopencl1"),
        ("libice_utils.so.3.6", "libice-utils3.6"),
    ],
)
def test_debian_policy_names_the_package_of_a_soname(library: str, package: str) -> None:
    assert list(policy_names(library)) == [package, f"{package}t64"]


@pytest.mark.parametrize("library", ["libx.so", "plugin", ".so.1", "a/libx.so.1", ""])
def test_what_is_no_versioned_soname_has_no_such_name(library: str) -> None:
    assert list(policy_names(library)) == []


def ask(status: str, library: str) -> OptionalPackage | None:
    facts = facts_of(
        f"""
        base: debian
        cmd: [sh]
        files:
          /var/lib/dpkg/status: {{text: "{status}"}}
          /var/lib/dpkg/info/libcaca0.list: {{text: "/usr/lib/caca/gl.so\\n"}}
          /var/lib/dpkg/info/libglu1-mesa.list: {{text: "/usr/lib/libGLU.so.1\\n"}}
          /usr/lib/caca/gl.so: {{library: {{needed: [libGLU.so.1]}}}}
        """
    )
    return optional_package(facts, RELEASE, "/usr/lib/caca/gl.so", library)


OWNER = r"Package: libcaca0\nVersion: 1\n"


@pytest.mark.parametrize(
    ("fields", "library", "name"),
    [
        (r"Recommends: libglu1-mesa (>= 9) | libglu1\n", "libGLU.so.1", "libglu1-mesa"),
        (r"Suggests: x, libglu1-mesa:any\n", "libGLU.so.1", "libglu1-mesa"),
        (r"Depends: libc6\nSuggests: libnew1t64\n", "libnew.so.1", "libnew1t64"),
        (r"Depends: libc6\n", "libGLU.so.1", "libglu1-mesa"),
        (r"Pre-Depends: libc6\n", "libodd.so.1", "libodd-one"),
    ],
)
def test_the_package_that_is_optional(fields: str, library: str, name: str) -> None:
    found = ask(OWNER + fields, library)
    assert found is not None
    assert (found.name, found.owner) == (name, "libcaca0")


@pytest.mark.parametrize(
    ("fields", "library"),
    [
        (r"Depends: libglu1-mesa | libglu1\nRecommends: libglu1-mesa\n", "libGLU.so.1"),
        (r"Depends: libc6, libodd-one\n", "libodd.so.1"),
        (r"Depends: libc6\n", "libnowhere.so.1"),  # no library of the release
        ("", "libGLU.so.1"),  # a database without relations, as distroless keeps it
        (r"Depends: libc6\n\nPackage: libglu1-mesa\nVersion: 9\n", "libGLU.so.1"),  # removed since
    ],
)
def test_what_is_needed_or_not_known_is_not_optional(fields: str, library: str) -> None:
    assert ask(OWNER + fields, library) is None
