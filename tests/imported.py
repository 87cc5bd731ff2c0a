"""A program that prints what the service has imported and read at its start; tests/programs.py runs it."""

import json
import sys

import src.main  # noqa: F401
from src.web import explorer_page

if __name__ == "__main__":
    print(json.dumps({"modules": [*sys.modules], "pages": explorer_page.load.cache_info().currsize}))  # noqa: T201
