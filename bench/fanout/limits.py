"""As many open files as the machine lets one process have."""

import resource


def raise_file_limit() -> int:
    """Raise this process's limit, and that of what it starts, to the most; answers it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
