"""Which record goes to which shard: public, and one record in one shard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_PER_CLASS = 40
MOST_TEACHERS = 1000


def default_n_teachers(n: int, n_classes: int = 1) -> int:
    """Choose the number of teachers for `n` records (or groups) from public numbers alone.

    ``n // (40 * n_classes)``, from 1 to 1,000: forty records of each class in a shard. More
    teachers make every vote less sensitive, and there is little to lose until shards become too
    small to learn from; averaging repairs the variance of small shards, not their bias.

    Parameters
    ----------
    n : int
        Number of records, or of groups where groups are protected.
    n_classes : int, default=1
        Number of classes; 1 for regression.

    Returns
    -------
    n_teachers : int
        Number of shards; public.

    Examples
    --------
    >>> default_n_teachers(32_561, 2)  # Adult
    407
    >>> default_n_teachers(60_000, 10)  # MNIST
    150
    """
    return int(np.clip(n // (ROWS_PER_CLASS * n_classes), 1, MOST_TEACHERS))


def shards_of_records(
    n: int, n_shards: int, random_state: np.random.RandomState
) -> list[NDArray[np.intp]]:
    """Split the indices 0, ..., n - 1 at random into disjoint shards of (nearly) equal size.

    *Replacing one record changes one shard.* The arguments are public (n is, under replace-one), so
    the shards are the same for both data sets, and index i lies in exactly one of them. (The
    sharding lemma of PATE, Papernot et al., ICLR 2017, arXiv 1610.05755, section 2.1.)
    """
    return np.array_split(random_state.permutation(n), n_shards)


def shards_of_groups(groups: Sequence[Any], n_shards: int, key: bytes) -> list[NDArray[np.intp]]:
    """Give every group to the shard that a keyed hash of its own label names.

    *Replacing one group's records changes one shard.* The shard of a row is a function of its own
    label and the public key, of nothing else. So if a group is replaced by any other one, with
    any number of rows, the rows of all other labels keep their shards and, within them, their
    order. Ranks of labels (``np.unique``, order of appearance) do not have this property: a new
    label moves everybody behind it. The set of labels is public, as n is for records; where the
    newcomer brings another label, two shards differ (the one it left, the one it entered).

    Shards hold Binomial(G, 1/n_shards) of the G groups instead of equal shares, so with fewer than
    about five groups a shard some are empty.
    """
    shard_of: dict[str, int] = {}
    for name in groups:
        if name not in shard_of:
            digest = hashlib.blake2b(name.encode("utf-8", "replace"), key=key, digest_size=16)
            shard_of[name] = int.from_bytes(digest.digest()) % n_shards
    shard = np.fromiter((shard_of[name] for name in groups), np.intp, len(groups))
    order = np.argsort(shard, kind="stable")
    return np.split(order, np.searchsorted(shard[order], np.arange(1, n_shards)))


def label_counts(
    codes: NDArray[np.intp], n_classes: int, groups: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Count the records of each class; where groups are protected, the groups.

    Replace-one moves two counts by one, or fewer: the L2 sensitivity is √2. A group counts once,
    for its most frequent class (the first of equals), so that the same holds at group level.
    """
    if groups is not None:
        votes: dict[str, Counter[int]] = {}
        for name, code in zip(groups, codes.tolist(), strict=True):
            if code >= 0:
                votes.setdefault(name, Counter())[code] += 1
        found = (min(v, key=lambda code: (-v[code], code)) for v in votes.values())
        codes = np.fromiter(found, np.intp)
    return np.bincount(codes[codes >= 0], minlength=n_classes).astype(np.int64)
