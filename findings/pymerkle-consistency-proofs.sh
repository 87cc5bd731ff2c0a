#!/usr/bin/env bash
# pymerkle 7.0.0: its roots are those of RFC 9162, its consistency proofs are not, so no verifier of the RFC takes them.
#
# Expected: the tree "is essentially the same as RFC 9162 (Section 2)" (its README, "Topology"), and the docstring of
#   _consistency_path_naive_layout says "Essentially the same as RFC 9162, Section 2". Section 2.1.4.1 of the RFC defines
#   the list of hashes that proves one tree to be the beginning of another, PROOF(m, D_n).
# Seen: all 64 roots are the RFC's. An inclusion path is the RFC's behind a first hash that the RFC leaves out: the leaf
#   itself. Of the 2,016 consistency proofs between trees of 1 to 64 leaves none is the RFC's list, and its verifier, as
#   2.1.4.2 describes it, accepts none of them. It divides the newer tree down to a leaf: from 4 to 7 leaves it has four
#   hashes where the RFC has one; from 3 to 7 it has the same four in another order. The README says nothing of it.
# What to do: use it to compute roots, never as the other side of a test of consistency proofs; take those from tlog-scales
#   or Go's golang.org/x/mod/sumdb/tlog.
#
# Output seen:
#   roots that are the RFC's: 64 of 64
#   inclusion paths that are the RFC's: 0 of 2080, behind their first hash: 2080
#   consistency proofs that are the RFC's: 0 of 2016; from 4 to 7 leaves 4 hashes instead of 1
#   consistency proofs that a verifier of the RFC accepts: 0 of 2016
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq pymerkle==7.0.0 tlog-scales==0.0.3
"$work/venv/bin/python" - <<'PY'
from hashlib import sha256

from pymerkle import InmemoryTree
from tlog_scales.tlog import ConsistencyProof

SIZE = 64
LEAVES = [bytes([number]) for number in range(SIZE)]


def root(leaves):
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def path(index, leaves):  # 2.1.3.1
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), root(leaves[split:])]
    return [*path(index - split, leaves[split:]), root(leaves[:split])]


def subproof(old, leaves, known=True):  # 2.1.4.1
    if old == len(leaves):
        return [] if known else [root(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= split:
        return [*subproof(old, leaves[:split], known), root(leaves[split:])]
    return [*subproof(old - split, leaves[split:], False), root(leaves[:split])]


def accepts(proof, old, new):
    try:
        proof.check(root(LEAVES[:old]), root(LEAVES[:new]))
    except Exception:
        return False
    return True


tree = InmemoryTree()
for leaf in LEAVES:
    tree.append_entry(leaf)
sizes = range(1, SIZE + 1)
steps = [(old, new) for new in sizes for old in range(1, new)]
assert all(accepts(ConsistencyProof(*step, subproof(step[0], LEAVES[: step[1]])), *step) for step in steps)
roots = sum(tree.get_root(size) == root(LEAVES[:size]) for size in sizes)
inclusion = [(tree.prove_inclusion(i + 1, n).path, path(i, LEAVES[:n])) for n in sizes for i in range(n)]
consistency = [(tree.prove_consistency(*step).path, subproof(step[0], LEAVES[: step[1]])) for step in steps]


def same(pairs):
    return sum(theirs == rfc for theirs, rfc in pairs), sum(theirs[1:] == rfc for theirs, rfc in pairs)


accepted = sum(accepts(ConsistencyProof(*step, theirs), *step) for step, (theirs, _) in zip(steps, consistency))
whole, behind = same(inclusion)
print(f"roots that are the RFC's: {roots} of {SIZE}")
print(f"inclusion paths that are the RFC's: {whole} of {len(inclusion)}, behind their first hash: {behind}")
all_of, _ = same(consistency)
ours, rfc = (len(each) for each in consistency[steps.index((4, 7))])
print(f"consistency proofs that are the RFC's: {all_of} of {len(steps)}; from 4 to 7 leaves {ours} hashes instead of {rfc}")
print(f"consistency proofs that a verifier of the RFC accepts: {accepted} of {len(steps)}")
assert (roots, whole, behind, all_of, accepted, ours, rfc) == (SIZE, 0, len(inclusion), 0, 0, 4, 1)
PY
