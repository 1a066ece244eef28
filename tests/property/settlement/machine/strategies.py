"""What the rules draw: few and small choices, so that sequences meet each other's money."""

from typing import Any

from hypothesis import strategies as st

from schemas.money import Usage
from schemas.requests import KeyRef
from tests.property.settlement.books import BUCKETS, MODELS, PREPAID

KEYS = [KeyRef(project_id=f"p{n // 2}", key_id=f"k{n}", key_name="") for n in range(3)]

pick = st.integers(0, 2**16)
"""Which of those that are there by then."""
dust = st.integers(1, 2_000)
nano = st.one_of(*[st.integers(5_000_000, 60_000_000)] * 3, dust)
"""What pays for some requests, or for none."""
buckets = st.sampled_from(PREPAID)
routes = st.sampled_from([*BUCKETS, "direct", "pooled"])
keys = st.sampled_from(KEYS)
usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 600),
    cached_input_tokens=st.integers(0, 300),
    cache_write_tokens=st.integers(0, 50),
    output_tokens=st.integers(0, 150),
)
specs: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "route": routes,
        "models": st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True),
        "other": st.one_of(st.none(), st.none(), routes),
        "key": keys,
        "input": st.integers(1, 600),
        "output": st.one_of(st.none(), st.integers(0, 150)),
        "choices": st.sampled_from([1, 1, 1, 2]),
        "run": st.one_of(st.none(), st.none(), pick),
        "minutes": st.sampled_from([-5, 1, 10]),
    }
)
budgets = st.dictionaries(buckets, st.one_of(*[st.integers(1_000_000, 12_000_000)] * 3, dust), min_size=1, max_size=2)
