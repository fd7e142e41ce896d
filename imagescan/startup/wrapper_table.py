"""Programs whose work is to start another one: their options, as data.

Each row says how to pass over a program's own options and operands to the command line that it
executes. Options follow the manual pages and ``--help`` of the versions that Debian 12 has and of
busybox 1.35; tests run the programs and compare.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass

FAILED = "{program}: failed to execute {name}: {reason}"
FAILED_TO_RUN = "{program}: failed to run command '{quoted}': {reason}"
PLAIN = "{program}: '{quoted}': {reason}"
BUSYBOX = "{program}: can't execute '{name}': {reason}"
DJB = "{program}: fatal: unable to run {name}: {reason}"


@dataclass(frozen=True, slots=True)
class Wrapper:
    """One program.

    Options are read as getopt_long(3) does with a leading ``+``: the first other word ends them.
    ``flags`` and ``values`` are letters of short options, without and with a value; ``optional``
    those whose value, if any, is attached; ``long_flags`` and ``long_values`` (a trailing ``?``
    marks an optional value) the long ones. ``ends`` are options after which no command is started.
    ``operands`` is how many words precede the command, ``user`` the place among them (from 1) of a
    user that the command is started as. ``message`` is what is said when the command cannot be
    started. ``sure`` is false when whether it is started at all depends on something else.
    """

    flags: str = ""
    values: str = ""
    optional: str = ""
    long_flags: tuple[str, ...] = ()
    long_values: tuple[str, ...] = ()
    ends: tuple[str, ...] = ("help", "version")
    operands: int = 0
    user: int = 0
    message: str = FAILED
    djb: bool = False
    sure: bool = True


_TINI = Wrapper(
    flags="vgswl", values="pe", ends=("version", "h"), message="[FATAL tini (7)] exec {name} failed: {reason}"
)
_ENV = Wrapper(
    flags="i0v",
    values="uCSa",
    long_flags=("ignore-environment", "null", "debug", "list-signal-handling"),
    long_values=(
        "unset",
        "chdir",
        "split-string",
        "argv0",
        "block-signal?",
        "default-signal?",
        "ignore-signal?",
    ),
    message=PLAIN,
)
_SUPERVISE = "{program}: fatal: unable to exec {name}: {reason}"

WRAPPERS: Mapping[str, Wrapper] = {
    "tini": _TINI,
    "tini-static": _TINI,
    "docker-init": _TINI,
    "dumb-init": Wrapper(
        flags="cv",
        values="r",
        long_flags=("single-child", "verbose"),
        long_values=("rewrite",),
        ends=("help", "version", "h", "V"),
        message="[dumb-init] {name}: {reason}",
    ),
    "catatonit": Wrapper(
        flags="g",
        ends=("help", "version", "license", "pause", "h", "V", "L", "P"),
        message="ERROR (catatonit:2): failed to exec pid1: {reason}",
    ),
    "su-exec": Wrapper(operands=1, user=1, message="su-exec: {name}: {reason}"),
    "gosu": Wrapper(operands=1, user=1),
    "setpriv": Wrapper(
        long_flags=(
            "clear-groups", "keep-groups", "init-groups", "no-new-privs", "nnp", "reset-env",
        ),
        long_values=(
            "ambient-caps", "inh-caps", "bounding-set", "ruid", "euid", "reuid", "rgid", "egid", "regid",
            "groups", "securebits", "pdeathsig", "ptracer", "selinux-label", "apparmor-profile",
            "landlock-access", "landlock-rule", "seccomp-filter",
        ),
        ends=("help", "version", "dump", "list-caps", "d", "h", "V"),
    ),
    "env": _ENV,
    "nice": Wrapper(flags="0123456789", values="n", long_values=("adjustment",), message=PLAIN),
    "nohup": Wrapper(message=FAILED_TO_RUN),
    "timeout": Wrapper(
        flags="vfp",
        values="ks",
        long_flags=("foreground", "preserve-status", "verbose"),
        long_values=("kill-after", "signal"),
        operands=1,
        message=FAILED_TO_RUN,
    ),
    "stdbuf": Wrapper(values="ioe", long_values=("input", "output", "error"), message=FAILED_TO_RUN),
    "chroot": Wrapper(
        long_flags=("skip-chdir",), long_values=("groups", "userspec"), operands=1, message=FAILED_TO_RUN
    ),
    "setsid": Wrapper(flags="cfw", long_flags=("ctty", "fork", "wait"), ends=("help", "version", "h", "V")),
    "ionice": Wrapper(
        flags="t",
        values="cn",
        long_flags=("ignore",),
        long_values=("class", "classdata"),
        ends=("help", "version", "pid", "pgid", "uid", "p", "P", "u", "h", "V"),
    ),
    "chrt": Wrapper(
        flags="abdfiorRGv",
        values="DPT",
        long_flags=(
            "all-tasks", "batch", "deadline", "fifo", "idle", "other", "rr", "reset-on-fork", "verbose",
        ),
        long_values=("sched-runtime", "sched-period", "sched-deadline"),
        ends=("help", "version", "max", "pid", "m", "p", "h", "V"),
        operands=1,
    ),
    "taskset": Wrapper(
        flags="ac",
        long_flags=("all-tasks", "cpu-list"),
        ends=("help", "version", "pid", "p", "h", "V"),
        operands=1,
    ),
    "prlimit": Wrapper(
        values="o",
        optional="cdefilmnqrstuvxy",
        long_flags=("noheadings", "raw", "verbose"),
        long_values=(
            "output", "as?", "core?", "cpu?", "data?", "fsize?", "locks?", "memlock?", "msgqueue?", "nice?",
            "nofile?", "nproc?", "rss?", "rtprio?", "rttime?", "sigpending?", "stack?",
        ),
        ends=("help", "version", "pid", "p", "h", "V"),
    ),
    "linux32": Wrapper(flags="BFILRSTXZ3v", ends=("help", "version", "h", "V")),
    "linux64": Wrapper(flags="BFILRSTXZ3v", ends=("help", "version", "h", "V")),
    "flock": Wrapper(
        flags="sxenoFv",
        values="wE",
        long_flags=("shared", "exclusive", "nb", "nonblock", "close", "no-fork", "verbose"),
        long_values=("wait", "timeout", "conflict-exit-code"),
        ends=("help", "version", "unlock", "u", "h", "V"),
        operands=1,
    ),
    "xargs": Wrapper(
        flags="0rtxpo",
        values="adEILnPs",
        optional="eil",
        long_flags=("null", "no-run-if-empty", "verbose", "exit", "interactive", "open-tty", "show-limits"),
        long_values=(
            "arg-file", "delimiter", "max-lines?", "max-args", "max-procs", "max-chars", "replace?", "eof?",
            "process-slot-var",
        ),
        message="{program}: {name}: {reason}",
        sure=False,
    ),
    "dbus-run-session": Wrapper(
        long_values=("dbus-daemon", "config-file"),
        message="{program}: failed to exec '{name}': {reason}",
        sure=False,
    ),
    "sudo": Wrapper(
        flags="AbEHknPS",
        values="CDgpRrTtUu",
        long_flags=("preserve-env", "non-interactive", "set-home", "stdin"),
        long_values=("user", "group", "chdir", "chroot", "prompt", "preserve-env?"),
        ends=(
            "help", "version", "list", "edit", "login", "shell", "validate", "h", "V", "l", "e", "i", "s",
            "v", "K",
        ),
        message="sudo: {name}: command not found",
        sure=False,
    ),
    "chpst": Wrapper(
        flags="vP012",
        values="uUbeCnlLmdopfcrt/",
        ends=(),
        message="{program}: fatal: unable to run: {name}: {reason}",
        djb=True,
    ),
    "setuidgid": Wrapper(ends=(), operands=1, user=1, message=DJB, djb=True),
    "s6-setuidgid": Wrapper(
        ends=(), operands=1, user=1, message="s6-applyuidgid: fatal: unable to exec {name}: {reason}"
    ),
    "s6-nice": Wrapper(flags="Iqin", ends=(), message=_SUPERVISE),
    "softlimit": Wrapper(values="admstfcloprn", ends=(), message=DJB, djb=True),
}  # fmt: skip

# What busybox's applets of the same names take; those that are not here are as above.
BUSYBOX_WRAPPERS: Mapping[str, Wrapper] = {
    "env": Wrapper(flags="i0", values="u", message=BUSYBOX),
    "nice": Wrapper(flags="0123456789", values="n", message=BUSYBOX),
    "nohup": Wrapper(message=BUSYBOX),
    "timeout": Wrapper(values="sk", operands=1, message=BUSYBOX),
    "chroot": Wrapper(operands=1, message=BUSYBOX),
    "setsid": Wrapper(flags="c", message=BUSYBOX),
    "ionice": Wrapper(values="cn", ends=("p",), message=BUSYBOX),
    "chrt": Wrapper(flags="bfior", ends=("p", "m"), operands=1, message=BUSYBOX),
    "taskset": Wrapper(flags="ac", ends=("p",), operands=1, message=BUSYBOX),
    "flock": Wrapper(flags="sxen", values="w", ends=("u",), operands=1, message=BUSYBOX),
    "setpriv": Wrapper(
        long_flags=("nnp", "no-new-privs"),
        long_values=("inh-caps", "ambient-caps"),
        ends=("dump", "d"),
        message=BUSYBOX,
    ),
    "xargs": Wrapper(
        flags="0rtxpo", values="nsEILPa", optional="ei", message="xargs: {name}: {reason}", sure=False
    ),
    "chpst": Wrapper(flags="vP012", values="uUeCnlLmdopfcrt/", ends=(), message=BUSYBOX),
    "setuidgid": Wrapper(ends=(), operands=1, user=1, message=BUSYBOX),
    "linux32": Wrapper(message=BUSYBOX),
    "linux64": Wrapper(message=BUSYBOX),
}  # fmt: skip

_SERVICES = {
    "the services that it is set up for": "systemd init openrc-init runit runit-init preinit",
    "the services of its scan directory": "s6-svscan s6-overlay-suexec s6-linux-init s6-supervise",
    "the services of its directory": "runsvdir runsv svscan supervise",
    "the programs of its configuration": "supervisord circusd monit honcho foreman goreman",
    "what its script says, which is no shell script": "execlineb with-contenv",
}
SUPERVISORS: Mapping[str, str] = {
    name: services for services, names in _SERVICES.items() for name in names.split()
}
"""Programs that start others by what they read at run time, and what those are."""
