/* enter ROOT DIRECTORY UID PROC FD PROGRAM [ARGUMENT...]
 *
 * Executes PROGRAM exactly as a container runtime would: inside ROOT as its root directory, in
 * DIRECTORY, as UID (and no other group), directly (no shell, no PATH), with the environment that
 * it was given. PROC 1 mounts /proc in a mount namespace of its own, which ends with the process.
 * The errno of a failed execve is written to FD as text; FD is closed by a successful one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

static void check(int failed, const char *what)
{
    if (failed) {
        perror(what);
        _exit(125);
    }
}

int main(int argc, char **argv, char **environment)
{
    check(argc < 7, "usage");
    const char *root = argv[1], *directory = argv[2];
    unsigned uid = (unsigned)atoi(argv[3]);
    int descriptor = atoi(argv[5]);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    check(chdir(root), "chdir root");
    if (atoi(argv[4])) {
        check(unshare(CLONE_NEWNS), "unshare");
        check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount private");
        check(mount("proc", "proc", "proc", 0, NULL), "mount proc");
    }
    check(chroot("."), "chroot");
    check(chdir(directory), "chdir directory");
    check(setgroups(0, NULL), "setgroups");
    check(setgid(uid), "setgid");
    check(setuid(uid), "setuid");
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    execve(argv[6], argv + 6, environment);
    dprintf(descriptor, "%d", errno);
    _exit(126);
}
