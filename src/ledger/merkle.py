"""Merkle trees as RFC 9162 defines them (2.1), with SHA-256: hashes, and which parts of a tree a proof consists of.

A tree of any size consists of perfect subtrees, which later leaves do not change. `Node(level, number)` names one: of
2^level leaves, the one that begins with leaf number * 2^level.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
# To copy it takes less time than to join the byte to each pair of hashes: a proof takes a quarter less.
_INNER_NODE = sha256(b"\x01")


class Node(NamedTuple):
    level: int
    number: int


class Range(NamedTuple):
    """The leaves from `start` to before `end`, which are a subtree where RFC 9162 divides a tree in two."""

    start: int
    end: int


def hash_leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def perfect_subtrees(leaves: Range) -> list[Node]:
    """The perfect subtrees that the leaves consist of, from left to right: each is smaller than the one before."""
    start, nodes = leaves.start, []
    while start < leaves.end:
        level = (leaves.end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def hash_range(leaves: Range, hash_of: Callable[[Node], bytes]) -> bytes:
    """The Merkle tree hash of the leaves. `hash_of` knows that of each perfect subtree among them."""
    return join(map(hash_of, perfect_subtrees(leaves)))


def join(hashes: Iterable[bytes]) -> bytes:
    """The hash of the tree that consists of these perfect subtrees, from left to right."""
    joined = None
    for each in reversed([*hashes]):
        joined = each if joined is None else hash_children(each, joined)
    return EMPTY_ROOT if joined is None else joined


def hash_perfect(hashes: Iterable[bytes]) -> bytes:
    """The hash above 2^n hashes of one level, each alone or some of them in one piece."""
    row = b"".join(hashes)
    while len(row) > HASH_BYTES:
        parents = []
        for start in range(0, len(row), 2 * HASH_BYTES):
            parent = _INNER_NODE.copy()
            parent.update(row[start : start + 2 * HASH_BYTES])
            parents.append(parent.digest())
        row = b"".join(parents)
    return row


def inclusion_proof(index: int, size: int) -> list[Range]:
    """The subtrees whose hashes show that leaf `index` is in the tree, from the leaf's sibling up (RFC 9162, 2.1.3.1).

    `0 <= index < size`.
    """
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            ranges.append(Range(middle, end))
            end = middle
        else:
            ranges.append(Range(start, middle))
            start = middle
    return ranges[::-1]


def consistency_proof(old: int, new: int) -> list[Range]:
    """The subtrees whose hashes show that a tree of `old` leaves is the beginning of one of `new` (RFC 9162, 2.1.4.1).

    There is nothing to show for the empty tree, nor for a tree and itself. `0 <= old <= new`.
    """
    if old in (0, new):
        return []
    ranges, start, end = [], 0, new
    while old != end:
        middle = _middle(start, end)
        if old <= middle:
            ranges.append(Range(middle, end))
            end = middle
        else:
            ranges.append(Range(start, middle))
            start = middle
    # The verifier knows the hash of the old tree itself, and needs that of any other subtree.
    if start:
        ranges.append(Range(start, end))
    return ranges[::-1]


def is_consistent(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the hashes show that the tree of `new` leaves continues that of `old` (RFC 9162, 2.1.4.2)."""
    if old == 0:
        return not proof
    if old == new:
        return old_root == new_root and not proof
    # The proof begins with a subtree in which the old tree ends; that is the whole old tree if it is perfect.
    first, *rest = proof if old & (old - 1) else [old_root, *proof]
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_hash = new_hash = first
    for each in rest:
        if node & 1 or node == last:
            old_hash, new_hash = hash_children(each, old_hash), hash_children(each, new_hash)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new_hash = hash_children(new_hash, each)
        node, last = node >> 1, last >> 1
    return last == 0 and (old_hash, new_hash) == (old_root, new_root)


def _middle(start: int, end: int) -> int:
    """Where RFC 9162 divides these leaves: the left part has the largest power of two that is smaller than all."""
    return start + (1 << (end - start - 1).bit_length() - 1)
