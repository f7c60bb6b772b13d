"""The files of this process: how many it may have open, and who can read them."""

import resource
import stat
from pathlib import Path


def can_others_read(path: Path) -> bool:
    """Return True if users who are neither the file's owner nor in its group can read it.

    The group does not count: a file is often given to a service through its group, and an access control list shows
    as rights of the group. A directory that others can't enter protects all files in it.
    """
    try:
        path = path.resolve(strict=True)
        may_enter = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        return may_enter and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # a file that is gone can't be read; its reader says so


def allow_open_files(wanted: int) -> int:
    """Raise this process's own limit as far as it may be raised; how many files it may have open then.

    Systems start processes with a low limit, for the sake of programs that can't handle many, and let each raise
    it up to another.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
