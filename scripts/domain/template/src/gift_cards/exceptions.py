"""What can be wrong with a request about gift cards."""

from src.exceptions import NotFound


class GiftCardNotFound(NotFound):
    code, title = "gift-card-not-found", "There is no such gift card"
