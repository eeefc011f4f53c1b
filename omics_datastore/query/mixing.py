"""Mix shuffle keys by a seed: integer arithmetic that every SQL engine does alike, where their hash functions differ.

A Feistel network (Luby and Rackoff, "How to construct pseudorandom permutations from pseudorandom functions", SIAM J.
Comput. 17, 1988) over the upper 32 and the lower 31 bits; the rounds are multiplications modulo a prime, whose
products stay below 2**63. It is a permutation of the keys: different keys stay different.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

_LOW_BITS = 31
_HIGH_PRIME = 2**32 - 5
_LOW_PRIME = 2**31 - 1


def mixed(key: ir.IntegerValue, rounds: Sequence[tuple[int, int]]) -> ir.IntegerValue:
    """Return keys mixed.

    :param key: int64 in [0, 2**63).
    :param rounds: Result of :func:`omics_datastore.shuffle.mixing_rounds`.
    :return: int64 in [0, 2**63).
    """
    high, low = key >> _long(_LOW_BITS), key & _long(_LOW_PRIME)
    for number, (multiplier, addend) in enumerate(rounds):
        if number % 2 == 0:
            high = high ^ ((low * _long(multiplier) + _long(addend)) % _long(_HIGH_PRIME))
        else:
            low = low ^ ((high * _long(multiplier) + _long(addend)) % _long(_LOW_PRIME))
    return high * _long(2**_LOW_BITS) + low


def _long(value: int) -> ir.IntegerScalar:
    return ibis.literal(value, "int64")
