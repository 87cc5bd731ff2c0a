"""`make domain`: a new domain out of the one in `template/`, registered, migrated, documented and tested.

- names.py          which names a domain can have, and how each is spelled
- render.py         the template's files and the lines elsewhere, under the new name
- __main__.py       all of it or nothing: tried in a copy of the project, and only then written
"""
