"""Plugins and the programs that open them.

Paths and link maps of an image enter; for each shared object that only ``dlopen`` reaches the
plausible host programs leave, and what happens when the best of them opens it. Follows
``loader.md`` section 10: what a plugin lacks may come from its host, so nothing is called missing
before every host that the image has was asked. A plugin without a known host stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from imagescan.elf.facts import ElfFacts
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkMap

MAXIMUM_HOSTS = 6  # programs asked for one plugin; more of a kind rarely differ
MAXIMUM_OPENINGS = 50_000  # objects opened for the plugins of one image; a large one takes 5,000
MAXIMUM_HELPERS = 16  # plugins that a host opens before the one that needs them
MAXIMUM_SIBLINGS = 400  # plugins of one directory that are looked through for a missing symbol

OpenPlugin = Callable[[ImagePath, tuple[ImagePath, ...], bool], LinkMap]
"""What happens when a program opens objects one after the other: the answer for the last one."""


@dataclass(frozen=True)
class PluginFamily:
    """One kind of plugin.

    ``plugins`` matches paths of plugins, ``programs`` file names of hosts, ``libraries`` are
    starts of sonames: a program that loads one of them is a host too. ``earlier`` are file names
    of objects that such a host has opened before. ``now`` says that hosts open with RTLD_NOW,
    ``shared`` that they open with RTLD_GLOBAL, so that plugins serve each other.
    """

    name: str
    plugins: str
    programs: str = ""
    libraries: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    now: bool = False
    shared: bool = False

    @cached_property
    def _plugins(self) -> re.Pattern[str]:
        return re.compile(self.plugins)

    @cached_property
    def _programs(self) -> re.Pattern[str]:
        return re.compile(self.programs or r"(?!)")

    def has(self, path: str) -> bool:
        """Whether a path is one of this kind."""
        return self._plugins.search(path) is not None

    def names(self, path: str) -> bool:
        """Whether a program opens plugins of this kind by what it is called."""
        return self._programs.fullmatch(path.rpartition("/")[2]) is not None

    def is_host(self, path: str, sonames: Iterable[str]) -> bool:
        """Whether a program, with the names of what it loads, opens plugins of this kind."""
        if self.names(path):
            return True
        return bool(self.libraries) and any(name.startswith(self.libraries) for name in sonames)


FAMILIES = (
    PluginFamily(
        "Python extension module",
        r"\.(?:cpython|pypy)[^/]*\.so$|\.abi3\.so$|/lib-dynload/|/(?:site|dist)-packages/.*\.so",
        r"python[\d.]*[a-z]?|pypy[\d.]*",
        ("libpython", "libpypy"),
        now=True,
    ),
    PluginFamily(
        "nginx's Perl module",
        r"/auto/nginx/nginx\.so$",
        r"nginx(?:-debug)?",
        earlier=("ngx_http_perl_module.so",),
        shared=True,
    ),
    PluginFamily("Perl module", r"/auto/.*\.so$|/perl5?/.*\.so$", r"perl[\d.]*", ("libperl.so",)),
    PluginFamily("Ruby extension", r"/(?:ruby|rubygems[^/]*|gems)/.*\.so$", r"ruby[\d.]*", ("libruby",)),
    PluginFamily("PHP extension", r"/php[\d.]*/.*\.so$", r"php(?:-fpm|-cgi|dbg)?[\d.]*", ("libphp",)),
    PluginFamily("Node.js addon", r"\.node$", r"node(?:js)?[\d.]*|electron", ("libnode.so",)),
    PluginFamily(
        "Java native library",
        r"/(?:jvm|jdk|jre|java)[^/]*/.*\.so$|/jni/[^/]+\.so$",
        r"java",
        ("libjli.so",),
        ("libjvm.so", "libjava.so"),
        shared=True,
    ),
    PluginFamily(
        "R package library", r"/R/(?:.*/libs|modules|library/.*)/[^/]+\.so$", r"R", ("libR.so",), now=True
    ),
    PluginFamily("Lua module", r"/lua/.*\.so$", r"(?:tex)?lua(?:jit)?[\d.-]*\w*", ("liblua",)),
    PluginFamily("Tcl extension", r"/tcl[^/]*/.*\.so$", r"(?:tclsh|wish|expect)[\d.]*", ("libtcl",)),
    PluginFamily("Erlang native function", r"/(?:erlang|priv)/.*\.so$", r"beam(?:\.\w+)?", now=True),
    PluginFamily("PAM module", r"/security/pam_[^/]+\.so$", "", ("libpam.so",), now=True),
    PluginFamily("name service module", r"/libnss_[^/]+\.so\.2$", "", ("libc.so.6",)),
    PluginFamily("character set converter", r"/gconv/[^/]+\.so$", "", ("libc.so.6",)),
    PluginFamily(
        "nginx module", r"/nginx/.*\.so$|/ngx_[^/]+\.so$", r"nginx(?:-debug)?", now=True, shared=True
    ),
    PluginFamily(
        "Apache module",
        r"/(?:apache2|httpd)/.*\.so$|/mod_[^/]+\.so$",
        r"apache2|httpd",
        ("libphp",),
        now=True,
        shared=True,
    ),
    PluginFamily("PostgreSQL module", r"/(?:postgresql|pgsql)/.*\.so$", r"postgres", now=True, shared=True),
    PluginFamily(
        "MySQL plugin",
        r"/(?:mysql|mariadb)/plugin/",
        r"mysqld|mariadbd",
        ("libmariadb", "libmysql"),
        now=True,
    ),
    PluginFamily(
        "OpenSSL provider or engine", r"/(?:ossl-modules|engines[^/]*)/[^/]+\.so$", "", ("libcrypto.so",)
    ),
    PluginFamily("GIO module", r"/gio/modules/", "", ("libgio-2.0.so",)),
    PluginFamily("image loader", r"/gdk-pixbuf-2\.0/", "", ("libgdk_pixbuf-2.0.so",)),
    PluginFamily("GTK module", r"/gtk-[\d.]+/", "", ("libgtk-",)),
    PluginFamily(
        "Qt plugin",
        r"/qt[456]?/(?:plugins|qml)/|/plugins/.*/libq[^/]+\.so$",
        "",
        ("libQt5Core.so", "libQt6Core.so"),
    ),
    PluginFamily("GStreamer plugin", r"/gstreamer-1\.0/", "", ("libgstreamer-1.0.so",)),
    PluginFamily("VLC plugin", r"/vlc/plugins/", "", ("libvlccore.so",)),
    PluginFamily("ImageMagick module", r"/modules-Q\d+[^/]*/", "", ("libMagickCore",)),
    PluginFamily(
        "Samba module",
        r"/samba/.*\.so$",
        r"winbindd|smbd|nmbd|samba|net|smbclient",
        ("libsamba-util.so",),
    ),
    PluginFamily("sudo plugin", r"/sudo/[^/]+\.so$", r"sudo|visudo"),
    PluginFamily("thread debugger", r"/libthread_db[^/]*$", r"gdb(?:server)?"),
    PluginFamily("iptables extension", r"/xtables/", "", ("libxtables.so",), now=True),
    PluginFamily("traffic control module", r"/tc/[^/]+\.so$", r"tc"),
    PluginFamily("SASL mechanism", r"/sasl2/", "", ("libsasl2.so",), now=True),
    PluginFamily("Kerberos plugin", r"/krb5/plugins/", "", ("libkrb5.so",)),
    PluginFamily("OpenLDAP module", r"/ldap/[^/]+\.so", r"slapd|slap\w+"),
    PluginFamily("ALSA plugin", r"/alsa-lib/", "", ("libasound.so",), now=True),
    PluginFamily("PulseAudio module", r"/pulse-[\d.]+/modules/", r"pulseaudio"),
    PluginFamily("Mesa driver", r"/(?:dri|gallium-pipe|gbm)/", "", ("libGL", "libEGL", "libgbm.so")),
    PluginFamily("LibreOffice component", r"/libreoffice/", r"soffice\.bin|oosplash"),
    PluginFamily("QEMU module for IBM Z", r"/qemu/hw-s390x-[^/]+\.so$", r"qemu-system-s390x", shared=True),
    PluginFamily("QEMU module", r"/qemu/[^/]+\.so$", r"qemu-.*", shared=True),
    PluginFamily("GCC plugin", r"/gcc/.*/plugin/", r"cc1\w*|lto1", now=True),
    PluginFamily("APR driver", r"/apr-util-1/", "", ("libaprutil-1.so",), now=True),
    PluginFamily("Zsh's FTP module", r"/zsh/zftp\.so$", r"zsh[\d.-]*", earlier=("tcp.so",), shared=True),
    PluginFamily("Zsh module", r"/zsh/.*\.so$", r"zsh[\d.-]*", shared=True),
    PluginFamily("Bash loadable", r"/bash/[^/]+$", r"bash"),
    PluginFamily(
        "Dovecot module",
        r"/dovecot/.*\.so$",
        r"imap|pop3|lmtp|auth|doveadm(?:-server)?",
        ("libdovecot-storage.so",),
        now=True,
        shared=True,
    ),
)

_PYTHON_TAG = re.compile(r"\.cpython-(\d)(\d+)")
_PYTHON_NAME = re.compile(r"(?:lib)?python(\d)\.(\d+)")


@dataclass(frozen=True, slots=True)
class OpenedPlugin:
    """What happens to a plugin in the image's hosts.

    ``host`` is the program that opens it with the least trouble, ``opened`` what it opens one after
    the other, the plugin last, ``link_map`` what happens then; ``hosts`` are all that were asked.
    """

    family: PluginFamily
    host: ImagePath
    opened: tuple[ImagePath, ...]
    hosts: tuple[ImagePath, ...]
    link_map: LinkMap


def family_of(path: str) -> PluginFamily | None:
    """The first kind of plugin that a path belongs to, or None."""
    return next((family for family in FAMILIES if family.has(path)), None)


class PluginHosts:
    """The programs of one image that open plugins."""

    def __init__(self, programs: Mapping[ImagePath, LinkMap], objects: Mapping[ImagePath, ElfFacts]) -> None:
        self._programs = programs
        self._objects = objects
        self._by_name: dict[str, list[ImagePath]] = {}
        self._by_directory: dict[str, list[ImagePath]] = {}
        for path in objects:
            directory, _, name = path.rpartition("/")
            self._by_name.setdefault(name, []).append(path)
            self._by_directory.setdefault(directory, []).append(path)
        self._hosts: dict[str, tuple[ImagePath, ...]] = {}
        self._alone: dict[tuple[ImagePath, ImagePath], LinkMap] = {}
        self._defined: dict[ImagePath, frozenset[bytes]] = {}
        self._openings = 0

    @property
    def exhausted(self) -> bool:
        """Whether the image has more to open than ``MAXIMUM_OPENINGS``: later plugins stay unknown."""
        return self._openings > MAXIMUM_OPENINGS

    def open(self, plugin: ImagePath, elf: ElfFacts, opener: OpenPlugin) -> OpenedPlugin | None:
        """Let each plausible host open a plugin until one succeeds; None without a known host."""
        family = family_of(plugin)
        if family is None or self.exhausted:
            return None
        fitting = [host for host in self.of(family) if self._fits(plugin, elf, host)]
        # A program known by its name opens such plugins more surely than one that has the library for it.
        fitting.sort(key=lambda host: (not family.names(host), -_shared(host, plugin), host))
        hosts = tuple(fitting[:MAXIMUM_HOSTS])
        best: OpenedPlugin | None = None
        for host in hosts:
            sequence, link_map = self._open_in(host, plugin, family, opener)
            opened = OpenedPlugin(family, host, sequence, hosts, link_map)
            if best is None or opened.link_map.obstacles < best.link_map.obstacles:
                best = opened
            if not best.link_map.obstacles:
                break
        return best

    def _open_in(
        self, host: ImagePath, plugin: ImagePath, family: PluginFamily, opener: OpenPlugin
    ) -> tuple[tuple[ImagePath, ...], LinkMap]:
        """What one host opens before the plugin, and what happens then."""
        earlier = tuple(path for name in family.earlier for path in self._nearest(name, plugin))
        sequence = (*earlier, plugin)
        self._openings += len(sequence)
        link_map = opener(host, sequence, family.now)
        if family.shared and link_map.missing_symbols:

            def opens(path: ImagePath) -> LinkMap:
                if (host, path) not in self._alone:
                    self._openings += 1
                    self._alone[host, path] = opener(host, (path,), family.now)
                return self._alone[host, path]

            helpers = self._helpers(plugin, family, link_map, opens, {plugin})[:MAXIMUM_HELPERS]
            sequence = (*earlier, *helpers, plugin)
            self._openings += len(sequence) ** 2
            link_map = opener(host, sequence, family.now)
        return sequence, link_map

    def _helpers(
        self,
        plugin: ImagePath,
        family: PluginFamily,
        link_map: LinkMap,
        opens: Callable[[ImagePath], LinkMap],
        seen: set[ImagePath],
        depth: int = 2,
    ) -> tuple[ImagePath, ...]:
        """Plugins beside this one or a directory above that define what it misses, after those that
        they need themselves: the host's configuration loads them first."""
        wanted = {one.symbol.encode("utf-8", "surrogateescape") for one in link_map.missing_symbols}
        found: dict[ImagePath, None] = {}
        for path in self._siblings(plugin, family):
            if path in seen or wanted.isdisjoint(self._definitions(path)):
                continue
            seen.add(path)
            alone = opens(path)
            if alone.missing_symbols and depth:
                found |= dict.fromkeys(self._helpers(path, family, alone, opens, seen, depth - 1))
            found[path] = None
        return tuple(found)

    def _definitions(self, path: ImagePath) -> frozenset[bytes]:
        found = self._defined.get(path)
        if found is None:
            table = self._objects[path].symbols
            found = frozenset(one.name for one in table.definitions()) if table else frozenset()
            self._defined[path] = found
        return found

    def _siblings(self, plugin: ImagePath, family: PluginFamily) -> Sequence[ImagePath]:
        """Plugins beside one, and those of the same kind a directory above."""
        directory = plugin.rpartition("/")[0]
        above = self._by_directory.get(directory.rpartition("/")[0], [])
        beside = self._by_directory.get(directory, [])
        return [*beside, *(path for path in above if family.has(path))][:MAXIMUM_SIBLINGS]

    def of(self, family: PluginFamily) -> tuple[ImagePath, ...]:
        """The hosts of one kind of plugin."""
        found = self._hosts.get(family.name)
        if found is None:
            found = tuple(
                path
                for path, link_map in self._programs.items()
                if family.is_host(path, (one.requested for one in link_map.objects))
            )
            self._hosts[family.name] = found
        return found

    def _fits(self, plugin: ImagePath, elf: ElfFacts, host: ImagePath) -> bool:
        """Same ABI, and the Python that a file name asks for."""
        link_map = self._programs[host]
        program = link_map.objects[0].elf
        if (program.machine, program.elf_class) != (elf.machine, elf.elf_class):
            return False
        tag = _PYTHON_TAG.search(plugin)
        if tag is None:
            return True
        names = (host.rpartition("/")[2], *(one.requested for one in link_map.objects))
        versions = {match.groups() for name in names if (match := _PYTHON_NAME.match(name))}
        return not versions or tag.groups() in versions

    def _nearest(self, name: str, plugin: ImagePath) -> Sequence[ImagePath]:
        """The file of that name that shares most of its path with the plugin, if it is another."""
        places = self._by_name.get(name, [])
        nearest = max(places, key=lambda path: _shared(path, plugin), default=None)
        return () if nearest is None or nearest == plugin else (nearest,)


def _shared(one: str, other: str) -> int:
    """How many leading path components two paths share."""
    pairs = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return next(
        (count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/"))
    )
