"""The audit-trail service: shared modules here, one package for each domain."""

__version__ = "0.1.0"
