"""Tools for developers. Production images do not contain them."""
