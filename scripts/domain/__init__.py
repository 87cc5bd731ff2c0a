"""`make domain` copies the domain in `template/` under a new name, with its migration, its documentation and its tests.

- names.py          which names a domain can have, and their spellings
- render.py         the new files, and the lines that other files need
- __main__.py       tries the change in a copy of the project, and then writes all of it or nothing
"""
