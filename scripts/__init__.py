"""Tools that developers run; no production image carries them."""
