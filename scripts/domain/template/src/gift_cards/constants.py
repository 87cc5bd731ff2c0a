"""The words and limits of gift cards."""

# No control characters: C0, DEL and C1.
TEXT_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*$"

MAX_NAME_LENGTH = 128
MAX_DESCRIPTION_LENGTH = 1_000
