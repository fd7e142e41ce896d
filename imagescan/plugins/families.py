"""The kinds of plugins that imagescan knows, as data: where they lie and which programs open them.

A path enters, its ``PluginFamily`` leaves. Each row is proven by the real programs, which are made to
open the plugins of whole root file systems (``tests/oracle/plugins.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from imagescan.dataclasses import dataclass


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

    def named(self, lines: str) -> list[str]:
        """Those of some file names, one a line, by which a program opens plugins of this kind."""
        if not self.programs:
            return []
        return [found[0] for found in re.finditer(rf"^(?:{self.programs})$", lines, re.MULTILINE)]

    def opened_with(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that belong to a library by which programs open plugins of this kind."""
        return frozenset(name for name in names if name.startswith(self.libraries))


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
    PluginFamily(
        "mod_perl's module",
        r"/auto/(?:APR|Apache2|ModPerl)/.*\.so$",
        r"apache2|httpd",
        earlier=("mod_perl.so",),
        shared=True,
    ),
    PluginFamily("Perl module", r"/auto/.*\.so$|/perl5?/.*\.so$", r"perl[\d.]*", ("libperl.so",)),
    PluginFamily("Ruby extension", r"/(?:ruby|rubygems[^/]*|gems)/.*\.so$", r"ruby[\d.]*", ("libruby",)),
    PluginFamily(
        "PHP extension",
        r"/php[\d.]*/.*\.so$",
        r"php(?:-fpm|-cgi|dbg)?[\d.]*",
        ("libphp",),
        shared=True,
    ),
    PluginFamily("Node.js addon", r"\.node$", r"node(?:js)?[\d.]*|electron|bun|deno", ("libnode.so",)),
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
    PluginFamily("lighttpd module", r"/lighttpd/mod_[^/]+\.so$", r"lighttpd", now=True, shared=True),
    PluginFamily("Varnish module", r"/varnish/vmods/", r"varnishd", now=True),
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
    PluginFamily("collectd plugin", r"/collectd/[^/]+\.so$", r"collectd", now=True),
    PluginFamily("rsyslog module", r"/rsyslog/[^/]+\.so$", r"rsyslogd", now=True),
    PluginFamily("uWSGI plugin", r"/uwsgi/plugins/[^/]+\.so$", r"uwsgi(?:-core)?", now=True, shared=True),
    PluginFamily("BIND plugin", r"/bind/[^/]+\.so$", r"named", now=True),
    PluginFamily(
        "FreeRADIUS module",
        r"/freeradius/[^/]+\.so$",
        r"freeradius|radiusd",
        now=True,
        shared=True,
    ),
    PluginFamily("gawk extension", r"/gawk/[^/]+\.so$", r"gawk"),
    PluginFamily("libcaca driver", r"/caca/lib[^/]+_plugin", "", ("libcaca.so",)),
    PluginFamily("X server module", r"/xorg/modules/", r"Xorg|Xephyr", shared=True),
    PluginFamily("PipeWire module", r"/(?:pipewire-0\.3|spa-0\.2)/", "", ("libpipewire-0.3.so",), now=True),
    PluginFamily("Octave function", r"/oct/.*\.oct$", r"octave-cli[\d.-]*", ("liboctinterp.so",)),
    PluginFamily("OCaml stub library", r"/stublibs/[^/]+\.so$", r"ocamlrun\w*", now=True),
    PluginFamily("Open MPI component", r"/openmpi\d?/mca_[^/]+\.so$", "", ("libopen-pal.so", "libmpi.so")),
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


def family_of(path: str) -> PluginFamily | None:
    """The first kind of plugin that a path belongs to, or None."""
    return next((family for family in FAMILIES if family.has(path)), None)
