"""What a bounded cache holds, and what it forgets first."""

from __future__ import annotations

import pytest

from jobwire.actors.runtime.cache import BoundedCache


def _cache(most: int = 2, **values: int) -> BoundedCache[str, int | None]:
    cache = BoundedCache[str, int | None](most)
    for key, value in values.items():
        cache[key] = value
    return cache


def test_a_value_is_found_until_it_is_removed() -> None:
    cache = _cache(a=1)

    assert (cache.get("a"), "a" in cache, cache["a"], len(cache)) == (1, True, 1, 1)
    assert (cache.pop("a"), cache.pop("a"), cache.get("a")) == (1, None, None)
    with pytest.raises(KeyError):
        cache["a"]


def test_that_there_is_nothing_can_be_remembered_too() -> None:
    cache = _cache()
    cache["a"] = None

    assert "a" in cache
    assert cache["a"] is None


def test_beyond_its_bound_it_forgets_what_was_not_used_for_longest() -> None:
    cache = _cache(a=1, b=2)
    cache.get("a")

    cache["c"] = 3

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_a_value_that_is_replaced_takes_no_place_of_another() -> None:
    cache = _cache(a=1, b=2)

    cache["b"] = 4
    cache["a"] = 3
    cache["c"] = 5

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (3, None, 5)


def test_all_can_be_forgotten_at_once() -> None:
    cache = _cache(a=1, b=2)

    cache.clear()

    assert len(cache) == 0
