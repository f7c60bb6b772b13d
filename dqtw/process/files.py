"""How many files, and so connections, this process may have open."""

import resource


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
