"""The domain that `make domain` copies, at its places in the project, with the name of another for that of gift cards.

The name has two words, so that each of its spellings can be told from the others: `gift_card`, `gift-card`,
`GiftCard`, `gift card`. Imports of this folder become imports of the project. See `scripts/domain/render.py`.
"""
