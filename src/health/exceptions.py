"""Why a check failed."""


class CheckFailed(Exception):
    """The database did not answer, or not in time. It never leaves the domain: a failed check is an answer too."""
