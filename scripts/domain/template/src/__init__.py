"""The part of the template that is copied to `src`."""
