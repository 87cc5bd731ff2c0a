"""The domain that `make domain` copies into the project, with another name instead of gift cards.

The name has two words, so that its spellings differ: `gift_card`, `gift-card`, `GiftCard`, `gift card`. Imports of this
folder become imports of the project. See `scripts/domain/render.py`.
"""
