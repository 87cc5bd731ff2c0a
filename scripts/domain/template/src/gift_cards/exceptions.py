"""The errors of the gift cards domain."""

from src.exceptions import NotFound


class GiftCardNotFound(NotFound):
    code, title = "gift-card-not-found", "There is no such gift card"
