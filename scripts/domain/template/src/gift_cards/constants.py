"""The limits of gift cards."""

MAX_NAME_LENGTH = 128
MAX_DESCRIPTION_LENGTH = 1_000
