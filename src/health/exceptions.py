"""The errors of the health domain."""


class CheckFailed(Exception):
    """The database did not answer in time. The service catches it, and answers that the database is unavailable."""
