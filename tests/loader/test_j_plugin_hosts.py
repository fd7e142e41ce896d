"""Which of an image's programs is taken for the one that opens a plugin, and what it opens before.

The real program opens the same files in the same order, so the choice is one that really works.
"""

from __future__ import annotations

import pytest

from imagescan.layers.values import ImagePath
from imagescan.loader.simulate import Simulation
from imagescan.plugins.hosts import MAXIMUM_HOSTS, OpenedPlugin
from tests.loader.loaders import GLIBC_236
from tests.loader.scene import ModelDisagrees, Scene
from tests.loader.test_h_plugins import host, opens
from tests.oracle.model import environment
from tests.oracle.plugins import plugin_hosts

pytestmark = pytest.mark.oracle

IMAP, MODULES = "/usr/lib/dovecot/imap", "/usr/lib/dovecot/modules"
PLUGIN = f"{MODULES}/libplugin.so"
USES_HOST = "extern const char *of_host(void); const char *use(void) { return of_host(); }"
USES_QUOTA = "extern const char *of_quota(void); const char *use(void) { return of_quota(); }"


def opened(scene: Scene, plugin: str) -> OpenedPlugin:
    """imagescan's host of a plugin."""
    view = scene.filesystem(GLIBC_236)
    simulation = Simulation(view, environment())
    hosts, elves = plugin_hosts(view, simulation)
    found = hosts.open(ImagePath(plugin), elves[ImagePath(plugin)], simulation.plugin_map)
    assert found is not None
    return found


def test_a_program_known_by_its_name_is_asked_before_those_that_only_have_the_library(scene: Scene) -> None:
    scene.library("/usr/lib/libdovecot-storage.so.0")
    for number in range(MAXIMUM_HOSTS + 1):
        scene.program(f"/usr/lib/dovecot/aid{number}", ["libdovecot-storage.so.0"], calls=[])
    host(scene, IMAP, "-rdynamic")
    scene.library(PLUGIN, source=USES_HOST)
    assert opens(scene, GLIBC_236, IMAP, PLUGIN) == "loaded"
    found = opened(scene, PLUGIN)
    if (found.host, found.link_map.obstacles) != (IMAP, 0):
        raise ModelDisagrees(f"{found.host}, {found.link_map.missing_symbols}")


def test_a_plugin_of_the_same_kind_a_directory_above_may_be_open_before(scene: Scene) -> None:
    host(scene, IMAP, "-rdynamic")
    quota, plugin = f"{MODULES}/libquota.so", f"{MODULES}/doveadm/libplugin.so"
    scene.library(quota)
    scene.library(plugin, source=USES_QUOTA)
    assert "undefined symbol: of_quota" in opens(scene, GLIBC_236, IMAP, plugin)
    assert opens(scene, GLIBC_236, IMAP, quota, plugin, scope="global") == "loaded"
    found = opened(scene, plugin)
    if (found.opened, found.link_map.obstacles) != ((quota, plugin), 0):
        raise ModelDisagrees(f"{found.opened}, {found.link_map.missing_symbols}")


def test_a_library_above_a_plugins_directory_that_is_no_plugin_is_not_opened_for_it(scene: Scene) -> None:
    host(scene, IMAP, "-rdynamic")
    plugin = "/usr/lib/dovecot/libplugin.so"
    scene.library("/usr/lib/libquota.so")
    scene.library(plugin, source=USES_QUOTA)
    assert "undefined symbol: of_quota" in opens(scene, GLIBC_236, IMAP, plugin)
    if opened(scene, plugin).link_map.obstacles == 0:
        raise ModelDisagrees("nothing defines of_quota")
