"""Ids are UUIDs of version 5, as RFC 9562 has them, whoever computes them."""

from __future__ import annotations

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import NAMESPACE, log_id

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(words, words, words, words)
def test_the_id_of_a_fact_is_a_uuid_of_version_5(payer: str, source: str, producer_id: str, member: str) -> None:
    made = log_id(payer, source, producer_id, member)
    assert made == str(uuid5(NAMESPACE, f"fact|{payer}|{source}|{producer_id}|{member}"))
    assert UUID(made).version == 5
